"""What is localised: one map a picture, at the picture's own size, and what its zero means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.errors import EvidenceError, LocalizationError
from globalpool.evidence import Evidence

Array = NDArray[Any]
View = Literal["raw", "contrast", "centered", "unknown"]
Size = int | Sequence[int] | Tensor


@dataclass(frozen=True, eq=False)
class Heatmaps:
    """``values``: a tuple of floating maps ``(*S)``, one a picture, of 1 to 3 axes; ``view``: that of the evidence.

    Only "contrast" and "centered" maps have a zero of their own: adding one vector to every row of a softmax head
    changes no probability and every raw map. Maps that came as plain arrays have the view "unknown".
    """

    values: tuple[Array, ...]
    view: View = "unknown"

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of each map."""
        return [values.shape for values in self.values]

    @property
    def axes(self) -> int:
        """1, 2 or 3."""
        return self.values[0].ndim

    def require_zero(self, where: str) -> None:
        """EvidenceError unless zero separates for from against."""
        if self.view not in ("contrast", "centered"):
            raise EvidenceError(
                where,
                "contrast or centered evidence for the threshold zero",
                f"{self.view} maps" if self.view == "unknown" else f"{self.view} evidence",
                "One vector added to every row of the head moves the zero of raw maps and changes no probability: "
                "take heatmaps(evidence.contrast(i, j), size) or heatmaps(evidence.centered().select(i), size).",
            )


Maps = Heatmaps | Tensor | Array | Sequence[Any]


def heatmaps(evidence: Evidence, size: Size, sizes: Tensor | None = None) -> Heatmaps:
    """Evidence of one class a picture as maps at the pictures' own size, interpolated linearly (half-pixel).

    ``size``, ``sizes``: as in ``Evidence.interpolate``; with ``sizes (N, D)`` each map is cut to its own pixels.
    """
    if evidence.maps.shape[1] != 1:
        hint = 'Take evidence(x, classes="top1"), .select(class ids) or .contrast(i, j).'
        raise EvidenceError("heatmaps", "evidence of one class a picture", f"{evidence.maps.shape[1]}", hint)
    big = evidence.detach().interpolate(size, sizes)
    maps = [picture[0].cpu().numpy() for picture in big]
    if sizes is not None and isinstance(big, Tensor):
        cuts = [tuple(slice(side) for side in own) for own in sizes.tolist()]
        maps = [picture[cut] for picture, cut in zip(maps, cuts, strict=True)]
    return Heatmaps(tuple(maps), evidence.view)


def read_maps(where: str, maps: Maps, nan: bool = False) -> Heatmaps:
    """``maps`` as Heatmaps: a batch ``(N, *S)`` or a list of ``(*S)``; float32 and float64 stay as they are.

    LocalizationError where there is none, or one is empty, infinite, NaN (unless ``nan``), or of other or over 3 axes.
    """
    if isinstance(maps, Evidence):
        raise LocalizationError(where, "maps", "Evidence", "Write heatmaps(evidence, size): at what size, you decide.")
    view = maps.view if isinstance(maps, Heatmaps) else "unknown"
    values = tuple(_floating(picture) for picture in (maps.values if isinstance(maps, Heatmaps) else maps))
    if not values:
        raise LocalizationError(where, "one map or more", "none")
    for sample, picture in enumerate(values):
        if picture.ndim not in (1, 2, 3) or picture.ndim != values[0].ndim or picture.size == 0:
            expected = "maps of 1, 2 or 3 axes, the same for all, none empty"
            raise LocalizationError(where, expected, f"{picture.shape} for picture {sample}")
        if np.isinf(picture).any() or (not nan and np.isnan(picture).any()):
            raise LocalizationError(where, "finite maps", f"NaN or Inf in that of picture {sample}")
    return Heatmaps(values, view)


def _floating(picture: Any) -> Array:
    if isinstance(picture, Tensor):
        picture = picture.detach().cpu()
        picture = (picture if picture.dtype in (torch.float32, torch.float64) else picture.float()).numpy()
    values = np.asarray(picture)
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
