"""The record of a replaced head, and the way back."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier


@dataclass(frozen=True)
class PartCount:
    """Parameters by part. ``other``: what gives no logits in eval mode (auxiliary heads)."""

    trunk: int
    pool: int
    tail: int
    other: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.trunk + self.pool + self.tail + self.other

    @property
    def head(self) -> int:
        """Pool and tail."""
        return self.pool + self.tail


@dataclass(frozen=True, eq=False)
class Replacement:
    """What ``replace_head`` did. ``str()`` is a table.

    ``before``, ``after``: parameters, each tensor counted once. ``trunk``: "modules", the model's own, or "operations"
    of one pass in eval mode, whose norms and dropout stay in eval mode. ``undo()`` gives ``model`` back as it was.
    """

    before: PartCount
    after: PartCount
    trunk: Literal["modules", "operations"]
    model: nn.Module = field(repr=False)
    saved: tuple[tuple[Tensor, Tensor, bool], ...] = field(repr=False)
    modes: tuple[tuple[nn.Module, bool], ...] = field(repr=False)

    @property
    def head_cut(self) -> float:
        """The share of the head's parameters that is gone; negative where there are more."""
        return 1 - self.after.head / self.before.head if self.before.head else 0.0

    @property
    def total_cut(self) -> float:
        """The share of all parameters that is gone."""
        return 1 - self.after.total / self.before.total if self.before.total else 0.0

    def __str__(self) -> str:
        lines = [("", "before", "after", "cut")]
        for name in ("trunk", "pool", "tail", "other", "total"):
            before, after = getattr(self.before, name), getattr(self.after, name)
            cut = {"tail": self.head_cut, "total": self.total_cut}.get(name)
            lines.append((name, f"{before:,}", f"{after:,}", "" if cut is None else f"{cut:.3%}"))
        lines[3] = (lines[3][0], *lines[3][1:3], f"{self.head_cut:.3%} with pool")
        widths = [max(len(line[column]) for line in lines) for column in range(3)]
        return "\n".join(
            f"{name:<{widths[0]}}  {before:>{widths[1]}}  {after:>{widths[2]}}  {cut}".rstrip()
            for name, before, after, cut in lines
        )

    def undo(self) -> nn.Module:
        """The original model, bit for bit as it was: parameters, buffers, modes and what is trained.

        Also after training of the new classifier, whose trunk shares its tensors and goes back with them.
        """
        with torch.no_grad():
            for own, value, trained in self.saved:
                if own.device == value.device and own.dtype == value.dtype:
                    own.copy_(value)
                else:  # moved or cast since
                    own.data = value.clone()
                own.requires_grad_(trained)
        for module, training in self.modes:
            module.training = training
        return self.model


class ReplacedClassifier(PooledClassifier):
    """A classifier with a new head; ``replacement`` tells what it replaced."""

    replacement: Replacement

    def undo(self) -> nn.Module:
        """See ``Replacement.undo``."""
        return self.replacement.undo()


def count(tensors: dict[Tensor, None]) -> int:
    """Numbers in the tensors, each once."""
    return sum(tensor.numel() for tensor in tensors)
