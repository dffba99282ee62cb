"""What a client sends in place of weights: the pooled vectors of each class, summed up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.data.parts import features
from globalpool.errors import FederatedError
from globalpool.evidence import evaluating
from globalpool.training.processes import device_of


@dataclass(frozen=True, eq=False)
class ClassDescriptors:
    """Of one client, in float64: pooled vectors of its samples, class by class.

    ``samples (K,)`` int64; ``means (K, C)``, zeros for a class without samples; ``variances (C,)``: between samples of
    one class, classes together (divisor: samples minus classes seen), zeros where no class has two; ``positions (K,)``:
    positions of the feature maps in all. With a mean as pool, tiling or permuting the pictures changes none of them
    but ``positions``.
    """

    samples: Tensor
    means: Tensor
    variances: Tensor
    positions: Tensor

    @property
    def noise(self) -> Tensor:
        """The variance ``(K, C)`` of each mean about this client's own truth: ``s^2 / n``; Inf without samples."""
        return self.variances[None] / self.samples[:, None]


def describe(classifier: PooledClassifier, batches: Iterable[Batch], classes: int) -> ClassDescriptors:
    """One pass in eval mode, without gradients; targets are class ids ``(N,)``."""
    device = device_of(classifier)
    samples, positions = torch.zeros(classes, dtype=torch.int64), torch.zeros(classes, dtype=torch.float64)
    held: list[tuple[Tensor, Tensor]] = []
    with evaluating(classifier), torch.inference_mode():
        for batch in batches:
            maps, layout = features(classifier, batch.to(device).parts)
            vectors = classifier.pool(maps, **layout).double().cpu()
            held.append((vectors, _ids(batch.targets, classes)))
            samples += torch.bincount(held[-1][1], minlength=classes)
            positions.index_add_(0, held[-1][1], _positions(maps, layout, len(vectors)))
        if not held:
            raise FederatedError("describe", "at least one sample", "none", "Leave this client out.")
        sums = torch.zeros(classes, held[0][0].shape[1], dtype=torch.float64)
        for vectors, ids in held:
            sums.index_add_(0, ids, vectors)
        means = sums / samples.clamp(min=1)[:, None]
        squares = sum(((vectors - means[ids]).square().sum(0) for vectors, ids in held), torch.zeros_like(means[0]))
        freedom = int(samples.sum()) - int((samples > 0).sum())
        variances = squares / freedom if freedom else torch.zeros_like(squares)
    if not bool(means.isfinite().all()):
        raise FederatedError("describe", "finite pooled vectors", "NaN or Inf", "Look for them in the pictures.")
    return ClassDescriptors(samples, means.clone(), variances.clone(), positions)


def _ids(targets: Tensor, classes: int) -> Tensor:
    if targets.ndim != 1 or targets.is_floating_point():
        raise FederatedError("describe", "class ids (N,)", f"targets {tuple(targets.shape)}, {targets.dtype}")
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        got = f"ids from {int(targets.min())} to {int(targets.max())}"
        raise FederatedError("describe", f"class ids from 0 to {classes - 1}", got)
    return targets.cpu()


def _positions(maps: Tensor, layout: Mapping[str, Any], samples: int) -> Tensor:
    """How many positions each sample of a batch has, ``(n,)``."""
    if "ptr" in layout:
        ptr: Tensor = layout["ptr"]
        return ptr.diff().double().cpu()
    if layout.get("mask") is not None:
        real: Tensor = layout["mask"] > 0
        return real.flatten(1).sum(1).double().cpu()
    if layout.get("batch") is not None:
        return torch.bincount(layout["batch"], minlength=samples).double().cpu()
    return torch.full((samples,), float(maps[0, 0].numel()), dtype=torch.float64)
