"""A loader as a stream of pooled vectors and targets, every one of them checked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from globalpool.errors import DataError
from globalpool.surgery.last_linear import LastLinear
from globalpool.surgery.statistics import HeadStatistics

#: Batches ``(x, y)``, or ``(x, layout, y)`` with the layout arguments of the classifier's call.
Loader = Iterable[tuple[Any, Tensor] | tuple[Any, Mapping[str, Any], Tensor]]


@dataclass(frozen=True, eq=False)
class PooledBatch:
    """``vectors (B, F)`` in the tail's dtype, and what they should give: ``classes (B,)`` or ``values (B, K)``."""

    vectors: Tensor
    outputs: int
    classes: Tensor | None = None
    values: Tensor | None = None

    @property
    def targets(self) -> Tensor:
        """``(B, K)`` in float64: the values, or one-hot rows for class ids."""
        if self.classes is None:
            assert self.values is not None
            return self.values.double()
        return torch.nn.functional.one_hot(self.classes, self.outputs).double()

    def statistics(self) -> HeadStatistics:
        """Of this batch alone."""
        counts = None if self.classes is None else torch.bincount(self.classes, minlength=self.outputs)
        return HeadStatistics.of(self.vectors, self.targets, counts)

    def split(self, size: int) -> "Iterator[PooledBatch]":
        """The samples in order, ``size`` at a time."""
        for begin in range(0, self.vectors.shape[0], size):
            piece = slice(begin, begin + size)
            classes, values = (None if part is None else part[piece] for part in (self.classes, self.values))
            yield PooledBatch(self.vectors[piece], self.outputs, classes, values)


def joined(batches: Sequence[PooledBatch]) -> PooledBatch:
    """All samples in one; the targets of all must be of one kind."""
    vectors = torch.cat([batch.vectors for batch in batches])
    ids = [batch.classes for batch in batches if batch.classes is not None]
    values = [batch.values for batch in batches if batch.values is not None]
    return PooledBatch(
        vectors, batches[0].outputs, torch.cat(ids) if ids else None, torch.cat(values) if values else None
    )


def pooled_batches(last: LastLinear, loader: Loader) -> Iterator[PooledBatch]:
    """Every batch of ``loader`` as the last layer sees it, without gradients; empty batches are left out.

    The caller holds the classifier in eval mode. Inputs go to the layer's device. Raises DataError for what the loader
    should not bring.
    """
    device = last.layer.weight.device
    seen, kind = 0, ""
    for number, batch in enumerate(loader):
        x, layout, y = _parts(last.where, number, batch)
        x = x.to(device) if hasattr(x, "to") else x
        layout = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in layout.items()}
        with torch.no_grad():
            if not seen:
                last.check_is_the_classifier(x, **layout)
            vectors = last.vectors(x, **layout).to(last.summing)
        classes, values = _targets(last, number, y.to(last.summing), vectors.shape[0])
        before, kind = kind, "real targets" if classes is None else "class ids"
        if before not in ("", kind):
            got = f"{before}, then {kind} in batch {number}"
            raise DataError(last.where, "the same kind of targets in every batch", got)
        finite = vectors.isfinite().all(1)
        if not bool(finite.all()):
            worst = int(finite.logical_not().nonzero()[0])
            hint = "Look for NaN or Inf in the input, or an overflow in half precision."
            raise DataError(
                last.where, "finite pooled vectors", f"NaN or Inf in sample {worst} of batch {number}", hint
            )
        seen += vectors.shape[0]
        if vectors.shape[0]:
            yield PooledBatch(vectors, last.layer.out_features, classes, values)
    if not seen:
        hint = "A generator can be read once only; a DataLoader again and again."
        raise DataError(last.where, "at least one sample from the loader", "none", hint)


def _parts(where: str, number: int, batch: Any) -> tuple[Any, Mapping[str, Any], Tensor]:
    expected = "batches (x, y) or (x, layout, y), with a dict of layout arguments and a tensor y"
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        got = type(batch).__name__ + (f" of {len(batch)}" if isinstance(batch, tuple | list) else "")
        raise DataError(where, expected, f"{got} as batch {number}")
    layout, y = batch[1] if len(batch) == 3 else {}, batch[-1]
    if not isinstance(layout, Mapping) or not isinstance(y, Tensor):
        raise DataError(where, expected, f"({', '.join(type(part).__name__ for part in batch)}) as batch {number}")
    return batch[0], layout, y


def _targets(last: LastLinear, number: int, y: Tensor, samples: int) -> tuple[Tensor | None, Tensor | None]:
    """Class ids ``(B,)``, or values ``(B, K)``."""
    where, outputs = last.where, last.layer.out_features
    ids = y.ndim == 1 and not y.is_floating_point()
    single = y.ndim == 1 and y.is_floating_point() and outputs == 1
    if y.ndim == 0 or y.shape[0] != samples or not (ids or single or y.shape[1:] == (outputs,)):
        expected = f"class ids ({samples},) or targets ({samples}, {outputs}): samples of the batch, outputs"
        got = f"{str(y.dtype).removeprefix('torch.')} {tuple(y.shape)} in batch {number}"
        raise DataError(where, expected, got)
    if not ids:
        if not bool(y.isfinite().all()):
            raise DataError(where, "finite targets", f"NaN or Inf in batch {number}")
        return None, y.reshape(samples, outputs)
    classes = y.long()
    if samples and (int(classes.min()) < 0 or int(classes.max()) >= outputs):
        got = f"ids from {int(classes.min())} to {int(classes.max())} in batch {number}"
        raise DataError(where, f"class ids from 0 to {outputs - 1}, the outputs of the tail", got)
    return classes, None
