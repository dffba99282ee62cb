"""What the theory predicts of a trained classifier, beside what is measured; one question a file."""

from globalpool.audits.area_bias import AREA_BIAS
from globalpool.audits.audit import Audit, run_audits
from globalpool.audits.consistency import CONSISTENCY
from globalpool.audits.faithfulness import FAITHFULNESS
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table, Verdict
from globalpool.audits.gather import gather
from globalpool.audits.gradient import GRADIENT
from globalpool.audits.head_cost import HEAD_COST
from globalpool.audits.localisation import LOCALISATION
from globalpool.audits.mixing import MIXING
from globalpool.audits.noise import NOISE
from globalpool.audits.padding import PADDING
from globalpool.audits.position_leak import POSITION_LEAK
from globalpool.audits.resolution import RESOLUTION
from globalpool.audits.run import audit
from globalpool.audits.samples import AuditData
from globalpool.audits.shift import SHIFT
from globalpool.audits.sparsity import SPARSITY
from globalpool.audits.variance import VARIANCE

#: Every audit, in the order in which they run.
ALL: tuple[Audit, ...] = (
    *(RESOLUTION, SHIFT, POSITION_LEAK, NOISE, VARIANCE, MIXING),
    *(GRADIENT, PADDING, FAITHFULNESS, LOCALISATION, SPARSITY, AREA_BIAS, CONSISTENCY, HEAD_COST),
)

__all__ = [
    "ALL",
    "AREA_BIAS",
    "CONSISTENCY",
    "FAITHFULNESS",
    "GRADIENT",
    "HEAD_COST",
    "LOCALISATION",
    "MIXING",
    "NOISE",
    "PADDING",
    "POSITION_LEAK",
    "RESOLUTION",
    "SHIFT",
    "SPARSITY",
    "VARIANCE",
    "Audit",
    "AuditData",
    "Chart",
    "DoesNotApplyError",
    "Finding",
    "Table",
    "Verdict",
    "audit",
    "gather",
    "run_audits",
]
