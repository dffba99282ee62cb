"""Maps of what a classifier says, for pictures of any and mixed sizes."""

from collections.abc import Iterable

import torch

from globalpool.classifier import PooledClassifier
from globalpool.data import Batch
from globalpool.localize.heatmaps import Array, Heatmaps, heatmaps


def runner_up_maps(classifier: PooledClassifier, batches: Iterable[Batch]) -> Heatmaps:
    """Evidence of each picture's largest logit over its second, at the picture's own size, in order of ``indices``.

    No label is looked at. Zero has a meaning: more for the first class above it, more for the second below.
    """
    found: dict[int, Array] = {}
    with torch.inference_mode():
        for batch in batches:
            rows = iter(batch.indices.tolist())
            for part in batch.parts:
                evidence = classifier.evidence(part, "all")
                first, second = evidence.logits.topk(2).indices.T
                maps = heatmaps(evidence.contrast(first, second), part.shape[2:])
                found.update((next(rows), values) for values in maps.values)
    return Heatmaps(tuple(found[row] for row in sorted(found)), "contrast")
