"""What each command can be told: flat dataclasses of plain values, free of heavy imports."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ExplainOptions:
    """Classes, probabilities and evidence of pictures, written to a folder with a page.

    Args:
        model: network to explain (see `globalpool models`)
        classes: top1, top3, ... or class names or ids separated by commas
        size: native, or the side in pixels to which the whole picture is resized (default: what the model was
            trained at)
        out: folder to write to
        overwrite: replace an earlier explanation in that folder
    """

    model: str = "efficientnet_lite0"
    classes: str = "top3"
    size: int | Literal["native"] | None = None
    out: str = "explanation"
    overwrite: bool = False
