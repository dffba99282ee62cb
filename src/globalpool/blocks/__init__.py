"""Blocks: pooling inside the trunk. A block gives back what it is given, in the same shape and layout."""

from globalpool.blocks.insert import insert_se
from globalpool.blocks.squeeze_excite import SqueezeExcite

__all__ = ["SqueezeExcite", "insert_se"]
