"""Inputs of one sample each as one batch, in whatever way they come."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from globalpool.extras import need
from globalpool.layout import Padded


def together(inputs: Sequence[Any]) -> Any:
    """Tensors of one shape stacked, of several and padded samples padded to the longest, graphs as one batch.

    None where they are something else, or a mixture.
    """
    if all(isinstance(x, Tensor) for x in inputs):
        if len({tuple(x.shape[1:]) for x in inputs}) == 1:
            return torch.cat(list(inputs))
        return Padded.of([sample for x in inputs for sample in x])
    if all(isinstance(x, Padded) for x in inputs):
        samples = [_own(value, size) for x in inputs for value, size in zip(x.values, x.sizes.tolist(), strict=True)]
        measures = None
        if all(x.measure is not None for x in inputs):
            measures = [
                _own(value, size) for x in inputs for value, size in zip(x.measure, x.sizes.tolist(), strict=True)
            ]
        return Padded.of(samples, measures)
    if all(hasattr(x, "to_data_list") for x in inputs):
        batches = need("torch_geometric.data", "graphs", "together")
        return batches.Batch.from_data_list([graph for x in inputs for graph in x.to_data_list()])
    return None


def _own(values: Tensor, size: Sequence[int]) -> Tensor:
    """``(C, *S)`` or ``(*S)`` cut to its own extent."""
    for axis, length in enumerate(size, values.ndim - len(size)):
        values = values.narrow(axis, 0, length)
    return values
