"""Pictures of several sizes through one classifier: the trunk once a size, one ragged batch at the head.

A batch of mixed sizes is a sequence of parts, tensors ``(n, C, *S)`` of one size each, so that no padding enters a
convolution. Samples are numbered through the parts in their order.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.errors import DataError
from globalpool.evidence import Classes, Evidence, account, evaluating
from globalpool.layout import LayoutArguments


def features(classifier: PooledClassifier, parts: Sequence[Any]) -> tuple[Tensor, LayoutArguments]:
    """The feature maps of all parts as one batch, and the layout arguments that say where its positions are.

    Maps of one size are dense ``(N, C, *S)`` without arguments; of several sizes ragged rows ``(T, C)``, row-major
    within each sample, with ``ptr (N + 1,)`` and ``shapes (N, D)``. A trunk that says where its positions are
    (``Features``) takes all samples in one part. The trunk runs in its present mode.
    """
    found = [classifier.located(part) for part in _checked(parts)]
    if len(found) == 1:
        return found[0].values, found[0].layout
    if any(one.layout for one in found):
        hint = "Put the samples into one Padded tensor or one batch of graphs."
        raise DataError("features", "one part of a trunk that gives a layout", f"{len(found)} parts", hint)
    return join([one.values for one in found])


def join(maps: Sequence[Tensor]) -> tuple[Tensor, LayoutArguments]:
    """Feature maps ``(n, C, *S)`` as ``features`` gives them."""
    if len({one.shape[2:] for one in maps}) == 1:
        return (maps[0] if len(maps) == 1 else torch.cat(list(maps))), {}
    device = maps[0].device
    counts = torch.tensor([one.shape[0] for one in maps])
    shapes = torch.tensor([tuple(one.shape[2:]) for one in maps]).repeat_interleave(counts, 0)
    ptr = torch.cat([counts.new_zeros(1), shapes.prod(1).cumsum(0)])
    rows = torch.cat([one.flatten(2).transpose(1, 2).flatten(0, 1) for one in maps])
    return rows, {"ptr": ptr.to(device), "shapes": shapes.to(device)}


def logits(classifier: PooledClassifier, parts: Sequence[Any]) -> Tensor:
    """``(N, K)``, those of each sample by itself (in train mode: up to what batch statistics and dropout do).

    A classifier whose forward does more than ``tail(pool(trunk(x)))``, as ``adopt`` may give, is called part by part.
    """
    parts = _checked(parts)
    if len(parts) == 1:
        return cast(Tensor, classifier(parts[0]))
    if type(classifier).forward is not PooledClassifier.forward:
        return torch.cat([classifier(part) for part in parts])
    joined, layout = features(classifier, parts)
    vectors = classifier.pool(joined, **layout)
    first = next(classifier.tail.parameters(), None)
    return cast(Tensor, classifier.tail(vectors if first is None else vectors.to(first.dtype)))


def evidence(classifier: PooledClassifier, parts: Sequence[Any], classes: Classes = "top1") -> Evidence:
    """What each position gave each chosen logit, in eval mode: ``PooledClassifier.evidence`` for several sizes.

    Feature maps of one size give dense maps ``(N, K', *S)``, several ragged ones ``(T, K')`` whose layout carries
    the shapes. DataError for several parts and a classifier with an evidence of its own (``adopt``).
    """
    parts = _checked(parts)
    if len(parts) == 1:
        return classifier.evidence(parts[0], classes)
    if type(classifier).evidence is not PooledClassifier.evidence:
        got = f"{len(parts)} sizes and {type(classifier).__name__}, which computes its own evidence"
        raise DataError("evidence", "one size, or a plain PooledClassifier", got, "Ask for one part at a time.")
    with evaluating(classifier.trunk):
        joined, layout = features(classifier, parts)
    return account(classifier.pool, classifier.tail, joined, classes, **layout)


def _checked(parts: Sequence[Any]) -> Sequence[Any]:
    if isinstance(parts, Tensor) or not parts:
        got = "one tensor" if isinstance(parts, Tensor) else "no part"
        raise DataError("parts", "one or more parts (n, C, *S) as a sequence", got, "Write [x] for a single size.")
    return parts
