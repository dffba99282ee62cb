"""Temperatures that follow a schedule instead of a gradient."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.pools.base import check_whole


class Annealed(nn.Module):
    """A positive number that goes from ``start`` to ``stop`` in ``steps`` calls of ``advance``, then stays there.

    ``schedule="geometric"`` multiplies by one factor a step, so that a temperature halves at even pace;
    ``"linear"`` subtracts. Where it stands is the buffer ``step``, saved with the model, so that training resumes
    where it stopped. ``Attention(512, temperature=Annealed(1.0, 0.05, steps=1000))`` begins soft and ends hard;
    call ``pool.temperature.advance()`` once an optimiser step.
    """

    step: Tensor

    def __init__(
        self, start: float, stop: float, steps: int, schedule: Literal["geometric", "linear"] = "geometric"
    ) -> None:
        super().__init__()
        if not all(isinstance(end, int | float) and 1e-30 <= end <= 1e30 for end in (start, stop)):
            raise PoolError("Annealed", "`start` and `stop` between 1e-30 and 1e30", f"{start!r} to {stop!r}")
        check_whole("Annealed", "steps", steps)
        if schedule not in ("geometric", "linear"):
            raise PoolError("Annealed", '`schedule` to be "geometric" or "linear"', repr(schedule))
        self.start, self.stop, self.steps, self.schedule = float(start), float(stop), steps, schedule
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def advance(self) -> None:
        """One step further."""
        self.step.add_(1)

    def forward(self) -> Tensor:
        """The number ``()``, float32."""
        done = (self.step / self.steps).clamp(max=1)
        if self.schedule == "linear":
            return self.start + done * (self.stop - self.start)
        return torch.exp(math.log(self.start) + done * (math.log(self.stop) - math.log(self.start)))

    def extra_repr(self) -> str:
        return f"{self.start:g} to {self.stop:g} in {self.steps} steps, {self.schedule}"
