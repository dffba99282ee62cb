"""Findings of audits as lines, as JSON, and as one page with its figures."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from globalpool import __version__
from globalpool.audits.finding import Cell, Finding
from globalpool.extras import need
from globalpool.report.audit_figures import draw_charts
from globalpool.training.files import write_whole

WIDTH = 110


def summary(finding: Finding) -> list[str]:
    """Two lines for the terminal: what was measured beside what was predicted, and the advice."""
    head = f"{finding.audit:<14} {finding.verdict:<14}"
    if finding.verdict == "not applicable":
        return [f"{head} {finding.advice}"]
    parts = []
    if finding.measured is not None:
        around = "" if finding.interval is None else f" [{number(finding.interval[0])}, {number(finding.interval[1])}]"
        parts.append(f"measured {number(finding.measured)}{around}")
    if finding.predicted is not None:
        parts.append(f"predicted {number(finding.predicted)}")
    line = f"{head} {', '.join(parts)} {finding.unit}".rstrip()
    return [line, f"  {finding.advice}", *(f"  note: {note}" for note in finding.notes)]


def number(value: Cell) -> str:
    """Three digits that count, for a table."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, str | int):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{value:.1e}"


def write_audit(out: Path, findings: Sequence[Finding], model: str, data: str) -> Path:
    """Write audit.json, figures/ and index.html into the folder; the page's path."""
    jinja2 = need("jinja2", "images", "write_audit")
    records = [finding.record() for finding in findings]
    write_whole(out / "audit.json", (json.dumps(records, indent=1, allow_nan=False) + "\n").encode())
    figures: dict[str, str] = {}
    for finding in findings:
        if finding.charts:
            (out / "figures").mkdir(exist_ok=True)
            name = f"figures/{finding.audit}.png"
            draw_charts(finding).savefig(out / name, dpi=110)
            figures[finding.audit] = name
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("globalpool.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["number"] = number
    html = environment.get_template("audit.html").render(
        findings=findings, figures=figures, model=model, data=data, version=__version__
    )
    page = out / "index.html"
    write_whole(page, html.encode(errors="backslashreplace"))
    return page
