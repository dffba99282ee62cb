"""Replies looked at before any strategy sees them."""

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from globalpool.errors import FederatedError
from globalpool.federated.average import check_states
from globalpool.federated.flower.packages import app, serverapp
from globalpool.federated.flower.records import content_of, score_of, tensors_of
from globalpool.federated.resolutions import ClientScore
from globalpool.federated.settings import FederationSettings


class WatchedGrid(serverapp.Grid):  # type: ignore[misc]
    """Flower's Grid, whose replies are looked at before any strategy sees them: strategies stay unchanged.

    Flower goes on without a word where no client replied, and averages what is not finite. ``scores``: of the last
    evaluation; ``lost``: messages without a usable reply since the round began.
    """

    def __init__(self, grid: Any, settings: FederationSettings) -> None:
        self.grid, self.settings = grid, settings
        self.scores: list[ClientScore] = []
        self.lost = 0

    def set_run(self, run: Any) -> None:
        self.grid.set_run(run)

    @property
    def run(self) -> Any:
        return self.grid.run

    def create_message(self, *arguments: Any, **named: Any) -> Any:
        return self.grid.create_message(*arguments, **named)

    def get_node_ids(self) -> Iterable[int]:
        found: Iterable[int] = self.grid.get_node_ids()
        return found

    def push_messages(self, messages: Iterable[Any]) -> Iterable[str]:
        found: Iterable[str] = self.grid.push_messages(messages)
        return found

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Any]:
        found: Iterable[Any] = self.grid.pull_messages(message_ids)
        return found

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        """The replies; FederatedError where none came, where they disagree, or where one is not finite."""
        sent = list(messages)
        kind = sent[0].metadata.message_type if sent else "nothing"
        replies = list(self.grid.send_and_receive(sent, timeout=timeout))
        # Strategies add in the order of the replies, and Flower asks in random order: sums would differ in last digits.
        replies.sort(key=lambda reply: int(reply.metadata.src_node_id))
        good = [reply for reply in replies if not reply.has_error()]
        self.lost = len(sent) - len(good) + (0 if kind == "train" else self.lost)
        for reply in replies:
            if reply.has_error():
                print(f"lost: client {reply.metadata.src_node_id}: {reply.error.reason}")
        if not good:
            reasons = "; ".join(str(reply.error.reason) for reply in replies) or "silence"
            hint = "Look into the clients' logs."
            raise FederatedError(f"federate, {kind}", f"a reply of at least one of {len(sent)} clients", reasons, hint)
        check_replies(kind, good)
        if kind == "evaluate":
            self.scores = [score_of(reply) for reply in good]
        return replies

    def ask(self, kind: str, state: dict[str, Tensor] | None = None) -> list[Any]:
        """The usable replies of all clients to one question."""
        content = app.RecordDict() if state is None else content_of(state, {}, {})
        nodes = self.wait_for_clients()
        sent = [app.Message(content=content, message_type=kind, dst_node_id=node) for node in nodes]
        replies = self.send_and_receive(sent, timeout=self.settings.timeout)
        return [reply for reply in replies if not reply.has_error()]

    def wait_for_clients(self) -> list[int]:
        """As many clients as the settings say, within their timeout."""
        end = time.monotonic() + self.settings.timeout
        while len(nodes := list(self.get_node_ids())) < self.settings.clients:
            if time.monotonic() > end:
                raise FederatedError(
                    "federate", f"{self.settings.clients} clients", f"{len(nodes)}", "Start the others."
                )
            time.sleep(0.5)
        return nodes

    def compare_classes(self, labels: Sequence[str]) -> None:
        """FederatedError before any training where a client's classes are not the network's, in its order."""
        for reply in self.ask("query.classes"):
            facts = reply.content["config"]
            classes = tuple(json.loads(facts["classes"]))
            if classes != tuple(labels):
                odd = sorted(set(classes) ^ set(labels))
                got = f"{', '.join(odd[:4])} on one side alone" if odd else "the same in another order"
                hint = "Give every client one folder a class, empty ones left out nowhere."
                where = f"client {reply.metadata.src_node_id}, {facts['resolution']} px"
                raise FederatedError(where, f"the {len(labels)} classes of the network", got, hint)


def check_replies(kind: str, replies: Sequence[Any]) -> None:
    """FederatedError where replies differ in names or shapes, or hold what is not finite."""
    names = [sorted(reply.content["metrics"]) if "metrics" in reply.content else [] for reply in replies]
    if any(one != names[0] for one in names):
        raise FederatedError(f"federate, {kind}", f"the metrics {names[0]} from every client", f"{names}")
    states = [tensors_of(reply) for reply in replies if "arrays" in reply.content]
    if states:
        check_states([{n: v for n, v in one.items() if v.is_floating_point()} for one in states], f"federate, {kind}")
    for reply in replies:
        for name, value in reply.content.get("metrics", {}).items():
            if not abs(float(value)) < float("inf"):
                hint = "Lower that client's learning rate, or look at its data."
                where = f"client {reply.metadata.src_node_id}"
                raise FederatedError(where, f"a finite {name}", f"{value}", hint)
