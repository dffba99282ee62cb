"""Federated averaging of weights, which have the same shapes at every resolution."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from globalpool.errors import FederatedError


def federated_average(states: Sequence[Mapping[str, Tensor]], samples: Sequence[int]) -> dict[str, Tensor]:
    """``w = sum_k (n_k / n) w_k``: clients weigh by their ``samples`` n_k, never by pixels or positions.

    ``states``: one state dict a client, equal in names, shapes and dtypes; sums are made in float64 and given back in
    the states' dtype. McMahan, Moore, Ramage, Hampson, Aguera y Arcas, Communication-efficient learning of deep
    networks from decentralized data (2017), algorithm 1. FederatedError for states that differ, counters (an integer
    has no average: ``parameters_of`` leaves buffers at home) and values that are not finite.
    """
    check_states(states)
    if len(samples) != len(states) or any(count < 0 for count in samples) or not sum(samples):
        hint = "Count training samples, of every client."
        raise FederatedError("federated_average", f"{len(states)} counts of samples, not all 0", f"{samples}", hint)
    total = sum(samples)
    return {
        name: sum(
            (state[name].double() * (count / total) for state, count in zip(states, samples, strict=True)),
            torch.zeros_like(first, dtype=torch.float64),
        ).to(first.dtype)
        for name, first in states[0].items()
    }


def check_states(states: Sequence[Mapping[str, Tensor]], where: str = "federated_average") -> None:
    """FederatedError unless the states can be averaged."""
    if not states:
        raise FederatedError(where, "the state of at least one client", "none", "Look why no client replied.")
    for number, state in enumerate(states):
        odd = sorted(state.keys() ^ states[0].keys())
        if odd:
            raise FederatedError(where, "the same names from every client", f"{odd[0]!r} from one of them alone")
        for name, tensor in state.items():
            first = states[0][name]
            if tensor.shape != first.shape or tensor.dtype != first.dtype:
                kinds = [f"{str(one.dtype).removeprefix('torch.')} {tuple(one.shape)}" for one in (first, tensor)]
                hint = "A flattened map has one shape a resolution; a pooled head has one for all."
                raise FederatedError(where, f"{name} {kinds[0]} from every client", f"{kinds[1]} from {number}", hint)
            if not tensor.is_floating_point():
                hint = "Send parameters_of(classifier); buffers stay with the client."
                raise FederatedError(where, "floating tensors", f"{name}, {tensor.dtype}, which has no average", hint)
            if not bool(tensor.isfinite().all()):
                hint = "Lower that client's learning rate, or clip its gradient."
                raise FederatedError(where, "finite weights", f"NaN or Inf in {name} of client {number}", hint)
