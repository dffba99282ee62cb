"""Flower's packages, with telemetry, update check and the installation of packages at run time switched off first."""

import os
from typing import Any

from globalpool.extras import need

for _name, _value in {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}.items():
    os.environ[_name] = _value

app: Any = need("flwr.app", "federated", "federate")
clientapp: Any = need("flwr.clientapp", "federated", "federate")
serverapp: Any = need("flwr.serverapp", "federated", "federate")
