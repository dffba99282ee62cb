"""Federated learning over clients of every resolution: plain functions first, Flower in ``flower`` alone.

Names are loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from globalpool.federated.additive import AdditiveStatistics as AdditiveStatistics
    from globalpool.federated.average import federated_average as federated_average
    from globalpool.federated.descriptors import ClassDescriptors as ClassDescriptors
    from globalpool.federated.descriptors import describe as describe
    from globalpool.federated.parameters import load_parameters as load_parameters
    from globalpool.federated.parameters import parameters_of as parameters_of
    from globalpool.federated.parameters import size_in_bytes as size_in_bytes
    from globalpool.federated.prototypes import Prototypes as Prototypes
    from globalpool.federated.prototypes import aggregate as aggregate
    from globalpool.federated.proximal import Proximal as Proximal
    from globalpool.federated.resolutions import ClientScore as ClientScore
    from globalpool.federated.resolutions import by_resolution as by_resolution
    from globalpool.federated.resolutions import gap as gap
    from globalpool.federated.weights import best_linear_unbiased as best_linear_unbiased
    from globalpool.federated.weights import between_variance as between_variance
    from globalpool.federated.weights import per_client as per_client
    from globalpool.federated.weights import per_position as per_position
    from globalpool.federated.weights import sums_of_clients as sums_of_clients
    from globalpool.federated.weights import weighted as weighted

_HOMES = {
    "additive": ("AdditiveStatistics",),
    "average": ("federated_average",),
    "descriptors": ("ClassDescriptors", "describe"),
    "parameters": ("load_parameters", "parameters_of", "size_in_bytes"),
    "prototypes": ("Prototypes", "aggregate"),
    "proximal": ("Proximal",),
    "resolutions": ("ClientScore", "by_resolution", "gap"),
    "weights": (
        *("best_linear_unbiased", "between_variance", "per_client", "per_position", "sums_of_clients", "weighted"),
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__: list[str] = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'globalpool.federated' has no attribute {name!r}; it has {', '.join(__all__)}.")
    value = getattr(import_module(f"globalpool.federated.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
