"""A tail as the graph it was traced to: it runs the model's own operations, and tells its held steps."""

from typing import Any

from torch import Tensor, nn
from torch.fx import GraphModule, Node

from globalpool import kernels
from globalpool.errors import EvidenceError
from globalpool.evidence.held import Held, Step
from globalpool.surgery.nodes import argument, name_of
from globalpool.surgery.program import Ref, program_of
from globalpool.surgery.split import Cut
from globalpool.surgery.tail_inputs import IDENTITIES, RESHAPES
from globalpool.surgery.tail_steps import Call, step


class TracedTail(nn.Module):
    """``logits = graph(vectors (N, F), *sides)``; ``live`` names the linear inputs of every node on the way.

    ``sides`` counts values of the same batch that come from the trunk (a token's residual stream, for one); ``varied``
    says whether any differs between samples. Without sides it is an ordinary module; with them it is called through
    the classifier, which has them.
    """

    def __init__(self, graph: GraphModule, live: dict[str, tuple[str, ...]], sides: int, varied: bool) -> None:
        super().__init__()
        self.graph, self.sides = graph, sides
        self.program = program_of(graph, live)
        self._affine = not varied and all(line.affine for line in self.program if line.live)

    @property
    def affine(self) -> bool:
        """Whether the tail is one affine map for every sample."""
        return self._affine

    def forward(self, vectors: Tensor, *sides: Any) -> Tensor:
        """Logits ``(N, K)``."""
        if len(sides) != self.sides:
            raise EvidenceError(
                "TracedTail",
                f"pooled vectors and {self.sides} values of the trunk",
                f"{len(sides)} values",
                "Call the classifier: its trunk gives them.",
            )
        logits: Tensor = self.graph(vectors, *sides)
        return logits

    def hold(self, vectors: Tensor, *sides: Any) -> Held:
        """Every operation between the vectors and the logits as the linear piece it was at this batch."""
        values = self._values(vectors, *sides)
        dtype = kernels.accumulation_dtype(vectors.dtype)

        def get(argument: Any) -> Any:
            value = _resolved(argument, values)
            return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

        steps: list[Step] = []
        place = {self.program[0].name: 0}
        for line in self.program:
            if line.live:
                parts, constant = _step(Call(line, get, get(Ref(line.name))))
                steps.append(Step(tuple((place[source.name], piece) for source, piece in parts), constant))
                place[line.name] = len(steps)
        logits: Tensor = _resolved(self.program[-1].args[0], values)
        return Held(tuple(vectors.shape[1:]), tuple(steps), logits, self.affine)

    def at(self, sides: tuple[Any, ...]) -> nn.Module:
        """The tail for one batch, with its sides filled in."""
        return self if not self.sides else _AtBatch(self, sides)

    def _values(self, *inputs: Any) -> dict[str, Any]:
        """The value of every operation, run as the graph module runs it."""
        values: dict[str, Any] = {}
        given = list(inputs)
        for line in self.program:
            if line.word == "placeholder":
                values[line.name] = given.pop(0)
            elif line.word == "get_attr":
                values[line.name] = _attribute(self.graph, str(line.target))
            elif line.word != "output":
                keywords = {name: _resolved(value, values) for name, value in line.kwargs.items()}
                values[line.name] = line.target(*_resolved(line.args, values), **keywords)
        return values


def _resolved(argument: Any, values: dict[str, Any]) -> Any:
    """An argument with the values its references name."""
    if isinstance(argument, Ref):
        return values[argument.name]
    if isinstance(argument, tuple):
        return tuple(_resolved(entry, values) for entry in argument)
    return [_resolved(entry, values) for entry in argument] if isinstance(argument, list) else argument


def linear_layer(cut: Cut) -> nn.Linear | None:
    """The tail as the linear layer it is, with the model's own parameters, where nothing else happens in it."""
    graph = cut.tail.graph
    calls = [
        node for node in graph.nodes if node.op == "call_function" and name_of(node) not in IDENTITIES | {"sym_size"}
    ]
    matrices = [node for node in calls if name_of(node) == "linear"]
    entry = [node for node in calls if name_of(node) == "slice" and node.args[0] is next(iter(graph.nodes))]
    plain = all(name_of(node) in RESHAPES or node in entry for node in calls if node not in matrices)
    if len(matrices) != 1 or not plain or cut.sides or cut.carried or any(slot.regions > 1 for slot in cut.slots):
        return None
    weight, bias = (
        _parameter(cut.tail, argument(matrices[0], place, name)) for place, name in ((1, "weight"), (2, "bias"))
    )
    if len(cut.slots) > 1 or weight is None or weight.shape[1] != cut.channels:
        return None
    if bias is None and argument(matrices[0], 2, "bias") is not None:
        return None
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight, layer.bias = weight, bias  # type: ignore[assignment]
    return layer


def _parameter(root: nn.Module, node: Any) -> nn.Parameter | None:
    found = _attribute(root, str(node.target)) if isinstance(node, Node) and node.op == "get_attr" else None
    return found if isinstance(found, nn.Parameter) else None


class _AtBatch(nn.Module):
    """A traced tail whose sides are those of one batch."""

    def __init__(self, tail: TracedTail, sides: tuple[Any, ...]) -> None:
        super().__init__()
        self.tail, self.values = tail, sides
        self.training = tail.training

    @property
    def affine(self) -> bool:
        """See ``TracedTail``."""
        return self.tail.affine

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits ``(N, K)``."""
        logits: Tensor = self.tail(vectors, *self.values)
        return logits

    def hold(self, vectors: Tensor) -> Held:
        """See ``TracedTail.hold``."""
        return self.tail.hold(vectors, *self.values)


def _step(call: Call) -> Any:
    try:
        return step(call)
    except NotImplementedError as error:
        raise EvidenceError(
            "evidence", "a tail whose every operation has a rule", f"{call.line.place}: {error}"
        ) from None


def _attribute(root: nn.Module, path: str) -> Any:
    value: Any = root
    for part in path.split("."):
        value = getattr(value, part)
    return value
