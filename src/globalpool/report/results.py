"""What an explanation holds: one row a class and picture, and the whole."""

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Prediction:
    """One class of one picture; a row of ``predictions.csv``. Logits and residual in logit units.

    ``logit == evidence_for + evidence_against + offset`` up to ``residual``, all against the mean of all classes
    (``centered_logit``); ``raw_logit`` is the network's own number.
    """

    path: str
    rank: int
    class_id: int
    label: str
    probability: float
    raw_logit: float
    centered_logit: float
    evidence_for: float
    evidence_against: float
    offset: float
    residual: float
    figure: str
    notes: str


@dataclass(frozen=True)
class Explanation:
    """What ``explain`` wrote: ``out`` holds index.html, predictions.csv, evidence.npz, errors.csv and pictures/.

    ``errors``: (path, reason) of files that could not be read or explained; ``residual``: the largest, logit units;
    ``offset_share``: share of the logits' variation between pictures that the offset carries (NaN where they do not
    vary); ``kind`` of the evidence; ``passed_over``: files in searched folders without a known
    suffix; ``word``: what one sample is called.
    """

    out: Path
    predictions: tuple[Prediction, ...]
    errors: tuple[tuple[str, str], ...]
    residual: float
    offset_share: float
    kind: str
    passed_over: tuple[str, ...]
    word: str = "picture"


#: The columns of predictions.csv; ``class`` is the label.
COLUMNS = tuple("class" if field.name == "label" else field.name for field in fields(Prediction))
