"""Counts of positions, and what a change of their number does to a pool."""

from collections.abc import Sequence
from math import prod

from globalpool.errors import PoolError
from globalpool.pools import Concat, Learned, Pool, ScaledSum, Sum

#: The lengths of the FEATURE map's spatial axes, ``(7, 7)``; of ragged rows their number, ``(49,)``.
Size = Sequence[int]


def check_size(where: str, name: str, size: Size) -> tuple[int, ...]:
    """``size`` as a tuple of positive integers; raises PoolError for anything else."""
    sides = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else ()
    if not sides or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        hint = "Lengths of the feature map's axes, not of the picture's; classifier.feature_size(x) tells them."
        raise PoolError(where, f"`{name}` as positive lengths, (7, 7)", repr(size), hint)
    return sides


def positions(where: str, pool: Pool, size: tuple[int, ...]) -> int:
    """How many positions ``pool`` reduces on a feature map of ``size``: the axes it keeps do not count."""
    if pool.dim is None:
        return prod(size)
    axes = {axis + len(size) if axis < 0 else axis - 2 for axis in pool.dim}  # ``dim`` counts on (N, C, *S)
    if not axes <= set(range(len(size))):
        raise PoolError(where, f"`size` with the axes {pool.dim} that {pool.name} reduces", str(size))
    return prod(size[axis] for axis in axes)


def gamma_of(pool: Sum | ScaledSum) -> float:
    """The exponent of ``count^-gamma`` now; 0 for Sum."""
    if isinstance(pool, Sum):
        return 0.0
    return float(pool.gamma()) if isinstance(pool.gamma, Learned) else float(pool.gamma)


def factors(where: str, pool: Pool, before: tuple[int, ...], after: tuple[int, ...]) -> list[float]:
    """What each region's weights in the tail are multiplied by when maps of ``before`` become maps of ``after``.

    ``(N0 / N1)^(1 - gamma)`` for ``count^-gamma`` sums, with N counting positions of the feature map; 1 for pools that
    measure an average, a maximum or a share (theirs do not grow with the map). Raises PoolError for sums inside other
    pools than Concat: no factor of a region undoes what happens to them there.
    """
    if isinstance(pool, Concat):
        return [factor for member in members(pool) for factor in factors(where, member, before, after)]
    if isinstance(pool, Sum | ScaledSum):
        ratio = positions(where, pool, before) / positions(where, pool, after)
        return [ratio ** (1 - gamma_of(pool))] * pool.regions
    if any(isinstance(part, Sum | ScaledSum) for part in pool.modules()):
        hint = "Build it of Mean, or train it at this size."
        raise PoolError(where, "sums by themselves or in a Concat", f"one inside {pool.name}", hint)
    return [1.0] * pool.regions


def members(pool: Concat) -> list[Pool]:
    """The pools of a Concat, in order."""
    return [member for member in pool.pools if isinstance(member, Pool)]
