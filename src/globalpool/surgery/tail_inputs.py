"""Operations a tail may be made of, and the inputs each is linear in once its other inputs are held."""

from torch.fx import Node

from globalpool.evidence.gates import ACTIVATIONS
from globalpool.surgery.nodes import args_of, argument, name_of

RESHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "_unsafe_view", "view_as"}
IDENTITIES = {"dropout", "feature_dropout", "alpha_dropout", "contiguous", "clone", "alias", "detach", "to", "_to_copy"}
SUMS = {"add", "sub", "rsub", "neg"}
PERMUTES = {"permute", "transpose", "t", "movedim", "swapaxes"}
TAKES = {"select", "slice", "narrow", "getitem"}
JOINS = {"cat", "stack", "concat"}
CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"}
NORMS = {"batch_norm", "layer_norm", "rms_norm", "group_norm"}
MATRICES = {"linear", "addmm", "mm", "matmul"}
TOTALS = {"mean", "sum", "expand"}
#: Over a single position they only change the shape; over several they are found as pools first.
POOLS = {f"adaptive_{kind}_pool{d}d" for kind in ("avg", "max") for d in (1, 2, 3)} | {"amax"}
#: Functions of one number that may be held though their value at zero is none of torch's named activations'.
CLAMPS = {"clamp", "clamp_min", "hardtanh", "prelu"}
#: They subtract one number a sample, which is held: log-probabilities are scores minus their normaliser.
SHIFTS = {"log_softmax"}
#: Operations that bound their result: of two factors, the one made by such an operation is taken to be the gate.
BOUNDED = {"sigmoid", "hardsigmoid", "softmax", "tanh", "rsqrt", "reciprocal", "relu6", "hardtanh", "clamp"}
AFFINE = (
    RESHAPES | IDENTITIES | SUMS | PERMUTES | TAKES | JOINS | CONVOLUTIONS | MATRICES | TOTALS | POOLS | {"batch_norm"}
)


def linear_inputs(node: Node, depends: set[Node]) -> list[Node] | None:
    """The inputs the operation is linear in once the others are held; None for an operation without a rule."""
    name = name_of(node)
    tensors = [arg for arg in node.all_input_nodes if arg in depends]
    if name in SUMS | JOINS:
        return [arg for arg in _listed(node) if arg in depends]
    if name == "mul":
        factors = [arg for arg in args_of(node)[:2] if isinstance(arg, Node) and arg in depends]
        return factors[:1] if len(factors) < 2 else [factors[_held(factors)]]
    if name == "div":
        return [arg for arg in args_of(node)[:1] if arg in tensors]
    if name == "addmm":
        return [arg for arg in args_of(node)[1:2] if arg in tensors]
    if name == "getitem":
        parent = args_of(node)[0]
        several = name_of(parent) in ("unbind", "chunk", "split", "split_with_sizes", "tensor_split")
        return [arg for arg in args_of(parent)[:1] if arg in depends] if several else None
    if name == "batch_norm" and argument(node, 5, "training", False):
        return None
    known = RESHAPES | IDENTITIES | PERMUTES | POOLS | TAKES | CONVOLUTIONS | NORMS | CLAMPS | SHIFTS | set(ACTIVATIONS)
    if name in known | MATRICES | TOTALS:
        return [arg for arg in args_of(node)[:1] if isinstance(arg, Node) and arg in depends]
    return None


def _listed(node: Node) -> list[Node]:
    first = args_of(node)[0]
    entries = first if isinstance(first, list | tuple) else args_of(node)[:2]
    return [arg for arg in entries if isinstance(arg, Node)]


def _held(factors: list[Node]) -> int:
    """Which of two factors stays linear: the one that no bounded function made; the first where both or none is."""
    bounded = [_made_by_gate(factor) for factor in factors]
    return 1 if bounded == [True, False] else 0


def _made_by_gate(node: Node) -> bool:
    while name_of(node) in RESHAPES | PERMUTES | IDENTITIES | {"expand", "div"} and isinstance(args_of(node)[0], Node):
        node = args_of(node)[0]
    return name_of(node) in BOUNDED
