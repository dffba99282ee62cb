"""Tensors and numbers as Flower's records, and back."""

from typing import Any

from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.federated.flower.packages import app
from globalpool.federated.parameters import buffers_of, load_buffers
from globalpool.federated.resolutions import ClientScore


def content_of(state: dict[str, Tensor], metrics: dict[str, Any], config: dict[str, Any]) -> Any:
    """Flower's record of tensors, numbers and settings, those that there are."""
    content = app.RecordDict()
    if state:
        content["arrays"] = app.ArrayRecord(state)
    if metrics:
        content["metrics"] = app.MetricRecord(metrics)
    if config:
        content["config"] = app.ConfigRecord(config)
    return content


def reply_to(
    message: Any,
    state: dict[str, Tensor] | None = None,
    metrics: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Any:
    """A message back to the one who asked."""
    return app.Message(content=content_of(state or {}, metrics or {}, config or {}), reply_to=message)


def tensors_of(message: Any) -> dict[str, Tensor]:
    """The tensors of a message by name."""
    found: dict[str, Tensor] = dict(message.content["arrays"].to_torch_state_dict())
    return found


def score_of(reply: Any) -> ClientScore:
    """What a client got right."""
    facts = reply.content["metrics"]
    return ClientScore(int(facts["resolution"]), int(facts["num-examples"]), int(facts["right"]), float(facts["nll"]))


def take_buffers(classifier: PooledClassifier, context: Any) -> None:
    """The buffers this client kept, where it has any."""
    if "buffers" in context.state:
        load_buffers(classifier, dict(context.state["buffers"].to_torch_state_dict()))


def keep_buffers(classifier: PooledClassifier, context: Any) -> None:
    """Keep the buffers at this client until the next round."""
    if found := buffers_of(classifier):
        context.state["buffers"] = app.ArrayRecord(found)
