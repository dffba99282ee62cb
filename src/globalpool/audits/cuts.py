"""Places in a trunk at which everything passes through one tensor, and mixing there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier

#: From ``first, second (n, C, *S)`` to their mix.
Mixer = Callable[[Tensor, Tensor], Tensor]
#: Modules tried for each resolution, from the last one backwards.
TRIES = 4


def stages(classifier: PooledClassifier, x: Tensor) -> dict[str, nn.Module]:
    """By name, the last module of each resolution of the trunk that everything passes through; ``x (2, C, *S)``.

    Proven, not guessed: where the second sample's tensor is put in the first one's place, the first one's logits
    become the second's. The last resolution is the feature map itself and is left out. Empty for a trunk without
    modules, as ``adopt`` gives.
    """
    order = _order(classifier, x)
    sizes = list(dict.fromkeys(size for _, _, size in order))
    found = {}
    for size in sizes[:-1] if sizes else []:
        last = [(name, module) for name, module, own in order if own == size][::-1][:TRIES]
        for name, module in last:
            if _is_cut(classifier, module, x):
                found[f"{name} ({' x '.join(map(str, size))})"] = module
                break
    return found


def mixed_at(classifier: PooledClassifier, module: nn.Module, first: Tensor, second: Tensor, mix: Mixer) -> Tensor:
    """Logits ``(n, K)`` of ``first`` and ``second (n, C, *S)`` mixed where ``module`` gives its output."""
    count = len(first)
    with _replacing(module, lambda out: torch.cat([mix(out[:count], out[count:]), out[count:]])):
        logits: Tensor = classifier(torch.cat([first, second]))
    return logits[:count]


def _order(classifier: PooledClassifier, x: Tensor) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """Modules of the trunk in the order in which they end, each that ran once and gave a map of all samples."""
    runs: list[tuple[str, nn.Module, tuple[int, ...] | None]] = []
    handles = []

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            fits = isinstance(output, Tensor) and output.ndim == x.ndim and len(output) == len(x)
            runs.append((name, module, tuple(output.shape[2:]) if fits else None))

        return hook

    try:
        for name, module in classifier.trunk.named_modules():
            if module is not classifier.trunk:
                handles.append(module.register_forward_hook(note(name)))
        with torch.no_grad():
            classifier(x)
    finally:
        for handle in handles:
            handle.remove()
    ran = [id(module) for _, module, _ in runs]
    return [(name, module, size) for name, module, size in runs if size and ran.count(id(module)) == 1]


def _is_cut(classifier: PooledClassifier, module: nn.Module, x: Tensor) -> bool:
    with torch.no_grad():
        own = classifier(x)
        try:
            swapped = mixed_at(classifier, module, x[:1], x[1:], lambda first, second: second)
        except RuntimeError:  # an in-place operation that a hook breaks
            return False
    scale = float(own.abs().max())
    apart = float((own[0] - own[1]).abs().max())
    return apart > 1e-3 * scale and float((swapped[0] - own[1]).abs().max()) <= 1e-5 * scale


@contextmanager
def _replacing(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The module gives ``change`` of its output for the block."""
    handle = module.register_forward_hook(lambda module, inputs, output: change(output))
    try:
        yield
    finally:
        handle.remove()
