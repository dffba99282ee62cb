"""One score a position and head, from what stands there, from where it is, or from both."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from globalpool import kernels
from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.position import PositionGrid, PositionSine
from globalpool.pools.region_of_interest import RegionOfInterest

OWN_PLACES = (PositionGrid, PositionSine, RegionOfInterest)
#: ``"linear"``, any module ``(*, C) -> (*, heads)``, or None.
Content = nn.Module | Literal["linear"] | None


def content_module(
    where: str, content: Content, position: nn.Module | None, linear: Callable[[], nn.Linear]
) -> nn.Module | None:
    """The module ``content`` stands for; ``linear`` makes what ``"linear"`` means to this pool."""
    if content is None and position is None:
        raise PoolError(where, "`content`, `position` or both", "neither", "Without scores it is the pool Mean.")
    for name, module in (("content", content), ("position", position)):
        if module is not None and not isinstance(module, nn.Module) and (name, module) != ("content", "linear"):
            words = '"linear", a module or None' if name == "content" else "a module or None"
            raise PoolError(where, f"`{name}` to be {words}", repr(module), "Wrap a function in an nn.Module.")
    return linear() if isinstance(content, str) else content


def zero_linear(channels: int, heads: int) -> nn.Linear:
    """Scores that start at zero. Without bias: the same number at every position changes no softmax over positions."""
    linear = nn.Linear(channels, heads, bias=False)
    nn.init.zeros_(linear.weight)
    return linear


def position_scores(
    where: str,
    content: nn.Module | None,
    position: nn.Module | None,
    shape: tuple[int, int],
    features: Tensor,
    layout: Layout,
) -> Tensor:
    """Content plus position as a position tensor with ``mid = (heads,)`` in the layout's dtype.

    ``shape``: channels that the content reads, and heads.

    Both modules are called at absent positions too, with zero vectors and centred coordinates, and must be finite
    there.
    """
    channels, heads = shape
    scores = []
    with kernels.full_precision(layout.device):  # a softmax sees what half scores round away, and infinities
        if content is not None:
            check_channels(where, channels, features)
            scores.append(content(_in_dtype_of(content, layout.to_last(features))))
        if position is not None:
            coordinates = layout.coordinates(where)
            if not isinstance(position, OWN_PLACES):  # which keep the digits of the coordinates
                coordinates = _in_dtype_of(position, coordinates)
            scores.append(position(coordinates))
    for own in scores:
        if own.shape[-1] != heads:
            raise PoolError(where, f"scores (*, {heads}), one a head, region or cluster", f"{tuple(own.shape)}")
    total = sum(own.to(layout.dtype) for own in scores)
    assert isinstance(total, Tensor)
    return layout.from_last(total) * layout.ones().squeeze(2)


def position_shares(
    where: str,
    content: nn.Module | None,
    position: nn.Module | None,
    shape: tuple[int, int],
    features: Tensor,
    layout: Layout,
) -> Tensor:
    """The same scores as shares: a softmax over the heads, summing to 1 at present positions and 0 elsewhere."""
    return layout.present(position_scores(where, content, position, shape, features, layout).softmax(1), 0)


def check_channels(where: str, channels: int, features: Tensor) -> None:
    """Raise unless the features have as many channels as the pool was built for."""
    if features.shape[1] != channels:
        hint = "Build it with the channels of the features; channels last needs channel_dim=-1."
        raise PoolError(where, f"{channels} channels", f"{features.shape[1]}", hint)


def _in_dtype_of(module: nn.Module, values: Tensor) -> Tensor:
    first = next(module.parameters(), None)
    return values if first is None else values.to(first.dtype)
