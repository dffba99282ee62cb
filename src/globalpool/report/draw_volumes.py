"""Evidence in a volume: three slices and three projections, in millimetres; and a NIfTI file of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from globalpool.data.volume import Volume
from globalpool.data.volumes import Volumes, windowed
from globalpool.errors import EvidenceError
from globalpool.evidence import Evidence
from globalpool.extras import need
from globalpool.report.even_grid import even_grid
from globalpool.report.figure import COLOURS
from globalpool.report.kinds import Panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Shares of values between which grey runs: a few bright voxels shall not make the rest black.
DARK, BRIGHT = 0.005, 0.995
#: Inches of a panel; the longest axis of the volume fills it.
PANEL = 2.4
#: Across the third, the second, the first axis: which axes run to the right and up.
PLANES = ((0, 1), (0, 2), (1, 2))


def draw_volume(item: Volume, inputs: Volumes, panels: Panels) -> "Figure":
    """A row for each class: slices through the voxel with the strongest evidence, then projections over the volume.

    Columns are the planes across the third, the second and the first axis, with lengths to scale. A projection shows
    along each line the evidence of the largest size, for or against. All panels share one signed scale, in logits per
    voxel: voxels of the whole volume and the offset add up to the logit over the mean of all classes, or to the
    difference of two. Without panels: the three slices through the middle, in grey alone.
    """
    need("matplotlib", "images", "draw_volume")
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    if not panels:
        return _middle(item, inputs)
    maps = [_at_voxels(evidence, item) for evidence, _ in panels]
    limit = max((float(np.abs(one).max()) for one in maps), default=0.0) or 1.0
    grey = _grey(item, inputs)
    lengths = [float(axis.borders[-1]) for axis in item.axes]
    longest = max(lengths) if len({axis.unit for axis in item.axes}) == 1 else None
    figure = Figure((2 * 3 * PANEL + 1.2, len(panels) * PANEL * 1.08 + 0.5), layout="constrained")
    grid = figure.subplots(len(panels), 6, squeeze=False)
    scale = Normalize(-limit, limit)
    for row, (own, (_, title)) in enumerate(zip(maps, panels, strict=True)):
        peak = np.unravel_index(int(np.abs(own).argmax()), own.shape)
        for column, plane in enumerate(PLANES):
            through = 3 - sum(plane)
            cut = int(peak[through])
            place = float(item.axes[through].places[cut])
            axis = item.axes[through]
            _panel(grid[row, column], item, plane, np.take(grey, cut, through), np.take(own, cut, through), limit)
            name = f"{axis.name} at {place:.1f} {axis.unit}"
            largest = np.abs(own).argmax(through)
            flat = np.take_along_axis(own, np.expand_dims(largest, through), through).squeeze(through)
            _panel(grid[row, 3 + column], item, plane, grey.mean(through), flat, limit)
            grid[row, column].set_title(name, fontsize=7, parse_math=False)
            grid[row, 3 + column].set_title(f"largest along {axis.name}", fontsize=7)
            for panel in (grid[row, column], grid[row, 3 + column]):
                if longest is None:
                    panel.set_aspect("auto")
        grid[row, 0].text(
            -0.35, 0.5, title, transform=grid[row, 0].transAxes, fontsize=8, rotation=90, va="center", ha="right"
        ).set_parse_math(False)
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), ax=list(grid.flat), fraction=0.02, pad=0.01)
    bar.set_label("evidence, logits per voxel\nblue: against    red: for", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(f"{item.path.name}, {' x '.join(map(str, item.shape))} voxels", fontsize=9).set_parse_math(False)
    return figure


def _middle(item: Volume, inputs: Volumes) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure((3 * PANEL, PANEL + 0.3), layout="constrained")
    grey = _grey(item, inputs)
    for panel, plane in zip(figure.subplots(1, 3), PLANES, strict=True):
        through = 3 - sum(plane)
        cut = item.shape[through] // 2
        own = np.take(grey, cut, through)
        _panel(panel, item, plane, own, np.zeros(own.shape), 1.0)
        axis = item.axes[through]
        panel.set_title(f"{axis.name} at {axis.places[cut]:.1f} {axis.unit}", fontsize=7, parse_math=False)
        if len({axis.unit for axis in item.axes}) > 1:
            panel.set_aspect("auto")
    return figure


def save_volume(path: Path, item: Volume, inputs: Volumes, evidence: Evidence) -> list[Path]:
    """``<path>.nii.gz``: the raw evidence for the classes shown, one a time point, at the input's resolution.

    The sum over voxels is the logit minus the offset, which its description names; the affine is the input's, so that
    it lies over the scan in any viewer. A grid of uneven slices is laid on an even one between the same borders first,
    each slice giving its evidence to what it covers. A volume of time and pixels has no place in the body and is
    written as voxels of its own units.
    """
    nibabel = need("nibabel", "volumes", "save_volume")
    maps = np.stack([_at_voxels(evidence.select(class_id), item) for class_id in evidence.classes[0].tolist()])
    maps, affine = even_grid(maps, item)
    image = nibabel.Nifti1Image(np.moveaxis(maps, 0, -1).astype(np.float32), affine)
    image.header.set_xyzt_units("mm" if item.axes[0].unit == "mm" else "unknown")
    offsets = " ".join(f"{value:.5g}" for value in evidence.offset[0].tolist())
    classes = " ".join(map(str, evidence.classes[0].tolist()))
    image.header["descrip"] = f"evidence {classes} offset {offsets}"[:79].encode()
    limit = float(np.abs(maps).max())
    image.header["cal_min"], image.header["cal_max"] = -limit, limit
    file = Path(f"{path}.nii.gz")
    nibabel.save(image, file)
    return [file]


def _at_voxels(evidence: Evidence, item: Volume) -> NDArray[np.float64]:
    """The evidence of one sample for one class at every voxel, ``(I, J, K)``, with the sum it has at the positions."""
    found = evidence.upsample(item.shape)
    if not isinstance(found, torch.Tensor) or found.shape[:2] != (1, 1):
        raise EvidenceError(
            "draw_volume", "evidence of one dense sample for one class", str(tuple(evidence.maps.shape))
        )
    values: NDArray[np.float64] = found[0, 0].detach().double().numpy(force=True)
    return values


def _grey(item: Volume, inputs: Volumes) -> NDArray[np.float32]:
    """The mean of the channels in the window, from 0 to 1."""
    values = np.nan_to_num(windowed(item.values, inputs.window).mean(0), nan=float(np.nanmin(item.values)))
    low, high = np.quantile(values, [DARK, BRIGHT])
    grey: NDArray[np.float32] = np.clip((values - low) / max(float(high - low), 1e-12), 0, 1).astype(np.float32)
    return grey


def _panel(
    panel: "Axes",
    item: Volume,
    plane: tuple[int, int],
    grey: NDArray[Any],
    evidence: NDArray[Any],
    limit: float,
) -> None:
    """Grey below, evidence above where it is strong; voxels at their own borders."""
    from matplotlib import colormaps

    right, up = (item.axes[number] for number in plane)
    shade = colormaps["gray"](0.15 + 0.7 * grey)[..., :3]
    strength = (np.abs(evidence) / limit).clip(0, 1)[..., None] ** 0.7
    colours = colormaps[COLOURS](0.5 + evidence / (2 * limit))[..., :3]
    mixed = (1 - strength) * shade + strength * colours
    panel.pcolormesh(right.borders, up.borders, mixed.transpose(1, 0, 2), rasterized=True)
    panel.set_aspect("equal")
    if right.name in ("row", "column", "time"):
        panel.invert_yaxis()
    panel.set_xlabel(f"{right.name} ({right.unit})", fontsize=7, labelpad=1)
    panel.set_ylabel(f"{up.name} ({up.unit})", fontsize=7, labelpad=1)
    panel.tick_params(labelsize=6)
