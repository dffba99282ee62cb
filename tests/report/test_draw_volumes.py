"""Evidence of a volume goes back to its millimetres: in the figure and in a NIfTI file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import nibabel
import numpy as np
import pytest
import torch

import globalpool as gp
from globalpool.data.volumes import Volumes
from globalpool.report.draw_volumes import draw_volume, save_volume
from globalpool.report.even_grid import even_grid
from tests.data.test_volume_files import GRIDS
from tests.data.volume_makers import write_nifti, write_series

SPOT = (9, 4, 12)


@pytest.fixture(scope="module")
def classifier() -> gp.PooledClassifier:
    """Class 0 is brightness, class 1 its opposite, class 2 neither, at a stride of 2."""
    network = gp.PooledClassifier(
        gp.models.PaddedSequential(torch.nn.AvgPool3d(2), torch.nn.Conv3d(1, 2, 1)), gp.Mean(), torch.nn.Linear(2, 3)
    )
    with torch.no_grad():
        network.trunk.get_parameter("1.weight")[:, 0] = torch.tensor([1.0, -1.0])[:, None, None, None]
        network.trunk.get_parameter("1.bias").zero_()
        network.tail.get_parameter("weight").copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
        network.tail.get_parameter("bias").copy_(torch.tensor([0.5, -0.25, 2.0]))
    return network.eval()


def spot(shape: tuple[int, int, int] = (14, 10, 16)) -> Any:
    values = np.zeros(shape, np.int16)
    values[tuple(slice(place // 2 * 2, place // 2 * 2 + 2) for place in SPOT)] = 1000
    return values


def explained(classifier: gp.PooledClassifier, path: Path) -> tuple[Any, Volumes, gp.Evidence]:
    inputs = Volumes((0.0,), (1.0,))
    item = inputs.read(path)
    (part,) = inputs.collate([inputs.prepare(item)])
    return item, inputs, classifier.evidence(part, "all").detach().check()


@pytest.mark.parametrize("name", GRIDS)
def test_the_saved_evidence_lies_where_the_scan_has_its_spot(
    name: str, classifier: gp.PooledClassifier, tmp_path: Path
) -> None:
    path = write_nifti(tmp_path / "scan.nii.gz", spot(), GRIDS[name])
    item, inputs, evidence = explained(classifier, path)
    (file,) = save_volume(tmp_path / "00000.x", item, inputs, evidence)
    assert file.name == "00000.x.nii.gz"
    saved = nibabel.load(file)
    maps = saved.get_fdata()
    assert maps.shape[3] == 3
    # The sum in the file is the logit less its offset.
    assert maps.sum((0, 1, 2)) == pytest.approx((evidence.logits - evidence.offset)[0].numpy(), rel=1e-4)
    # By the file's own affine and the scan's own: the same point of the body.
    peak = np.argwhere(maps[..., 0] > 0.99 * maps[..., 0].max()).mean(0)
    bright = np.argwhere(spot() > 0).mean(0)
    found, expected = saved.affine @ [*peak, 1], nibabel.load(path).affine @ [*bright, 1]
    assert found == pytest.approx(expected, abs=1e-3)
    assert saved.header.get_xyzt_units()[0] == "mm"
    assert b"evidence 0 1 2 offset 0.5 -0.25 2" in bytes(saved.header["descrip"])


@pytest.mark.parametrize("name", GRIDS)
def test_evidence_on_uneven_slices_is_saved_at_its_height(
    name: str, classifier: gp.PooledClassifier, tmp_path: Path
) -> None:
    heights = np.cumsum(np.linspace(1, 3, 16))
    path = write_series(tmp_path / "series", spot(), GRIDS[name], heights.tolist())
    item, inputs, evidence = explained(classifier, path)
    (file,) = save_volume(tmp_path / "a", item, inputs, evidence)
    saved = nibabel.load(file)
    maps = saved.get_fdata()[..., 0]
    assert maps.sum() == pytest.approx(float(evidence.logits[0, 0] - evidence.offset[0, 0]), rel=1e-4)
    given = maps[maps > 0]
    centre = (np.argwhere(maps > 0) * given[:, None]).sum(0) / given.sum()
    # Both slices of the spot have half of its evidence, over what each reaches.
    borders = np.concatenate([[heights[0] - 0.5 * (heights[1] - heights[0])], (heights[1:] + heights[:-1]) / 2])
    first, second = (np.mean([borders[k], borders[k + 1]]) for k in (12, 13))
    i, j = np.argwhere(spot()[:, :, 12] > 0).mean(0)
    expected = GRIDS[name] @ [i, j, (first + second) / 2, 1]
    assert saved.affine @ [*centre, 1] == pytest.approx(expected, abs=0.8)


def test_an_even_grid_keeps_sums_and_stays_itself() -> None:
    from tests.data.test_volumes import HEIGHTS, volume

    item = volume(np.random.default_rng(0).random((1, 3, 4, 7)), HEIGHTS)
    maps, affine = even_grid(item.values.astype(np.float64), item)
    assert maps.sum() == pytest.approx(item.values.sum())
    assert maps.sum((0, 3)) == pytest.approx(item.values.sum((0, 3)))
    assert maps.shape == (1, 3, 4, 17)
    # Millimetre by millimetre: the share of the slice that reaches over it.
    borders = item.axes[2].borders
    for step in range(17):
        centre = step + 0.5
        own = int(np.searchsorted(borders, centre)) - 1
        if borders[own] <= step and step + 1 <= borders[own + 1]:
            assert maps[0, 0, 0, step] == pytest.approx(item.values[0, 0, 0, own] / item.axes[2].lengths[own])
    assert affine[:3, 3] == pytest.approx(item.affine[:3, 3] + [0, 0, (1 - 17 / 7) / 2])
    even = volume(item.values)
    assert even_grid(item.values.astype(np.float64), even)[1] is even.affine


def test_the_figure_shows_the_strongest_voxel_in_every_plane_on_one_scale(
    classifier: gp.PooledClassifier, tmp_path: Path
) -> None:
    item, inputs, evidence = explained(classifier, write_nifti(tmp_path / "scan.nii", spot(), GRIDS["upright"]))
    centred = evidence.centered()
    panels = [(centred.select(0), "bright"), (centred.select(1), "dark")]
    figure = draw_volume(item, inputs, panels)
    figure.savefig(tmp_path / "figure.png", dpi=100)
    *grid, bar = figure.axes
    assert len(grid) == 12
    low, high = bar.get_ylim()
    assert low == pytest.approx(-high)
    borders = [axis.borders for axis in item.axes]
    found = [np.argwhere(item.values[0] > 0)[0], np.argwhere(item.values[0] > 0)[-1]]
    planes = [(0, 1), (0, 2), (1, 2)] * 2
    for row, colour in ((0, "Reds"), (1, "Blues")):
        assert colour in matplotlib.colormaps
        for panel, (right, up) in zip(grid[6 * row : 6 * row + 6], planes, strict=True):
            (mesh,) = panel.collections
            colours = np.asarray(mesh.get_facecolor())[:, :3].reshape(len(borders[up]) - 1, len(borders[right]) - 1, 3)
            strong = colours[..., 0] - colours[..., 2] if row == 0 else colours[..., 2] - colours[..., 0]
            vertical, horizontal = np.unravel_index(int(strong.argmax()), strong.shape)
            assert found[0][up] - 1 <= vertical <= found[1][up] + 1
            assert found[0][right] - 1 <= horizontal <= found[1][right] + 1
            assert panel.get_xlim() == pytest.approx((0, borders[right][-1]))
    assert grid[2].get_xlabel() == "y (mm)"
    raw = [(evidence.select(0), "raw")]
    assert draw_volume(replace(item, notes=()), inputs, raw).axes
