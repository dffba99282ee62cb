"""One pool for another before the same tail, with the same logits where the maths allows it."""

from globalpool.exchange.change import PoolChange, exchange
from globalpool.exchange.mixing import MixedRegions, mixed
from globalpool.exchange.resolution import Size, factors
from globalpool.exchange.translate import Translation, translate

__all__ = ["MixedRegions", "PoolChange", "Size", "Translation", "exchange", "factors", "mixed", "translate"]
