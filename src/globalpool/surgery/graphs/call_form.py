"""How a model of several arguments is called: which of them are inputs, and which were the same when it was traced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import BoundArguments, Parameter, Signature, signature
from typing import Any

from torch import Tensor, nn

from globalpool.errors import AdoptionError
from globalpool.layout.check import describe


@dataclass(frozen=True)
class CallForm:
    """``inputs``: names of the arguments that vary; ``fixed``: the others, None, switches and defaults, as traced."""

    signature: Signature
    inputs: tuple[str, ...]
    fixed: tuple[tuple[str, Any], ...]

    def values(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The inputs of one call, in the order of ``inputs``; AdoptionError where another argument is not as traced."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name, value in self.fixed:
            given = bound.arguments[name]
            if given is not value and (isinstance(given, Tensor) or given != value):
                raise AdoptionError(
                    "AdoptedClassifier",
                    f"`{name}` to be {value!r}, as in the example the model was adopted with",
                    describe(given),
                    "Adopt the model again with an example that has it.",
                )
        return [bound.arguments[name] for name in self.inputs]

    def bind(self, values: Sequence[Any]) -> BoundArguments:
        """The arguments of the model for these inputs."""
        given = {**dict(self.fixed), **dict(zip(self.inputs, values, strict=True))}
        bound = BoundArguments(self.signature, {})
        for name in self.signature.parameters:
            bound.arguments[name] = given[name]
        return bound


def call_form(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CallForm:
    """The form of the call ``model(*args, **kwargs)``; AdoptionError where the arguments do not fit the model."""
    form = signature(model.forward)
    try:
        given = form.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise AdoptionError("adopt", f"an example for {type(model).__name__}.forward{form}", str(error)) from None
    if any(p.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) for p in form.parameters.values()):
        form = _spelled(args, kwargs)
        given = form.bind(*args, **kwargs).arguments
    inputs = tuple(name for name, value in given.items() if not isinstance(value, bool | float | str | None))
    rest = {name: given.get(name, p.default) for name, p in form.parameters.items() if name not in inputs}
    plain = Signature([p.replace(annotation=Parameter.empty) for p in form.parameters.values()])
    return CallForm(plain, inputs, tuple(rest.items()))


def _spelled(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Signature:
    """The signature of a forward that takes any arguments: those that the example gives."""
    places = [Parameter(f"input_{place + 1}", Parameter.POSITIONAL_ONLY) for place in range(len(args))]
    return Signature([*places, *(Parameter(name, Parameter.KEYWORD_ONLY) for name in kwargs)])
