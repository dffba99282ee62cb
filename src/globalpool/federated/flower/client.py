"""Flower's ClientApp around the plain functions."""

import json
from dataclasses import dataclass
from typing import Any

import torch

from globalpool.federated.additive import AdditiveStatistics
from globalpool.federated.descriptors import ClassDescriptors, describe
from globalpool.federated.flower.packages import clientapp
from globalpool.federated.flower.records import keep_buffers, reply_to, take_buffers, tensors_of
from globalpool.federated.local import calibrate, local_score, local_update
from globalpool.federated.nodes import Node, digits_node, folder_node
from globalpool.federated.parameters import load_parameters
from globalpool.federated.settings import DIGITS, FederationSettings
from globalpool.surgery import collect


def client_app(given: FederationSettings | None = None) -> Any:
    """Flower's ClientApp; ``given``: settings of a simulation (default: Flower's run config)."""
    made, client = clientapp.ClientApp(), Client(given)
    made.query("classes")(client.greet)
    made.query("summary")(client.summarise)
    made.train()(client.learn)
    made.evaluate()(client.judge)
    return made


@dataclass(frozen=True)
class Client:
    """What a client answers; a class of this module, since functions inside others cannot be sent to Ray's workers."""

    given: FederationSettings | None = None

    def greet(self, message: Any, context: Any) -> Any:
        """Class list, resolution and number of samples."""
        _, node = self._found(context)
        facts = {"classes": json.dumps(node.classes), "resolution": node.resolution, "samples": node.samples}
        return reply_to(message, config=facts)

    def learn(self, message: Any, context: Any) -> Any:
        """Parameters after local training; buffers stay here."""
        settings, node = self._found(context)
        classifier, config = settings.built().build(settings.seed), message.content["config"]
        take_buffers(classifier, context)
        number = int(config["server-round"]) + int(config["before"])
        mu = float(config.get("proximal-mu", 0.0))
        update = local_update(classifier, node, tensors_of(message), settings, number, mu)
        keep_buffers(classifier, context)
        return reply_to(message, update.parameters, {"num-examples": node.samples, "train-loss": update.loss})

    def judge(self, message: Any, context: Any) -> Any:
        """Whole numbers of what is right, at this client's resolution."""
        settings, node = self._found(context)
        classifier = settings.built().build(settings.seed)
        take_buffers(classifier, context)
        load_parameters(classifier, tensors_of(message))
        if settings.mode == "parameters":  # otherwise all clients' features must be those of one trunk
            calibrate(classifier, node.in_order)
            keep_buffers(classifier, context)
        score = local_score(classifier.eval(), node)
        facts = {"num-examples": score.samples, "right": score.right, "nll": score.nll, "resolution": score.resolution}
        return reply_to(message, metrics=facts)

    def summarise(self, message: Any, context: Any) -> Any:
        """Statistics of the last layer, or one pooled vector a class."""
        settings, node = self._found(context)
        classifier = settings.built().build(settings.seed)
        load_parameters(classifier, tensors_of(message))
        if settings.mode == "frozen":
            loader = ((part, batch.targets) for batch in node.in_order for part in batch.parts)
            statistics = collect(classifier, loader)
            reference = torch.zeros_like(statistics.mean)
            return reply_to(message, {"numbers": AdditiveStatistics.of(statistics, reference).numbers})
        found = describe(classifier, node.in_order, len(node.classes))
        return reply_to(message, {name: getattr(found, name) for name in ClassDescriptors.__dataclass_fields__})

    def _found(self, context: Any) -> tuple[FederationSettings, Node]:
        settings = self.given or FederationSettings.read(context.run_config)
        return settings, node_of(settings, context.node_config)


def node_of(settings: FederationSettings, config: Any) -> Node:
    """A deployed client's data by its own ``data`` and ``resolution``, a simulated one's by its number."""
    architecture = settings.built()
    if "data" in config:
        own = (str(config["data"]), architecture, int(config.get("resolution", 0)), settings.batch, settings.seed)
        return folder_node(*own)
    number, sides = int(config["partition-id"]), [int(side) for side in settings.resolutions.split(",")]
    side = sides[number % len(sides)]
    if settings.data == DIGITS:
        return digits_node(number, settings.clients, side, settings.batch, settings.seed)
    folders = settings.data.split(",")
    return folder_node(folders[number % len(folders)], architecture, side, settings.batch, settings.seed)
