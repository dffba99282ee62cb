"""Where the positions of a batch are: dense or ragged, and the primitives over them."""

from globalpool.layout.arrange import arrange, place
from globalpool.layout.base import Axis, Layout, LayoutArguments, product
from globalpool.layout.dense import Dense
from globalpool.layout.inputs import Features, Padded, inside
from globalpool.layout.ragged import Ragged

__all__ = [
    "Axis",
    "Dense",
    "Features",
    "Layout",
    "LayoutArguments",
    "Padded",
    "Ragged",
    "arrange",
    "inside",
    "place",
    "product",
]
