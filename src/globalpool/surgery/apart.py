"""A model taken apart: traced, searched for its last pooling, cut there. What ``adopt`` and ``replace_head`` share."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from globalpool.errors import AdoptionError
from globalpool.evidence.gates import ACTIVATIONS
from globalpool.surgery.capture import capture, look
from globalpool.surgery.find import Found, narrow_until_found
from globalpool.surgery.nodes import Shapes, args_of, name_of
from globalpool.surgery.rewrite import simplify
from globalpool.surgery.split import Cut, cut
from globalpool.surgery.tail_inputs import CLAMPS, CONVOLUTIONS, IDENTITIES, MATRICES, linear_inputs

#: Processor time for tracing with sizes left open; where it is not enough, only the number of samples stays open.
SECONDS = 30.0


@dataclass(frozen=True, eq=False)
class Apart:
    """``parts``: the two graphs; ``found``: the poolings between them; ``shapes`` of all values at ``example``.

    ``example``: what was traced, at least two samples. ``varying``: axes of the input whose length stays open.
    ``gated_maps``: what is pooled are the classes themselves, after an activation: what would be the linear layer of
    the tail stands before it, in the trunk.
    """

    parts: Cut
    found: Found
    shapes: Shapes
    example: Tensor
    varying: tuple[int, ...]
    gated_maps: bool


def take_apart(model: nn.Module, example: Tensor, seconds: float = SECONDS) -> Apart:
    """Take ``model`` apart at its last pooling, in eval mode and without gradients (the caller's duty).

    Raises AdoptionError naming the operation that stood in the way.
    """
    example = example.detach()
    example = torch.cat([example, example]) if example.shape[0] == 1 else example
    captured = capture(model, example, seconds)
    module = captured.module
    shapes, logits = look(module, example)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != example.shape[0]:
        got = str(tuple(logits.shape)) if isinstance(logits, Tensor) else type(logits).__name__
        raise AdoptionError("adopt", "a model that gives logits (N, K)", got, "Flatten its output first.")
    simplify(module, shapes)
    found, shapes = narrow_until_found(module, lambda: look(module, example)[0])
    parts = cut(module, found, shapes, linear_inputs)
    return Apart(parts, found, shapes, example, captured.varying, _gated_maps(found))


def _gated_maps(found: Found) -> bool:
    if any(name_of(node) in MATRICES | CONVOLUTIONS for node in found.tail):
        return False
    maker: Node = found.pools[0].features
    while name_of(maker) in IDENTITIES and isinstance(args_of(maker)[0], Node):
        maker = args_of(maker)[0]
    return name_of(maker) in CLAMPS | set(ACTIVATIONS)
