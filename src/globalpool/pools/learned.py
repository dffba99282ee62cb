"""Numbers that training may move: exponents, temperatures, shares."""

import math

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.pools.annealed import Annealed

LOG_LIMIT = 40.0


class Learned(nn.Module):
    """A positive number, or one a channel, kept as the parameter ``log``: no optimiser step can make it invalid.

    It stays between ``exp(-40)`` and ``exp(40)``; beyond, the gradient to ``log`` is zero.
    ``GeM(p=Learned(3.0))`` learns one exponent, ``GeM(p=Learned(3.0, channels=512))`` one a channel.
    """

    def __init__(self, initial: float, channels: int | None = None) -> None:
        super().__init__()
        if not math.exp(-LOG_LIMIT) <= initial <= math.exp(LOG_LIMIT):
            raise PoolError("Learned", "a positive initial value between 1e-17 and 1e17", str(initial))
        start = torch.tensor(float(initial)).log()
        self.log = nn.Parameter(start if channels is None else start.expand(channels).clone())

    def forward(self) -> Tensor:
        """The number ``()``, or ``(C,)``."""
        return self.log.clamp(-LOG_LIMIT, LOG_LIMIT).exp()


class LearnedShare(nn.Module):
    """A number between 0 and 1, kept as the parameter ``logit``: no optimiser step can make it invalid."""

    def __init__(self, initial: float = 0.5) -> None:
        super().__init__()
        if not 0 < initial < 1:
            raise PoolError("LearnedShare", "an initial value between 0 and 1", str(initial))
        self.logit = nn.Parameter(torch.tensor(float(initial)).logit())

    def forward(self) -> Tensor:
        """The share ``()``."""
        return self.logit.sigmoid()


#: A positive number: fixed, trained, or moved on a schedule. What is not a module is a plain number.
Positive = float | Learned | Annealed


def check_positive(where: str, name: str, number: Positive) -> None:
    """Raise unless a fixed ``number`` is positive and within the range of float32, with room for its inverse."""
    if isinstance(number, Learned | Annealed):
        return
    if not isinstance(number, int | float) or not 1e-30 <= number <= 1e30:
        raise PoolError(where, f"`{name}` between 1e-30 and 1e30, or Learned", repr(number))


def current(where: str, number: Positive, like: Tensor) -> Tensor | float:
    """The number now; one a channel as ``(C, 1, ...)`` that broadcasts over ``like (N or T, C, ...)``."""
    if not isinstance(number, nn.Module):
        return number
    value: Tensor = number()
    value = value.to(like.dtype)
    if value.ndim and value.shape[0] != like.shape[1]:
        raise PoolError(where, f"one learned number, or {like.shape[1]} of them", str(value.shape[0]))
    return value.reshape(-1, *(1,) * (like.ndim - 2)) if value.ndim else value


def shown(name: str, number: Positive) -> str:
    """``name=number`` for ``extra_repr``; nothing for a module, which shows itself."""
    return "" if isinstance(number, nn.Module) else f"{name}={number}"
