"""What the theory predicts of a trained classifier, beside what is measured; one question a file."""

from globalpool.audits.audit import Audit, run_audits
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table, Verdict
from globalpool.audits.gather import gather
from globalpool.audits.run import audit
from globalpool.audits.samples import AuditData

#: Every audit, in the order in which they run.
ALL: tuple[Audit, ...] = ()

__all__ = [
    "ALL",
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
