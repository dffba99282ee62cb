"""Where blocks go: after which modules of a network, and with how many channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from torch import fx, nn

from globalpool.blocks.trace import Trace, own_channels, trace
from globalpool.errors import PoolError

WHERE = "insert_se"
#: Activations a trunk puts behind its convolutions; sigmoids belong to gates.
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.Softplus, nn.Tanh,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Place:
    """After which module, with how many channels; ``owned``: whether nothing else can hold the memory of its output.

    ``like`` is the convolution or norm that told the channels.
    """

    name: str
    channels: int
    like: nn.Module
    owned: bool


def find_places(trunk: nn.Module, where: str | Sequence[str]) -> list[Place]:
    """The places ``where`` means in ``trunk``, as ``insert_se`` says; raises PoolError."""
    names = [name for name, _ in trunk.named_modules() if name]
    if not isinstance(where, str):
        return _named(trunk, list(where), names)
    if where not in ("residual", "activation"):
        hint = f'Names go in a list: where=["{where}"].' if where in names else ""
        raise PoolError(WHERE, '`where` to be "residual", "activation" or a list of names', repr(where), hint)
    traced = _traced(trunk)
    return _residual(trunk, traced) if where == "residual" else _activation(trunk, traced)


def _traced(trunk: nn.Module) -> Trace:
    try:
        return trace(trunk)
    except Exception as error:
        got = f"{type(trunk).__name__}, of which it says: {' '.join(str(error).split()).split('. ')[0].rstrip('.')}"
        hint = (
            'Give the part that it can trace (a classifier\'s trunk), or names of convolutions or norms: where=["..."].'
        )
        raise PoolError(WHERE, "a trunk that torch.fx can trace", got, hint) from error


def _residual(trunk: nn.Module, traced: Trace) -> list[Place]:
    ends = list(traced.branch_ends())
    if not ends:
        hint = 'Write where="activation", or names out of named_modules().'
        raise PoolError(WHERE, "residual branches that end in a module", f"none in {type(trunk).__name__}", hint)
    for end in ends:
        readers = traced.readers(end)
        if len(readers) > 1:
            got = f"{end.target}, which {len(readers)} operations read"
            raise PoolError(WHERE, "branches read by their addition alone", got, "Name the modules instead.")
    return [_place(traced, str(end.target)) for end in ends]


def _activation(trunk: nn.Module, traced: Trace) -> list[Place]:
    places = []
    for name, calls in traced.calls.items():
        sources = [source for call in calls if call.output is not None for source in call.output.all_input_nodes]
        behind = [traced.module(traced.loud(source)) for source in sources]
        follows = any(module is not None and own_channels(module) is not None for module in behind)
        follows = follows and any(traced.on_a_map(source) for source in sources)
        if isinstance(traced.modules[name], ACTIVATIONS) and follows:
            places.append(_place(traced, name))
    if not places:
        got = f"none in {type(trunk).__name__}"
        raise PoolError(WHERE, "activation modules that follow a convolution or norm", got, "Write names instead.")
    return places


def _named(trunk: nn.Module, wanted: list[str], names: list[str]) -> list[Place]:
    if not wanted or len(set(wanted)) < len(wanted):
        raise PoolError(WHERE, "`where` with at least one name, each once", repr(wanted))
    unknown = [name for name in wanted if name not in names]
    if unknown:
        close = [match for name in unknown for match in get_close_matches(str(name), names, 3)]
        hint = f"Close to it: {', '.join(close)}." if close else "They are listed by trunk.named_modules()."
        raise PoolError(WHERE, f"names of modules in {type(trunk).__name__}", ", ".join(map(repr, unknown)), hint)
    modules = [trunk.get_submodule(name) for name in wanted]
    own = [own_channels(module) for module in modules]
    try:
        traced = _traced(trunk)
    except PoolError:
        if None in own:
            raise
        # Convolutions and norms say their channels themselves.
        return [
            Place(name, channels, module, not module._forward_hooks)
            for name, module, channels in zip(wanted, modules, own, strict=True)
            if channels is not None
        ]
    return [_place(traced, name) for name in wanted]


def _place(traced: Trace, name: str) -> Place:
    calls = traced.calls.get(name, [])
    if len(calls) != 1:
        hint = "" if not calls else "One block would mix what the calls are for: give each call a module of its own."
        raise PoolError(WHERE, "modules that are called once", f"{name}, called {len(calls)} times", hint)
    call, module = calls[0], traced.modules[name]
    if call.output is None or not call.single:
        raise PoolError(WHERE, "modules from one tensor to one tensor", f"{name}, a {type(module).__name__}")
    found = traced.channels(call.output)
    if found is None:
        hint = "Put the block after a convolution or norm."
        raise PoolError(WHERE, f"a convolution or norm that tells the channels of {name}", "none before it", hint)
    return Place(name, *found, owned=_owned(traced, module, call.output))


def _owned(traced: Trace, module: nn.Module, output: fx.Node) -> bool:
    """Whether the block may write on the module's output: fresh memory that neither hook nor operation reads."""
    if own_channels(module) is not None:
        return not module._forward_hooks
    if not isinstance(module, ACTIVATIONS) or module._forward_hooks:
        return False
    (source,) = output.all_input_nodes  # an activation may write on its input, so that must be fresh as well
    made = traced.module(source)
    return made is not None and own_channels(made) is not None and len(source.users) == 1 and not made._forward_hooks
