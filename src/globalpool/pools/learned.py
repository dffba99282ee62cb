"""Positive numbers that training may move: exponents and temperatures."""

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError


class Learned(nn.Module):
    """A positive number, or one a channel, kept as the parameter ``log``: no optimiser step can make it invalid.

    ``GeM(p=Learned(3.0))`` learns one exponent, ``GeM(p=Learned(3.0, channels=512))`` one a channel.
    """

    def __init__(self, initial: float, channels: int | None = None) -> None:
        super().__init__()
        if not 0 < initial < float("inf"):
            raise PoolError("Learned", "a positive, finite initial value", str(initial))
        start = torch.tensor(float(initial)).log()
        self.log = nn.Parameter(start if channels is None else start.expand(channels).clone())

    def forward(self) -> Tensor:
        """The number ``()``, or ``(C,)``."""
        return self.log.exp()


def check_positive(where: str, name: str, number: float | Learned) -> None:
    """Raise unless a fixed ``number`` is positive and finite."""
    if not isinstance(number, Learned) and not 0 < number < float("inf"):
        hint = f"Use {name}=Learned({abs(number) or 1.0}) to train it."
        raise PoolError(where, f"`{name}` positive and finite", str(number), hint)


def current(number: float | Learned, like: Tensor) -> Tensor | float:
    """The number now; one a channel as ``(C, 1, ...)`` that broadcasts over ``like (N or T, C, ...)``."""
    if not isinstance(number, Learned):
        return number
    value: Tensor = number()
    value = value.to(like.dtype)
    return value.reshape(-1, *(1,) * (like.ndim - 2)) if value.ndim else value
