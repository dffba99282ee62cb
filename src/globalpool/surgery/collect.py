"""One pass over a loader: the statistics that determine a linear layer."""

import functools
import operator
from collections.abc import Iterable

from globalpool.classifier import PooledClassifier
from globalpool.errors import DataError, PoolError
from globalpool.evidence import evaluating
from globalpool.surgery.batches import Loader, pooled_batches
from globalpool.surgery.last_linear import LastLinear, last_linear
from globalpool.surgery.statistics import HeadStatistics


def collect(classifier: PooledClassifier, loader: Loader) -> HeadStatistics:
    """The statistics of the vectors before the tail's last linear layer, and of the targets, in one pass.

    ``loader`` as for ``fit_head``. Memory: F x F numbers for F features, whatever the number of samples. For data in
    several places: collect each part, add them, and give the sum to ``fit_head`` in the loader's place.
    """
    last = last_linear("collect", classifier)
    with evaluating(classifier):
        return total(batch.statistics() for batch in pooled_batches(last, loader))


def total(parts: Iterable[HeadStatistics]) -> HeadStatistics:
    """The sum of one part or more, one at a time."""
    return functools.reduce(operator.add, parts)


def determining(last: LastLinear, statistics: HeadStatistics) -> HeadStatistics:
    """The statistics about the centre the layer needs; raises where they do not determine it."""
    layer = last.layer
    expected = (layer.in_features, layer.out_features)
    if tuple(statistics.cross.shape) != expected:
        got = f"{tuple(statistics.cross.shape)}"
        raise PoolError("fit_head", f"statistics of {expected[0]} features and {expected[1]} outputs", got)
    if statistics.class_counts is not None:
        unseen = (statistics.class_counts == 0).nonzero().flatten().tolist()
        if unseen or layer.out_features == 1:
            listed = f"{unseen[:8]}"[:-1] + (", ...]" if len(unseen) > 8 else "]")
            got = f"none of classes {listed}" if unseen else "the one class there is"
            hint = (
                "Give the tail one output for each class in the data (globalpool.PooledClassifier with a new Linear)."
            )
            raise DataError("fit_head", f"samples of at least two classes, of all {layer.out_features}", got, hint)
    if not float(statistics.target_scatter.sum()) > 0:
        raise DataError("fit_head", "targets that differ between samples", "the same for all")
    statistics = statistics.to(last.summing)
    return statistics if layer.bias is not None else statistics.about_zero()
