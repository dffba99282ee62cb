"""Size policies as a run's config records them."""

from collections.abc import Mapping
from typing import Any

from globalpool.data import Buckets, Fixed, Native, SizePolicy


def size_record(sizes: SizePolicy) -> dict[str, Any]:
    """What JSON can hold, for ``size_policy``."""
    if isinstance(sizes, Fixed):
        return {"side": sizes.side}
    return {"shapes": [list(shape) for shape in sizes.shapes]} if isinstance(sizes, Buckets) else {"native": True}


def size_policy(record: Mapping[str, Any]) -> SizePolicy:
    """The inverse of ``size_record``."""
    if "side" in record:
        return Fixed(int(record["side"]))
    if "shapes" in record:
        return Buckets(tuple((int(height), int(width)) for height, width in record["shapes"]))
    return Native()
