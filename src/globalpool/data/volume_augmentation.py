"""Random changes of a training volume, by MONAI's transforms."""

from dataclasses import dataclass
from functools import cached_property
from math import radians
from typing import Any

import torch
from torch import Tensor

from globalpool.extras import need


@dataclass(frozen=True)
class VolumeAugmentation:
    """``flip``: probability to be mirrored, each axis by itself. ``turn``: largest angle about each axis in degrees.
    ``shift``: largest shift along each axis, as a share of it. ``zoom``: scale uniform from ``1 - zoom`` to
    ``1 + zoom``. ``noise``: largest deviation of normal noise, in the units of prepared values. ``light``: values are
    multiplied by a factor uniform from ``1 - light`` to ``1 + light``. 0 switches each off.

    Sizes of voxels move with their values, and what a turn, a shift or a zoom lays bare counts as absent. Angles are
    those of the grid of voxels: right where they are cubes. A vector field is moved, its vectors are not turned.
    Draws from torch's global CPU generator.
    """  # noqa: D205

    flip: float = 0.0
    turn: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    noise: float = 0.0
    light: float = 0.0

    @cached_property
    def _places(self) -> Any | None:
        """Transforms of places alone; None of nothing."""
        found: list[Any] = []
        if self.flip:
            flips = need("monai.transforms", "volumes", "augmentation").RandFlip
            found += [flips(self.flip, axis) for axis in range(3)]
        return _composed(found)

    def _affine(self, shape: tuple[int, ...]) -> Any | None:
        if not (self.turn or self.shift or self.zoom):
            return None
        affine = need("monai.transforms", "volumes", "augmentation").RandAffine(
            prob=1.0,
            rotate_range=[radians(self.turn)] * 3,
            translate_range=[self.shift * side for side in shape],
            scale_range=[self.zoom] * 3,
            mode="bilinear",
            padding_mode="zeros",
        )
        return _composed([affine])

    @cached_property
    def _values(self) -> Any | None:
        """Transforms of values alone."""
        found: list[Any] = []
        if self.light:
            found.append(need("monai.transforms", "volumes", "augmentation").RandScaleIntensity(self.light, prob=1.0))
        if self.noise:
            found.append(need("monai.transforms", "volumes", "augmentation").RandGaussianNoise(1.0, std=self.noise))
        return _composed(found)

    def __call__(self, values: Tensor, measure: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``values (C, I, J, K)`` and ``measure (I, J, K)``, or None, of the same sizes as before."""
        affine = self._affine(tuple(values.shape[1:]))
        if self._places is not None or affine is not None:
            # One stack, so that both are moved by the same draw; what is laid bare gets size 0.
            sizes = torch.ones_like(values[:1]) if measure is None else measure.to(values)[None]
            both = torch.cat([values, sizes])
            for transform in (self._places, affine):
                both = both if transform is None else _drawn(transform, both)
            values = both[:-1]
            if measure is not None or affine is not None:
                measure = torch.where(both[-1] < 1e-6, 0, both[-1])
                values = torch.where(measure > 0, values, 0)
        return (values if self._values is None else _drawn(self._values, values)), measure


def _composed(transforms: list[Any]) -> Any | None:
    return need("monai.transforms", "volumes", "augmentation").Compose(transforms) if transforms else None


def _drawn(transform: Any, x: Tensor) -> Tensor:
    """``transform(x)`` as a plain tensor, its random numbers from torch's generator."""
    transform.set_random_state(seed=int(torch.randint(2**31, ())))
    changed: Tensor = torch.as_tensor(transform(x.contiguous()))
    return changed.as_tensor() if hasattr(changed, "as_tensor") else changed
