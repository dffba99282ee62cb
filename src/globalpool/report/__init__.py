"""Evidence to pictures, tables and pages."""

from globalpool.report.explain import Explanation, Prediction, explain
from globalpool.report.figure import draw_evidence

__all__ = ["Explanation", "Prediction", "draw_evidence", "explain"]
