"""Evidence to pictures, tables and pages."""

from globalpool.report.explain import explain
from globalpool.report.figure import draw_evidence
from globalpool.report.results import Explanation, Prediction

__all__ = ["Explanation", "Prediction", "draw_evidence", "explain"]
