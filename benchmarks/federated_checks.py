"""Flower's strategies over clients of three resolutions, without Ray and without a network; needs [federated].

python benchmarks/federated_checks.py          prints one line a law; exit status 1 when one does not hold

Every client is the real ClientApp, called one after another in this process. A script and not a test: flwr cannot be
installed beside the pinned versions of the development environment. Any socket that is opened ends the run.
"""

import socket
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from globalpool.errors import FederatedError
from globalpool.extras import need
from globalpool.federated import parameters_of
from globalpool.federated.flower import client_app, serve
from globalpool.federated.flower.packages import app, serverapp
from globalpool.federated.nodes import Node, digits_node
from globalpool.federated.settings import FederationSettings
from globalpool.surgery import fit_head
from globalpool.training.files import read_tensors

BASE = FederationSettings(rounds=2, local_epochs=1, resolutions="28,32,40", timeout=5)


class HereGrid(serverapp.Grid):  # type: ignore[misc]
    """Flower's Grid as a loop; ``spoil``: what becomes of a reply, or an exception for a client that dies."""

    def __init__(self, settings: FederationSettings, spoil: Callable[[int, Any], Any] | None = None) -> None:
        self.client, self.settings, self.spoil = client_app(settings), settings, spoil
        self.contexts = {
            node: app.Context(
                run_id=1,
                node_id=node,
                node_config={"partition-id": node - 1, "num-partitions": 3},
                state=app.RecordDict(),
                run_config={},
            )
            for node in range(1, settings.clients + 1)
        }

    def set_run(self, run: Any) -> None:
        """No run."""

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *arguments: Any, **named: Any) -> Any:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Any]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Any]:
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        replies = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = str(uuid.uuid4())  # as Flower's own InMemoryGrid does
            node = message.metadata.dst_node_id
            try:
                reply = self.client(message, self.contexts[node])
                reply = reply if self.spoil is None else self.spoil(node, reply)
            except ZeroDivisionError as error:
                reply = app.Message(app.Error(code=0, reason=f"died: {error}"), reply_to=message)
            replies.append(reply)
        return replies


def federated(settings: FederationSettings, out: Path, spoil: Callable[[int, Any], Any] | None = None) -> Any:
    journal = serve(HereGrid(settings, spoil), replace(settings, out=str(out)))
    newest = max(out.glob("round-*.safetensors"))
    return journal, read_tensors(newest).tensors


def refused(settings: FederationSettings, out: Path, spoil: Callable[[int, Any], Any] | None = None) -> str:
    try:
        federated(settings, out, spoil)
    except FederatedError as error:
        return str(error)
    return ""


def dies(*nodes: int) -> Callable[[int, Any], Any]:
    def spoil(node: int, reply: Any) -> Any:
        if node in nodes and reply.metadata.message_type == "train":
            raise ZeroDivisionError("no power")
        return reply

    return spoil


def not_finite(node: int, reply: Any) -> Any:
    if node == 2 and reply.metadata.message_type == "train":
        state = reply.content["arrays"].to_torch_state_dict()
        reply.content["arrays"] = app.ArrayRecord({name: value * torch.nan for name, value in state.items()})
    return reply


def other_classes(node: int, reply: Any) -> Any:
    if node == 3 and "config" in reply.content:
        reply.content["config"]["classes"] = '["0", "1", "2", "3", "4", "5", "6", "7", "8", "cat"]'
    return reply


def no_outbound(*arguments: Any, **named: Any) -> Any:
    raise AssertionError("a connection was opened")


def central(settings: FederationSettings) -> dict[str, torch.Tensor]:
    """The head fitted to all clients' samples in one place."""
    classifier = settings.built().build(settings.seed)
    nodes: list[Node] = [digits_node(k, 3, side, 32, 0) for k, side in enumerate((28, 32, 40))]
    loader = [(batch.parts[0], batch.targets) for node in nodes for batch in node.in_order]
    fit_head(classifier, loader, "ridge", "gcv")
    return parameters_of(classifier)


def main() -> int:
    identity: Any = need("flwr.supercore.task_identity", "federated", "this script").TaskIdentity
    identity.task_id, identity.run_id, identity.node_id = 1, 1, 0  # as Flower sets them where it starts a ServerApp
    socket.socket.connect = no_outbound  # type: ignore[method-assign]
    torch.set_num_threads(1)
    laws: dict[str, bool | str] = {}
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        _, whole = federated(BASE, out / "whole")
        federated(replace(BASE, rounds=1), out / "broken")
        journal, resumed = federated(BASE, out / "broken")
        equal = all(torch.equal(value, resumed[key]) for key, value in whole.items())
        laws["two rounds are one round and another after a stop, bit for bit"] = equal and journal.done == 2
        start = parameters_of(BASE.built().build(BASE.seed))
        laws["parameters alone travel"] = whole.keys() == start.keys()
        for strategy in ("FedProx", "FedAdam", "FedYogi", "FedMedian", "FedTrimmedAvg", "FedAvgM"):
            _, state = federated(replace(BASE, strategy=strategy, rounds=1), out / strategy)
            laws[f"{strategy} unchanged"] = all(bool(value.isfinite().all()) for value in state.values())
        _, frozen = federated(replace(BASE, mode="frozen"), out / "frozen")
        away = max(float((value - frozen[key]).abs().max()) for key, value in central(BASE).items())
        laws[f"frozen trunk is the central ridge: {away:.1e}"] = away < 1e-6
        laws["which is not where it began"] = bool((frozen["tail.weight"] - start["tail.weight"]).abs().max() > 0.1)
        for rule in ("per_client", "per_position", "best_linear_unbiased"):
            journal, _ = federated(replace(BASE, mode="descriptors", rule=rule), out / rule)
            laws[f"descriptors, {rule}: accuracy {journal.rows[-1].accuracy:.3f}"] = journal.rows[-1].accuracy > 0.2
        journal, _ = federated(replace(BASE, rounds=1), out / "one", dies(2))
        laws["a client that dies is survived and told"] = journal.rows[-1].lost == 1
        laws["no reply ends the run"] = "died: no power" in refused(BASE, out / "all", dies(1, 2, 3))
        laws["an update that is not finite ends the run"] = "NaN or Inf" in refused(BASE, out / "nan", not_finite)
        laws["other classes are refused before training"] = "cat" in refused(BASE, out / "classes", other_classes)
        laws["nothing was trained then"] = not list((out / "classes").glob("round-*"))
    for law, holds in laws.items():
        print(f"{'ok  ' if holds else 'FAIL'} {law}")
    return int(not all(laws.values()))


if __name__ == "__main__":
    sys.exit(main())
