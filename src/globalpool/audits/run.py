"""The front door: a classifier and samples in, findings out."""

from collections.abc import Sequence

from torch import Tensor

from globalpool.audits.audit import Audit, run_audits
from globalpool.audits.finding import Finding
from globalpool.audits.gather import Data, gather
from globalpool.classifier import PooledClassifier
from globalpool.data import SizePolicy
from globalpool.errors import DataError


def audit(
    classifier: PooledClassifier,
    data: Data,
    *,
    targets: Tensor | Sequence[int] | None = None,
    audits: Sequence[Audit] | None = None,
    sizes: SizePolicy | None = None,
    budget: float = 150.0,
    samples: int = 64,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """What theory predicts of this classifier, beside what is measured on ``data``; one Finding an audit.

    ``data``: ``Examples`` (with labels), picture files, or inputs: tensors ``(n, C, *S)``, or what else the classifier
    takes, each of one sample. At most ``samples`` of them are drawn, by ``seed``. Without labels the classifier's own
    top class at the size it was trained at takes their place. ``audits``: which; None is ``globalpool.audits.ALL``.
    ``budget``: seconds for all of them; where it is short an audit looks at fewer samples and says so. The classifier
    is afterwards as it was: mode, buffers, gradients, hooks; and so are the global random numbers.
    """
    from globalpool.audits import ALL

    if not budget > 0:
        raise DataError("audit", "a budget of more than 0 seconds", f"{budget}")
    found = gather(classifier, data, targets=targets, sizes=sizes, samples=samples, seed=seed)
    return tuple(run_audits(classifier, found, ALL if audits is None else tuple(audits), budget))
