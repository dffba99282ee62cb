"""The section of a run's report on what its evidence points at, where true boxes are known."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from globalpool.classifier import PooledClassifier
from globalpool.data import BoxedPicture, SizePolicy, read_picture
from globalpool.data.box_tables import check_inside
from globalpool.errors import DataError
from globalpool.localize import Heatmaps, LocatedPicture, MapRecipe, locate_files, max_box_accuracy_v2
from globalpool.localize.box_results import BoxAccuracy
from globalpool.report.boxes_figure import draw_boxes
from globalpool.report.inline import inline_figure

#: Pictures shown; pictures judged at most, and at most on which thresholds are chosen (maps are as large as pictures).
SHOWN, MOST = 10, 400


@dataclass(frozen=True, eq=False)
class Localised:
    """``accuracy``: MaxBoxAccV2 beside its baselines; ``how``: what was judged, in words; ``figure``: a data URI."""

    accuracy: BoxAccuracy
    how: str
    figure: str

    def facts(self) -> dict[str, Any]:
        """For report.json."""
        found = self.accuracy
        return {
            "metric": found.metric,
            "pictures": found.samples,
            "how": self.how,
            "accuracy": asdict(found.accuracy),
            "centre": asdict(found.centre),
            "above_centre": asdict(found.above_centre),
            "random": asdict(found.random),
            "rows": [asdict(row) for row in found.rows],
        }


def localise(
    classifier: PooledClassifier, choosing: Sequence[BoxedPicture], judging: Sequence[BoxedPicture], sizes: SizePolicy
) -> Localised:
    """Judge the evidence for the class that is said over its runner-up, with thresholds chosen on other pictures.

    ``choosing`` empty: every second picture of ``judging`` is for choosing. DataError where either has none that can
    be read, and for boxes outside their picture.
    """
    source = "validation pictures" if choosing else "the other half of the pictures with boxes"
    if not choosing:
        choosing, judging = judging[::2], judging[1::2]
    chosen, judged = (_located(classifier, one[:MOST], sizes) for one in (choosing, judging))
    if not chosen or not judged:
        got = f"{len(chosen)} and {len(judged)} that can be read"
        raise DataError("localisation", "pictures with boxes to choose thresholds on and to judge", got)
    accuracy = max_box_accuracy_v2(_maps(judged), _boxes(judged), validation=(_maps(chosen), _boxes(chosen)))
    classes = classifier.labels or ()
    some = judged[:SHOWN]
    figure = draw_boxes(
        [read_picture(picture.path).pixels for picture, _ in some],
        _maps(some),
        _boxes(some),
        half(accuracy),
        [classes[picture.class_id] for picture, _ in some],
    )
    return Localised(accuracy, told(f"{len(chosen)} of {source}"), inline_figure(figure))


def half(accuracy: BoxAccuracy) -> float:
    """The threshold chosen for an overlap of one half."""
    return next(row.threshold for row in accuracy.rows if row.iou == 0.5)


def told(source: str) -> str:
    """How it was judged; ``source``: the pictures on which thresholds were chosen."""
    return (
        "Evidence for the class that is said over its runner-up, without a look at the true class; thresholds were "
        f"chosen on {source}, for the centre baseline too"
    )


_Pair = tuple[LocatedPicture, BoxedPicture]


def _located(classifier: PooledClassifier, own: Sequence[BoxedPicture], sizes: SizePolicy) -> list[_Pair]:
    found = []
    files = [one.path for one in own]
    for picture, true in zip(locate_files(classifier, files, sizes, MapRecipe("contrast")), own, strict=True):
        if picture.values is not None:
            height, width = picture.values.shape
            check_inside(true, height, width)
            found.append((picture, true))
    return found


def _maps(pairs: Sequence[_Pair]) -> Heatmaps:
    return Heatmaps(tuple(picture.values for picture, _ in pairs if picture.values is not None), "contrast")


def _boxes(pairs: Sequence[_Pair]) -> list[Any]:
    return [true.boxes for _, true in pairs]
