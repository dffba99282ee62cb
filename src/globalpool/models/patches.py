"""Pictures of several sizes as sequences of patches in one batch, as NaFlex transformers take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from globalpool.errors import LayoutError
from globalpool.evidence import Evidence
from globalpool.extras import need
from globalpool.layout import Dense, Padded


@dataclass(frozen=True, eq=False)
class Patches:
    """N pictures as at most P patches each (Dehghani et al., Patch n' Pack: NaViT, 2023; timm's NaFlex batches).

    ``values (N, P, A)``: the numbers of each patch, in the order the network wants; ``coord (N, P, 2)`` int64: its row
    and column in the picture's own grid; ``valid (N, P)`` bool: True at patches, False at padding, where values may be
    anything.
    """

    values: Tensor
    coord: Tensor
    valid: Tensor

    def __post_init__(self) -> None:
        samples, patches = self.values.shape[:2]
        if self.values.ndim != 3 or self.coord.shape != (samples, patches, 2) or self.valid.shape != (samples, patches):
            got = ", ".join(str(tuple(one.shape)) for one in (self.values, self.coord, self.valid))
            raise LayoutError("Patches", "values (N, P, A), coord (N, P, 2) and valid (N, P)", got)
        if self.valid.dtype != torch.bool:
            raise LayoutError("Patches", "`valid` as bool, True at patches", str(self.valid.dtype))

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(
        cls, pictures: Sequence[Tensor] | Padded, patch: tuple[int, int], most: int | None = None, last: bool = True
    ) -> Self:
        """Pictures ``(C, H, W)`` of any sizes, cut into patches of ``patch`` pixels, row-major.

        Sides that are no multiple of the patch are resized to the nearest one (bilinear, antialiased); with ``most`` a
        picture of more patches is first made smaller at its aspect, until it has at most so many. ``last``: channels
        vary fastest within a patch, as timm has it, otherwise slowest.
        """
        if isinstance(pictures, Padded):
            pictures = [one[:, :height, :width] for one, (height, width) in zip(*_unpacked(pictures), strict=True)]
        if most is not None and most < 1:
            raise LayoutError("Patches.of", "`most` as 1 or more patches", str(most))
        cut = need("timm.data.naflex_transforms", "images", "Patches.of").patchify_image
        found = []
        for one in pictures:
            if one.ndim != 3 or 0 in one.shape:
                raise LayoutError("Patches.of", "pictures (C, H, W) with pixels", str(tuple(one.shape)))
            found.append(cut(to_multiples(_fitted(one, patch, most)[None], patch)[0], patch, channels_last=last))
        if not found:
            raise LayoutError("Patches.of", "one picture or more", "none")
        longest = max(len(values) for values, _, _ in found)
        values = found[0][0].new_zeros(len(found), longest, found[0][0].shape[1])
        coord = torch.zeros(len(found), longest, 2, dtype=torch.long, device=values.device)
        valid = torch.zeros(len(found), longest, dtype=torch.bool, device=values.device)
        for sample, (own, places, _) in enumerate(found):
            values[sample, : len(own)], coord[sample, : len(own)], valid[sample, : len(own)] = own, places, True
        return cls(values, coord, valid)

    @classmethod
    def from_timm(cls, batch: Mapping[str, Any]) -> Self:
        """The inputs of a batch of timm's NaFlex loader: ``patches``, ``patch_coord`` and ``patch_valid``."""
        return cls(batch["patches"].flatten(2), batch["patch_coord"], batch["patch_valid"])

    def to(self, target: torch.device | torch.dtype | str) -> Self:
        """The same batch on a device, or its numbers in a dtype."""
        values = self.values.to(target)
        return type(self)(values, self.coord.to(values.device), self.valid.to(values.device))

    def shapes(self) -> Tensor | None:
        """``(N, 2)``: the grids, where every sample has all patches of its own, row-major from its first place on."""
        counts = self.valid.sum(1)
        sides = torch.where(self.valid[..., None], self.coord + 1, 0).amax(1) if self.valid.shape[1] else 0 * counts
        place = torch.arange(self.valid.shape[1], device=self.valid.device)
        row_major = (self.coord[..., 0] * sides[:, None, 1] + self.coord[..., 1] == place) | ~self.valid
        front = self.valid == (place < counts[:, None])
        return sides if bool((row_major & front).all() & (sides.prod(1) == counts).all()) else None

    def maps(self, evidence: Evidence) -> list[Tensor]:
        """Evidence of these patches put back on each picture's grid: ``(K', h, w)``, zero where no patch was given.

        The evidence may be that of the ragged or of the masked form; its sums are kept. For another resolution of whole
        pictures take ``evidence.upsample`` or ``interpolate`` of the ragged form.
        """
        dense = isinstance(evidence.layout, Dense)
        rows = evidence.maps.transpose(1, 2)[self.valid] if dense else evidence.maps
        counts = self.valid.sum(1)
        if len(rows) != int(counts.sum()) or evidence.classes.shape[0] != len(self):
            got = f"{len(rows)} rows of {evidence.classes.shape[0]} samples"
            expected = f"evidence of these {len(self)} samples with {int(counts.sum())} patches"
            raise LayoutError("Patches.maps", expected, got)
        places = self.coord[self.valid]
        found = []
        for own, where in zip(rows.split(counts.tolist()), places.split(counts.tolist()), strict=True):
            height, width = (where.amax(0) + 1).tolist() if len(where) else (0, 0)
            grid = own.new_zeros(height * width, own.shape[1])
            found.append(grid.index_add(0, where[:, 0] * width + where[:, 1], own).T.reshape(-1, height, width))
        return found


def to_multiples(x: Tensor, patch: tuple[int, int]) -> Tensor:
    """Pictures ``(N, C, H, W)`` whose sides are multiples of the patch: the nearest, one patch at least."""
    shape = tuple(max(1, round(side / step)) * step for side, step in zip(x.shape[2:], patch, strict=True))
    if shape == tuple(x.shape[2:]):
        return x
    return interpolate(x, shape, mode="bilinear", align_corners=False, antialias=True)


def _fitted(picture: Tensor, patch: tuple[int, int], most: int | None) -> Tensor:
    """``picture``, made smaller at its aspect where it has more than ``most`` patches."""
    height, width = picture.shape[1:]
    if most is None or max(1, round(height / patch[0])) * max(1, round(width / patch[1])) <= most:
        return picture
    size = need("timm.data.naflex_transforms", "images", "Patches.of").get_image_size_for_seq
    _, shape = size((height, width), patch, most)
    return interpolate(picture[None], shape, mode="bilinear", align_corners=False, antialias=True)[0]


def _unpacked(pictures: Padded) -> tuple[Tensor, list[list[int]]]:
    if pictures.measure is not None or pictures.values.ndim != 4:
        raise LayoutError("Patches.of", "padded pictures (N, C, H, W) without a measure", "others")
    return pictures.values, pictures.sizes.tolist()
