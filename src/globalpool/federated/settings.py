"""How to federate: plain values, the same in Flower's run config, in Python and on the command line."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from globalpool.classifier import InputSpec
from globalpool.errors import FederatedError
from globalpool.federated.prototypes import Rule
from globalpool.training import Architecture, Call

Mode = Literal["parameters", "frozen", "descriptors"]
DIGITS = "digits"
#: What is trained where nobody says what: packaged digits, grey, by a small network.
SMALL = Architecture(
    Call("convnet", (8, 16, 32, 64)), Call("Mean"), tuple(map(str, range(10))), InputSpec(96, (0.5,), (0.5,))
)


@dataclass(frozen=True)
class FederationSettings:
    """What a federation is told.

    ``mode``: what travels. "parameters" of the whole network, every round; "frozen": statistics of the last layer,
    once; "descriptors": one pooled vector a class, once, aggregated by ``rule``.

    ``strategy``: a name of ``flwr.serverapp.strategy``, for "parameters". ``clients``: that must be there before
    anything begins. ``data`` and ``resolutions``: of simulated clients, separated by commas; of deployed nodes their
    own node config says them. ``architecture``: ``Architecture.record()`` as JSON. ``proximal_mu``: of FedProx.
    ``timeout``: seconds to wait for the clients of one round.
    """

    mode: Mode = "parameters"
    strategy: str = "FedAvg"
    rule: Rule = "per_client"
    rounds: int = 10
    clients: int = 3
    local_epochs: int = 2
    optimizer: str = "adamw"
    learning_rate: float = 5e-3
    weight_decay: float = 0.01
    proximal_mu: float = 0.1
    batch: int = 32
    seed: int = 0
    timeout: float = 3600.0
    data: str = DIGITS
    resolutions: str = "64,96,160"
    architecture: str = json.dumps(SMALL.record())
    out: str = "federation"

    def __post_init__(self) -> None:
        for name, holds, expected in (
            ("mode", self.mode in get_args(Mode), " or ".join(get_args(Mode))),
            ("rule", self.rule in get_args(Rule), " or ".join(get_args(Rule))),
            ("rounds", self.rounds >= 1, "1 or more"),
            ("clients", self.clients >= 1, "1 or more"),
            ("local_epochs", self.local_epochs >= 1, "1 or more"),
            ("learning_rate", self.learning_rate > 0, "a positive number"),
            ("proximal_mu", self.proximal_mu >= 0, "0 or more"),
            ("batch", self.batch >= 2, "2 or more"),
            ("timeout", self.timeout > 0, "a positive number of seconds"),
        ):
            if not holds:
                raise FederatedError(name, expected, str(getattr(self, name)))

    def built(self) -> Architecture:
        """How the classifier is built."""
        try:
            return Architecture.read(json.loads(self.architecture))
        except (KeyError, TypeError, ValueError) as error:
            got = f"{type(error).__name__}: {error}"
            raise FederatedError("architecture", "the JSON of an Architecture's record", got) from error

    def run_config(self) -> dict[str, str | int | float | bool]:
        """For Flower: its names are written with hyphens."""
        return {name.replace("_", "-"): value for name, value in asdict(self).items()}

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "FederationSettings":
        """The inverse of ``run_config``; what is missing is as by default, what is unknown is refused."""
        known = {field.name: field for field in fields(cls)}
        given = {name.replace("-", "_"): value for name, value in config.items()}
        if odd := sorted(given.keys() - known.keys()):
            raise FederatedError("run config", f"settings of a federation ({', '.join(known)})", ", ".join(odd))
        for name, value in given.items():
            wanted: type = type(known[name].default)
            if wanted is float and isinstance(value, int) and not isinstance(value, bool):
                given[name] = float(value)
            elif type(value) is not wanted:
                raise FederatedError(name, f"a value of type {wanted.__name__}", repr(value))
        return cls(**given)
