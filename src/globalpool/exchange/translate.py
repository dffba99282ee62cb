"""An old pool's regions as fixed combinations of a new pool's regions."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from globalpool.exchange.resolution import gamma_of, members, positions
from globalpool.pools import (
    Attention,
    Concat,
    Grid,
    LearnedRegions,
    Mean,
    Pool,
    PositionGrid,
    PositionSine,
    Pyramid,
    ScaledSum,
    Statistics,
    Sum,
)

Size = tuple[int, ...] | None


@dataclass(frozen=True)
class Translation:
    """``old[r] = sum_s rows[r][s] new[s]`` for the regions of two pools of the same features.

    ``anywhere``: at every size; otherwise at the size it was made for. ``whole``: only without a mask, because bins
    with holes do not all count alike.
    """

    rows: tuple[tuple[float, ...], ...]
    anywhere: bool = True
    whole: bool = False


class SizeNeededError(Exception):
    """Only a size makes this translation possible."""


def translate(where: str, old: Pool, new: Pool, size: Size) -> Translation | None:
    """The translation, or None where the new pool does not hold what the old one held.

    Raises SizeNeededError where there is one for every single size and none is given.
    """
    if old.dim != new.dim:
        return None
    if old is new or _same(old, new):
        return Translation(tuple(tuple(float(r == s) for s in range(new.regions)) for r in range(old.regions)))
    if isinstance(old, Concat):
        each = [translate(where, member, new, size) for member in members(old)]
        return _stacked([part for part in each if part is not None]) if all(each) else None
    if isinstance(new, Concat):
        return _within(where, old, new, size)
    if isinstance(old, Grid) and isinstance(new, Grid) and old.bins == new.bins:
        if not _divides(new, size):
            return None
        eye = tuple(tuple(float(r == s) for s in range(new.regions)) for r in range(old.regions))
        return Translation(eye, anywhere=False, whole=True)
    power, row = _power(old), _mean(new, size)
    if power is None or row is None:
        return None
    gamma, factor = power
    exponent = row.gamma - gamma
    if exponent:
        if size is None:
            raise SizeNeededError
        factor *= positions(where, old, size) ** exponent
    rows = (tuple(factor * share for share in row.shares),) * old.regions
    return Translation(rows, row.anywhere and not exponent, row.whole)


def _within(where: str, old: Pool, new: Concat, size: Size) -> Translation | None:
    """The old pool read off one member, the best there is, and nothing from the others."""
    found: list[tuple[bool, int, Translation]] = []
    start, needs_size = 0, False
    for member in members(new):
        try:
            part = translate(where, old, member, size)
        except SizeNeededError:
            part, needs_size = None, True
        if part is not None:
            found.append((part.anywhere and not part.whole, start, part))
        start += member.regions
    if not found and needs_size:
        raise SizeNeededError
    if not found:
        return None
    _, start, part = max(found, key=lambda entry: (entry[0], -entry[1]))
    width = len(part.rows[0])
    left, right = (0.0,) * start, (0.0,) * (new.regions - start - width)
    return Translation(tuple((*left, *row, *right) for row in part.rows), part.anywhere, part.whole)


def _stacked(parts: list[Translation]) -> Translation:
    rows = tuple(row for part in parts for row in part.rows)
    return Translation(rows, all(part.anywhere for part in parts), any(part.whole for part in parts))


@dataclass(frozen=True)
class _Row:
    """``count^-gamma sum_p x[p] = sum_s shares[s] new[s]``."""

    shares: tuple[float, ...]
    gamma: float = 1.0
    anywhere: bool = True
    whole: bool = False


def _power(pool: Pool) -> tuple[float, float] | None:
    """``(gamma, factor)`` of a pool all of whose regions are ``factor count^-gamma sum_p x[p]``."""
    if isinstance(pool, Mean):
        return 1.0, 1.0
    if isinstance(pool, Sum | ScaledSum):
        return gamma_of(pool), 1.0
    if isinstance(pool, Attention | LearnedRegions) and _scores_are_equal(pool):
        area = isinstance(pool, LearnedRegions) and pool.normalize == "area"
        return 1.0, 1 / pool.regions if area else 1.0
    return None


def _mean(pool: Pool, size: Size) -> _Row | None:
    """How a sum over all positions is read off the regions of ``pool``."""
    power = _power(pool)
    if power is not None:
        gamma, factor = power
        return _Row((1 / (factor * pool.regions),) * pool.regions, gamma)
    if isinstance(pool, LearnedRegions) and pool.normalize == "area":
        return _Row((1.0,) * pool.regions)
    if isinstance(pool, Statistics):
        return _Row((1.0, 0.0))
    if isinstance(pool, Grid):
        exact = pool.partition == "exact"
        if not exact and not _divides(pool, size):
            return None
        return _Row((1 / pool.regions,) * pool.regions, anywhere=exact, whole=True)
    if isinstance(pool, Pyramid):
        start = 0
        for grid in pool.grids:
            row = _Row((1.0,)) if grid.regions == 1 else _mean(grid, size)
            if row is not None:
                rest = (0.0,) * (pool.regions - start - grid.regions)
                return _Row(((0.0,) * start) + row.shares + rest, 1.0, row.anywhere, row.whole)
            start += grid.regions
    return None


def _divides(grid: Grid, size: Size) -> bool:
    """Whether the bins cut the map between positions: then every partition is the same."""
    if size is None:
        return False
    sides = size if grid.dim is None else tuple(size[axis if axis < 0 else axis - 2] for axis in grid.dim)
    return len(sides) == len(grid.bins) and all(side % bins == 0 for side, bins in zip(sides, grid.bins, strict=True))


def _scores_are_equal(pool: Attention | LearnedRegions) -> bool:
    """Whether content and place give one score everywhere (and, over regions, the same share to each)."""
    content, position = pool.content, pool.position
    if content is not None:
        layer = content if isinstance(content, nn.Linear) and type(content).forward is nn.Linear.forward else None
        if layer is None or bool(layer.weight.any()):
            return False
        if isinstance(pool, LearnedRegions) and layer.bias is not None and bool((layer.bias != layer.bias[0]).any()):
            return False
    if position is None:
        return True
    table: Any = {PositionGrid: "table", PositionSine: "weight"}.get(type(position))
    return table is not None and not bool(getattr(position, table).any())


def _same(a: Pool, b: Pool) -> bool:
    """Whether two pools without parameters have the same settings."""
    fixed = not any(True for pool in (a, b) for _ in (*pool.parameters(), *pool.buffers()))
    return fixed and _settings(a) == _settings(b)


def _settings(value: Any) -> Any:
    if isinstance(value, Pool):
        plain = {name: _settings(own) for name, own in vars(value).items() if name[0] != "_" and name != "training"}
        return type(value), plain, [_settings(child) for child in value.children()]
    if isinstance(value, nn.ModuleList):
        return [_settings(child) for child in value]
    return [_settings(own) for own in value] if isinstance(value, list | tuple) else value
