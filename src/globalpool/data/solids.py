"""Packaged volumes with known truth: solids in which a small part decides the class."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from globalpool.data.volume import Axis, Volume
from globalpool.errors import DataError

Array = NDArray[np.float64]
#: Kinds of part, which decide the class, and of body, which does not. All parts have one volume.
PARTS, BODIES = ("ball", "rod", "plate"), ("sphere", "box", "torus")
#: Millimetres: radius of the ball, length of the rod, thickness of the plate.
BALL, ROD, PLATE = 3.0, 12.0, 1.6
PART_VOLUME = 4 / 3 * np.pi * BALL**3
#: Smallest side in which a torus has room for a part; no part reaches further than this from its centre.
SMALLEST, REACH = 24.0, 6.3
NOISE = 0.1


@dataclass(frozen=True, eq=False)
class Solids:
    """``len(labels)`` volumes; everything about volume ``i`` stands in row ``i``.

    - ``volumes``: a tuple of float32 ``(I, J, K)``, one shape each: 0 outside, 0.6 to 1 in the body, 1 more in the
      part, and noise of deviation 0.1; a voxel on a border has what it holds of either side;
    - ``labels (N,)``: which of ``PARTS``; ``bodies (N,)``: which of ``BODIES``, independent of the labels;
    - ``parts``: a tuple of bool ``(I, J, K)``, True where a voxel's centre lies in the part;
    - ``spacing``: millimetres between voxels along each axis.
    """

    volumes: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64]
    bodies: NDArray[np.int64]
    parts: tuple[NDArray[np.bool_], ...]
    spacing: tuple[float, float, float]

    def __len__(self) -> int:
        return len(self.volumes)

    def volume(self, index: int) -> Volume:
        """Volume ``index`` as if it came from a file."""
        values = self.volumes[index]
        first, second, third = (
            Axis.even(name, "mm", count, step)
            for name, count, step in zip("xyz", values.shape, self.spacing, strict=True)
        )
        return Volume(Path(f"solid {index}"), values[None], (first, second, third), np.diag([*self.spacing, 1.0]))


def solids(
    seed: int,
    count: int,
    *,
    sides: Sequence[float] = (24.0, 28.0, 32.0),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    split: Literal["train", "test"] = "train",
) -> Solids:
    """Spheres, boxes and tori in cubes of ``sides`` millimetres (24 or more), a ball, rod or plate planted in each.

    Bodies, sides, places and directions are drawn at random, classes in turn; parts have one volume and one brightness,
    so no mean of the values tells them apart; their centre lies 1 mm or more inside the body, all of them in the cube.
    Shapes are in millimetres: ``spacing`` says how they are cut into voxels.

    Volume ``i`` depends on ``seed``, ``split``, ``i`` and the other arguments, not on ``count``, and on no global
    random state. DataError for arguments that cannot be.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1 or seed < 0:
        raise DataError("solids", "`count` as a whole number from 1 and `seed` from 0 on", f"{count!r}, {seed!r}")
    if split not in ("train", "test"):
        raise DataError("solids", '`split` "train" or "test"', repr(split))
    if not sides or not all(SMALLEST <= side <= 512 for side in sides):
        raise DataError("solids", f"`sides` from {SMALLEST:g} to 512 mm", str(tuple(sides)))
    if len(spacing) != 3 or not all(0.25 <= step <= BALL for step in spacing):
        raise DataError("solids", f"`spacing` as three lengths from 0.25 to {BALL:g} mm", str(spacing))
    volumes, parts, bodies = [], [], []
    for number in range(count):
        random = np.random.default_rng((seed, 0 if split == "train" else 1, number))
        side = float(random.choice(np.asarray(sides, dtype=np.float64)))
        body = int(random.integers(len(BODIES)))
        values, part = _solid(random, side, spacing, body, number % len(PARTS))
        volumes.append(values)
        parts.append(part)
        bodies.append(body)
    labels = np.arange(count) % len(PARTS)
    return Solids(tuple(volumes), labels, np.asarray(bodies), tuple(parts), spacing)


def _solid(
    random: np.random.Generator, side: float, spacing: tuple[float, float, float], body: int, part: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    places = [(np.arange(round(side / step)) + 0.5) * step for step in spacing]
    places = [place - place.mean() for place in places]
    points = np.stack(np.meshgrid(*places, indexing="ij"), -1)
    off = random.uniform(-0.06, 0.06, 3) * side
    outside = _BODIES[body]((points - off) @ _turned(random), side)
    room = side / 2 - REACH - max(spacing) / 2
    inside = np.argwhere((outside < -1) & (np.abs(points).max(-1) <= room))
    # Anywhere in that voxel: a ball around its middle would always be cut into fewer voxels than it fills.
    centre = points[tuple(inside[random.integers(len(inside))])] + random.uniform(-0.5, 0.5, 3) * spacing
    beyond = _PARTS[part]((points - centre) @ _turned(random))
    width = float(np.mean(spacing))
    filled = [np.clip(0.5 - distance / width, 0, 1) for distance in (outside, beyond)]
    # A part that reaches out of its body is seen there too.
    values = random.uniform(0.6, 1.0) * np.maximum(*filled) + filled[1] + NOISE * random.standard_normal(outside.shape)
    return values.astype(np.float32), beyond < 0


def _turned(random: np.random.Generator) -> Array:
    """A rotation drawn evenly: of a matrix of normal numbers, the orthogonal factor with positive diagonal."""
    q, r = np.linalg.qr(random.standard_normal((3, 3)))
    turned: Array = q * np.sign(np.diag(r))
    return turned


def _box(points: Array, half: tuple[float, float, float]) -> Array:
    """Distance to a box: negative inside."""
    over = np.abs(points) - np.asarray(half)
    return np.asarray(np.linalg.norm(np.maximum(over, 0), axis=-1) + np.minimum(over.max(-1), 0))


def _torus(points: Array, ring: float, tube: float) -> Array:
    across = np.linalg.norm(points[..., :2], axis=-1) - ring
    return np.asarray(np.hypot(across, points[..., 2]) - tube)


def _rod(points: Array, length: float, radius: float) -> Array:
    over = np.stack([np.linalg.norm(points[..., :2], axis=-1) - radius, np.abs(points[..., 2]) - length / 2], -1)
    return np.asarray(np.linalg.norm(np.maximum(over, 0), axis=-1) + np.minimum(over.max(-1), 0))


_BODIES: tuple[Callable[[Array, float], Array], ...] = (
    lambda points, side: np.asarray(np.linalg.norm(points, axis=-1) - 0.36 * side),
    lambda points, side: _box(points, (0.3 * side, 0.26 * side, 0.22 * side)),
    lambda points, side: _torus(points, 0.27 * side, 0.15 * side),
)
_PARTS: tuple[Callable[[Array], Array], ...] = (
    lambda points: np.asarray(np.linalg.norm(points, axis=-1) - BALL),
    lambda points: _rod(points, ROD, float(np.sqrt(PART_VOLUME / (np.pi * ROD)))),
    lambda points: _box(points, (np.sqrt(PART_VOLUME / PLATE) / 2, np.sqrt(PART_VOLUME / PLATE) / 2, PLATE / 2)),
)
