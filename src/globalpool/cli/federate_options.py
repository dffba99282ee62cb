"""What `globalpool federate` can be told, free of heavy imports."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FederateOptions:
    """Federated learning over clients of every resolution, by Flower.

    Args:
        action: simulate all clients on this machine, or write the one file that a deployment needs (init)
        target: of simulate, a pyproject.toml that init wrote (default: packaged digits, three clients at 64, 96 and
            160 pixels); of init, the folder to write to
        out: folder of the federation, new or empty; one that has rounds already goes on after them
        rounds: of training, in place of those in the file
        cores: of this machine that are used, one a client
    """

    action: Literal["simulate", "init"]
    target: str | None = None
    out: str | None = None
    rounds: int | None = None
    cores: int = 2
