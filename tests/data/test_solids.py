"""Solids: what their parts are, and that nothing but their shape tells the classes apart."""

import numpy as np
import pytest

from globalpool.data.solids import BALL, BODIES, PART_VOLUME, PARTS, solids
from globalpool.errors import DataError


def test_a_solid_depends_on_its_number_alone() -> None:
    few, many = solids(3, 4), solids(3, 9)
    assert all(np.array_equal(a, b) for a, b in zip(few.volumes, many.volumes, strict=False))
    assert few.labels.tolist() == [0, 1, 2, 0]
    others = (solids(4, 4), solids(3, 4, split="test"))
    assert not any(np.array_equal(few.volumes[0], other.volumes[0]) for other in others)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 0.8, 2.5)])
def test_parts_have_one_volume_in_millimetres_and_their_shapes(spacing: tuple[float, float, float]) -> None:
    data = solids(0, 60, spacing=spacing)
    voxel = float(np.prod(spacing))
    sizes = np.array([part.sum() * voxel for part in data.parts])
    for label in range(3):  # one part is cut by the grid, many on average are not
        assert sizes[data.labels == label].mean() == pytest.approx(PART_VOLUME, rel=0.06)


def test_balls_are_round_rods_long_and_plates_flat() -> None:
    data = solids(0, 60)
    for label, name in enumerate(PARTS):
        ratios = []
        for index in np.flatnonzero(data.labels == label):
            extent = np.sqrt(np.linalg.eigvalsh(np.cov(np.argwhere(data.parts[index]).T))[::-1])
            ratios.append((extent[0] / extent[1], extent[1] / extent[2]))
        long, flat = np.mean(ratios, 0)
        assert (long > 3) == (name == "rod"), f"{name}: {long:.2f}"
        assert (flat > 3) == (name == "plate"), f"{name}: {flat:.2f}"


def test_no_mean_of_the_values_tells_the_classes_apart() -> None:
    data = solids(1, 300, sides=(24.0,))
    means = np.array([volume.mean() for volume in data.volumes])
    brightest = np.array([volume[part].mean() for volume, part in zip(data.volumes, data.parts, strict=True)])
    assert {len(set(data.labels[data.bodies == body])) for body in range(len(BODIES))} == {3}
    for own in range(3):
        apart = (means[data.labels == own].mean() - means.mean()) / means.std()
        assert abs(apart) < 0.25
        assert abs(brightest[data.labels == own].mean() - brightest.mean()) < 0.15
    assert [len(volume.shape) for volume in data.volumes[:1]] == [3]


def test_a_solid_is_a_volume_with_its_spacing() -> None:
    data = solids(0, 3, spacing=(1.0, 2.0, 3.0), sides=(24.0,))
    volume = data.volume(1)
    assert volume.shape == (24, 12, 8)
    assert volume.spacing == (1.0, 2.0, 3.0)
    assert volume.measure() == pytest.approx(6.0)
    assert len(PARTS) == 3
    assert BALL == 3.0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"count": 0}, "`count` as a whole number from 1"),
        ({"count": 1, "sides": (12.0,)}, r"`sides` from 24 to 512 mm; got \(12.0,\)"),
        ({"count": 1, "spacing": (1.0, 1.0, 9.0)}, "`spacing` as three lengths from 0.25 to 3 mm"),
        ({"count": 1, "split": "dev"}, '`split` "train" or "test"; got \'dev\''),
    ],
)
def test_arguments_that_cannot_be(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        solids(0, **arguments)  # type: ignore[arg-type]
