"""A trained classifier fitted to another resolution: batch statistics and head, no gradient step."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.errors import TrainingError
from globalpool.evidence import evaluating
from globalpool.surgery import HeadFit, fit_head
from globalpool.surgery.choice import Rule
from globalpool.surgery.head_fit import Method
from globalpool.training.resize import check_sides, resized


@dataclass(frozen=True, eq=False)
class Refit:
    """``classifier``: the new one, in eval mode; ``fit``: of its head; ``norms``: BatchNorms estimated anew."""

    classifier: PooledClassifier
    fit: HeadFit
    norms: int


class _At:
    """A loader's batches at another side; as often as the loader can be read."""

    def __init__(self, loader: Iterable[tuple[Tensor, Tensor]], side: int) -> None:
        self.loader, self.side = loader, side

    def __iter__(self):  # type: ignore[no-untyped-def]
        return ((resized(x, self.side), y) for x, y in self.loader)


def refit_at(
    classifier: PooledClassifier,
    loader: Iterable[tuple[Tensor, Tensor]],
    side: int,
    method: Method = "ridge",
    strength: float | Rule | None = None,
    *,
    validation: Iterable[tuple[Tensor, Tensor]] | None = None,
) -> Refit:
    """A copy of ``classifier`` for pictures of ``side``'s area; the given one is untouched.

    ``loader``: batches ``(x, y)`` of training pictures ``(n, C, *S)`` at any resolution, resized here, with class ids
    ``(n,)``; it is read two or three times, so no generator. The statistics of every BatchNorm become the averages
    over all batches at the new resolution (each sample counting the same), then ``fit_head`` fits the last linear layer
    by ``method`` and ``strength``. The copy's ``input_spec`` and ``resolution`` say the new size. Between training and
    test the apparent size of objects changes, and with it the statistics: Touvron, Vedaldi, Douze, Jegou, Fixing the
    train-test resolution discrepancy (2019), section 4.
    """
    check_sides("refit_at", (side,))
    if iter(loader) is loader:
        hint = "A generator can be read once only; give a list or a DataLoader."
        raise TrainingError("refit_at", "a loader that can be read again", type(loader).__name__, hint)
    copy = deepcopy(classifier)
    batches = _At(loader, side)
    norms = estimate_norms(copy, batches)
    held_out = None if validation is None else _At(validation, side)
    fit = fit_head(copy, batches, method, strength, validation=held_out)
    first = next(iter(batches))[0]
    copy.resolution = copy.feature_size(first[:1].to(next(copy.parameters()).device))
    if isinstance(copy.input_spec, InputSpec):
        copy.input_spec = replace(copy.input_spec, size=side)
    return Refit(copy.eval(), fit, norms)


@torch.no_grad()
def estimate_norms(classifier: PooledClassifier, batches: Iterable[tuple[Tensor, Tensor]]) -> int:
    """Batch statistics from all samples, everything but the BatchNorms in eval mode; how many norms there are."""
    norms = [
        module
        for module in classifier.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
    if not norms:
        return 0
    device, momenta, seen = next(classifier.parameters()).device, [norm.momentum for norm in norms], 0
    with evaluating(classifier):
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        for x, _ in batches:
            seen += len(x)
            for norm in norms:
                norm.momentum = len(x) / seen  # the running average weighs every sample alike
            classifier(x.to(device))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
    return len(norms)
