"""The page of an explanation: one HTML file beside its figures, readable without a network."""

from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from globalpool import __version__
from globalpool.extras import need

if TYPE_CHECKING:
    from globalpool.data import SizePolicy
    from globalpool.report.results import Explanation


def write_page(path: Path, explanation: "Explanation", size: "int | SizePolicy | None") -> None:
    """Write ``index.html``; names of files and classes are escaped, nothing is loaded from elsewhere."""
    jinja2 = need("jinja2", "images", "write_page")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("globalpool.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    groups = groupby(explanation.predictions, attrgetter("path"))
    pictures = [(Path(name).name, rows[0].figure, rows) for name, rows in ((key, list(group)) for key, group in groups)]
    html = environment.get_template("explanation.html").render(
        explanation=explanation,
        pictures=pictures,
        size="native size" if size is None else "as in training" if callable(size) else f"{size} x {size} pixels",
        version=__version__,
    )
    path.write_text(html, encoding="utf-8", errors="backslashreplace")
