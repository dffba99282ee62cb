"""The exchange of a pool, and what it kept."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from globalpool.errors import PoolError
from globalpool.exchange.mixing import mixed
from globalpool.exchange.resolution import Size, check_size
from globalpool.exchange.translate import SizeNeededError, translate
from globalpool.pools import Pool

WHERE = "with_pool"


@dataclass(frozen=True)
class PoolChange:
    """What ``with_pool`` did. ``str()`` is a sentence.

    ``preserved``: "exact", the logits are the same for every input; "at size", for unpadded feature maps of ``size``;
    "no", they are not. ``without_mask``: "exact" holds for batches without mask and points only (bins that have holes
    do not all count alike).
    """

    old: str
    new: str
    preserved: Literal["exact", "at size", "no"]
    size: tuple[int, ...] | None
    without_mask: bool
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def exchange(old: Pool, new: Pool, tail: nn.Module, size: Size | None) -> tuple[nn.Module, PoolChange]:
    """The tail for ``new``, and the record; see ``PooledClassifier.with_pool``."""
    sides = None if size is None else check_size(WHERE, "size", size)
    if old.dim != new.dim:
        got = f"{new.dim} after {old.dim}"
        raise PoolError(WHERE, "a pool that reduces the same `dim`", got, "The tail reads what the old one kept.")
    name = f"{new.name} in place of {old.name}"
    try:
        found = translate(WHERE, old, new, sides)
    except SizeNeededError:
        hint = "Give the feature map's lengths, as in size=(7, 7); classifier.feature_size(x) tells them."
        raise PoolError(WHERE, f"`size`, on which {name} depends", "None", hint) from None
    if found is not None:
        preserved: Literal["exact", "at size"] = "exact" if found.anywhere else "at size"
        place = "for every input" if found.anywhere else f"for feature maps of {sides}"
        mask = " without a mask" if found.whole or not found.anywhere else ""
        said = f"{name}: the logits are the same {place}{mask}."
        used = None if found.anywhere else sides
        return mixed(WHERE, tail, found.rows), PoolChange(old.name, new.name, preserved, used, bool(mask), said)
    if old.regions == new.regions:
        said = f"{name}: other logits; the tail is kept as it is, and should be fitted again."
        rows = tuple(tuple(float(r == s) for s in range(new.regions)) for r in range(old.regions))
    else:
        said = (
            f"{name}: other logits; the tail reads the mean of the {new.regions} regions where it read each of the "
            f"{old.regions}, and should be fitted again."
        )
        rows = ((1 / new.regions,) * new.regions,) * old.regions
    return mixed(WHERE, tail, rows), PoolChange(old.name, new.name, "no", None, False, said)
