"""All clients on one machine, by Flower's simulation engine."""

from typing import Any

from globalpool.extras import need
from globalpool.federated.flower.client import client_app
from globalpool.federated.flower.packages import serverapp
from globalpool.federated.flower.server import serve
from globalpool.federated.settings import FederationSettings


def simulate(settings: FederationSettings, cores: int = 2) -> None:
    """All clients on this machine, by Flower's simulation engine on Ray: one core a client, ``cores`` of them."""
    engine: Any = need("flwr.simulation", "federated", "federate simulate")
    need("ray", "federated", "federate simulate")
    failed: list[Exception] = []
    made = serverapp.ServerApp()

    def main(grid: Any, context: Any) -> None:
        try:
            serve(grid, settings)
        except Exception as error:
            failed.append(error)
            raise

    made.main()(main)
    resources = {"num_cpus": 1, "num_gpus": 0.0}
    backend = {"client_resources": resources, "init_args": {"num_cpus": cores, "include_dashboard": False}}
    try:
        engine.run_simulation(made, client_app(settings), settings.clients, backend_config=backend)
    except Exception as error:
        raise (failed[0] if failed else error) from error
    if failed:
        raise failed[0]
