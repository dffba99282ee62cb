"""Random changes of a training picture, by torchvision's transforms."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from globalpool.errors import DataError
from globalpool.extras import need


@dataclass(frozen=True)
class Augmentation:
    """``flip``: probability to be mirrored left to right. ``shift``: largest shift either way, as a share of height and
    width. ``zoom``: scale uniform from ``1 - zoom`` to ``1 + zoom``. ``light``: brightness, contrast and saturation are
    each multiplied by a factor uniform from ``1 - light`` to ``1 + light``. 0 switches each off.

    Called with uint8 ``(3, H, W)`` at the size that goes into the network; the shape stays. What a shift or a zoom
    lays bare is black. Draws from torch's global CPU generator, which ``training_batches`` sets for each picture.
    """  # noqa: D205

    flip: float = 0.5
    shift: float = 0.0
    zoom: float = 0.0
    light: float = 0.0

    def __post_init__(self) -> None:
        for name, limit in (("flip", 1), ("shift", 1), ("zoom", 0.99), ("light", 1)):
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise DataError("Augmentation", f"`{name}` from 0 to {limit}", f"{value}")

    @cached_property
    def transform(self) -> Any:
        """The transforms of torchvision that it stands for."""
        v2 = need("torchvision.transforms.v2", "images", "Augmentation")
        found = []
        if self.flip:
            found.append(v2.RandomHorizontalFlip(self.flip))
        if self.shift or self.zoom:
            zoom = (1 - self.zoom, 1 + self.zoom)
            bilinear = v2.InterpolationMode.BILINEAR
            shift = (self.shift, self.shift)
            found.append(v2.RandomAffine(0, translate=shift, scale=zoom, interpolation=bilinear))
        if self.light:
            found.append(v2.ColorJitter(self.light, self.light, self.light))
        return v2.Compose(found) if found else v2.Identity()

    def __call__(self, pixels: Tensor) -> Tensor:
        """The picture, changed."""
        changed: Tensor = self.transform(pixels)
        return changed
