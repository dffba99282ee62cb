"""The record of one fit, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.surgery.scores import Score
from globalpool.surgery.solution import Solution

Method = Literal["ridge", "logistic"]


@dataclass(frozen=True, eq=False)
class HeadFit:
    """What ``fit_head`` did to ``layer``; ``undo()`` puts the layer back bit for bit.

    ``strength``: the penalty used. ``count``: training samples. ``seconds``: wall time, reading included.
    ``accuracy``: share of training samples whose largest logit is their class; None when the samples were read once
    and not kept (ridge with a given strength, "gcv" or "validation"), or have no class ids.
    ``held_out_accuracy``: the same for samples the fit has not seen, each left out in turn ("loo") or the validation
    loader's; the strength was chosen on them, so it is a little too good. None without them.
    ``explained``: ridge, the share of the targets' variance the fit explains (about zero without a bias).
    ``tried``: strength and held-out error of each candidate, ascending: mean squared error summed over the outputs,
    logistic: mean log loss in nats.
    """

    method: Method
    strength: float
    count: int
    seconds: float
    accuracy: float | None
    held_out_accuracy: float | None
    explained: float | None
    tried: tuple[tuple[float, float], ...]
    layer: nn.Linear = field(repr=False)
    before: tuple[Tensor, ...] = field(repr=False)

    def undo(self) -> None:
        """Gives the layer the weight and bias it had before the fit, whatever happened to it since."""
        with torch.no_grad():
            for parameter, value in zip(self.layer.parameters(), self.before, strict=True):
                parameter.copy_(value)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A solution that is not written yet; the words of HeadFit."""

    solution: Solution
    strength: float
    count: int
    training: Score | None = None
    held_out: Score | None = None
    explained: float | None = None
    candidates: Sequence[Score] = ()


def write(layer: nn.Linear, method: Method, outcome: Outcome, seconds: float) -> HeadFit:
    """The solution in the layer, in its dtype; raises PoolError, nothing written, for values that do not fit it."""
    weight = outcome.solution.weight.to(layer.weight.dtype)
    bias = outcome.solution.bias.to(layer.weight.dtype)
    if not bool(weight.isfinite().all()) or not bool(bias.isfinite().all()):
        hint = "Give a larger strength, or fit in float32."
        got = "NaN or Inf"
        raise PoolError("fit_head", f"a solution within the range of {layer.weight.dtype}", got, hint)
    before = tuple(parameter.detach().clone() for parameter in layer.parameters())
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(bias)
    return HeadFit(
        method=method,
        strength=outcome.strength,
        count=outcome.count,
        seconds=seconds,
        accuracy=None if outcome.training is None else outcome.training.accuracy,
        held_out_accuracy=None if outcome.held_out is None else outcome.held_out.accuracy,
        explained=outcome.explained,
        tried=tuple((score.strength, score.mean_error) for score in outcome.candidates),
        layer=layer,
        before=before,
    )
