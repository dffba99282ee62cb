"""Fitting the last linear layer of a classifier without a gradient step through its trunk."""

import math
import time
from collections.abc import Sequence

from globalpool.classifier import PooledClassifier
from globalpool.errors import DataError
from globalpool.evidence import evaluating
from globalpool.surgery.batches import Loader, joined, pooled_batches
from globalpool.surgery.choice import Choice, Rule, choice
from globalpool.surgery.collect import determining, total
from globalpool.surgery.head_fit import HeadFit, Method, Outcome, write
from globalpool.surgery.last_linear import LastLinear, last_linear
from globalpool.surgery.logistic import CHUNK, LogisticProblem
from globalpool.surgery.ridge import RidgePath, explained, ridge
from globalpool.surgery.scores import Score, best
from globalpool.surgery.solution import Solution
from globalpool.surgery.statistics import HeadStatistics

#: The strengths tried, as powers of ten of the scatter's mean eigenvalue.
RIDGE_POWERS = tuple(half / 2 for half in range(-12, 7))
LOGISTIC_POWERS = tuple(range(-4, 3))


def fit_head(
    classifier: PooledClassifier,
    loader: Loader | HeadStatistics,
    method: Method = "ridge",
    strength: float | Rule | None = None,
    *,
    strengths: Sequence[float] | None = None,
    validation: Loader | None = None,
) -> HeadFit:
    """Fits the tail's last linear layer; the trunk and the rest of the tail stay as they are.

    ``loader``: batches ``(x, y)`` or ``(x, layout, y)``, layout arguments as in the classifier's call; ``y``
    class ids ``(N,)`` or, for ridge, targets ``(N, K)`` (several labels, real values). Or, for ridge, statistics.

    ``method``: "ridge" minimises ``sum |W x + b - y|^2 + strength |W|^2``, y one-hot for class ids, in one pass with
    memory that does not depend on the number of samples. "logistic" minimises ``sum of cross entropies +
    strength / 2 |W|^2`` and keeps the pooled vectors (N x F numbers in the tail's dtype, and N x min(N, F) in float64
    where these take at most 1 GiB). The bias is not penalised; a layer without one is fitted through zero.

    ``strength``: a number, or the rule that chooses it from ``strengths`` by the smallest held-out error:
    "validation", on the samples of that loader; "loo" (ridge), each training sample left out in turn, exact in closed
    form, for which ``loader`` is read twice; "gcv" (ridge), the approximation of "loo" that one pass allows. None means
    "validation" when that loader is given; otherwise "loo" for ridge ("gcv" for statistics), and for logistic the
    vectors' mean variance, which is scikit-learn's C = 1 for vectors scaled to variance one. ``strengths`` None: the
    mean eigenvalue of the scatter times half decades from 1e-6 to 1e3 (ridge), decades from 1e-4 to 1e2 (logistic).

    Runs in eval mode and gives each mode back; draws no random number, touches no gradient; writes the layer in place
    and in its own dtype when all else is done. Raises PoolError for settings and tails it cannot serve, DataError for
    what a loader brings: nothing, NaN, ids out of range, a class without samples, wrong shapes.
    """
    start = time.perf_counter()
    chosen = choice(loader, method, strength, strengths, validation)
    last = last_linear("fit_head", classifier)
    with evaluating(classifier):
        if method == "ridge":
            outcome = _fit_ridge(last, loader, chosen, validation)
        else:
            assert not isinstance(loader, HeadStatistics), "refused by choice"
            outcome = _fit_logistic(last, loader, chosen, validation)
    return write(last.layer, method, outcome, time.perf_counter() - start)


def _fit_ridge(last: LastLinear, data: Loader | HeadStatistics, chosen: Choice, validation: Loader | None) -> Outcome:
    if isinstance(data, HeadStatistics):
        statistics = determining(last, data)
    else:
        statistics = determining(last, total(batch.statistics() for batch in pooled_batches(last, data)))
    strengths = chosen.candidates(statistics, RIDGE_POWERS)
    scores: list[Score] = []
    training: list[Score] = []
    if chosen.rule == "gcv":
        path = RidgePath(statistics)
        scores = [path.generalised_cross_validation(strength) for strength in strengths]
    elif chosen.rule == "loo":
        assert not isinstance(data, HeadStatistics), "refused by choice"
        scores, training = RidgePath(statistics).leave_one_out(pooled_batches(last, data), strengths)
    elif validation is not None:
        scores = RidgePath(statistics).score(pooled_batches(last, validation), strengths)
    pick = best(scores) if scores else 0
    solution = ridge(statistics, strengths[pick])
    return Outcome(
        solution,
        strengths[pick],
        statistics.count,
        training=training[pick] if training else None,
        held_out=scores[pick] if scores else None,
        explained=explained(statistics, solution),
        candidates=scores,
    )


def _fit_logistic(last: LastLinear, data: Loader, chosen: Choice, validation: Loader | None) -> Outcome:
    batches = list(pooled_batches(last, data))
    statistics = determining(last, total(batch.statistics() for batch in batches))
    if statistics.class_counts is None or last.layer.out_features < 2:
        hint = "Fit several labels or real targets by ridge."
        got = "real targets" if statistics.class_counts is None else "one output"
        raise DataError("fit_head", "class ids and two outputs or more, for logistic regression", got, hint)
    problem = LogisticProblem(joined(batches), statistics)
    del batches
    # The mean eigenvalue over the count is the mean variance.
    powers = (-math.log10(statistics.count),) if chosen.rule is None else LOGISTIC_POWERS
    strengths = chosen.candidates(statistics, powers)
    solutions: list[Solution] = []
    for strength in reversed(strengths):  # the strongest is the easiest; each next one starts where the last ended
        solutions.insert(0, problem.solve(strength, solutions[0] if solutions else None))
    scores: list[Score] = []
    if validation is not None:
        scores = [Score(strength) for strength in strengths]
        for batch in pooled_batches(last, validation):
            for score, solution in zip(scores, solutions, strict=True):
                score.add_log_loss(solution(batch.vectors), batch)
    pick = best(scores) if scores else 0
    training = Score(strengths[pick])
    for batch in problem.samples.split(CHUNK):
        training.add_log_loss(solutions[pick](batch.vectors), batch)
    return Outcome(
        solutions[pick],
        strengths[pick],
        statistics.count,
        training=training,
        held_out=scores[pick] if scores else None,
        candidates=scores,
    )
