"""``replace_head``: a pool and a linear layer in place of a model's own head."""

import torch
from torch import Tensor, nn

from globalpool.errors import AdoptionError, PoolError
from globalpool.pools import Pool
from globalpool.pools.base import check_pool_type
from globalpool.surgery.feature_trunk import FeatureTrunk, feature_trunk
from globalpool.surgery.replacement import PartCount, ReplacedClassifier, Replacement, count

WHERE = "replace_head"


def replace_head(
    model: nn.Module, pool: Pool, num_classes: int, example_input: Tensor, *, dropout: float = 0.0
) -> ReplacedClassifier:
    """``pool`` and a linear layer to ``num_classes`` logits, in place of everything after the last feature map.

    The feature map is the one ``adopt`` finds: what is pooled, or, before flatten and fully connected layers (also
    behind an adaptive pool, AlexNet and VGG), the map itself, so that the result takes any input size its convolutions
    take. ``example_input``: a valid input ``(N, ...)``, on the model's device; on the meta device parameters are
    counted without being there.

    The trunk shares the model's parameters and buffers; the model itself is not changed. Device, dtype, mode and
    whether it is trained: the new layer follows the old head, a trunk of modules the model, the pool's device follows.
    Heads that give no logits in eval mode (the auxiliary ones of GoogLeNet and Inception) are dropped, in every mode:
    they were trained on the old classes; the record counts them as ``other``. Dropout of the old head goes with it;
    ``dropout`` puts one between pool and linear layer (before a pool it would be averaged away). The new layer is
    random: fit it with ``fit_head``, or train it. ``result.replacement`` is the record, ``result.undo()`` the way back;
    for that it keeps a copy of the trunk's numbers. Forward hooks stay on those
    modules that the trunk calls as a whole, torch's own.

    Raises PoolError for settings, AdoptionError where no feature map is found.
    """
    check_pool_type(WHERE, pool)
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 1:
        raise PoolError(WHERE, "`num_classes` as a positive integer", repr(num_classes))
    if not 0 <= dropout < 1:
        raise PoolError(WHERE, "`dropout` from 0 to below 1", repr(dropout))
    if not isinstance(example_input, Tensor) or example_input.ndim < 2 or not example_input.shape[0]:
        got = f"shape {tuple(example_input.shape)}" if isinstance(example_input, Tensor) else str(type(example_input))
        raise AdoptionError(WHERE, "`example_input` as a tensor (N, ...) with at least one sample", got)
    if pool.needs_assignment:
        hint = "Build a PooledClassifier with the trunk of another result."
        raise PoolError(WHERE, "a pool that is called with the features alone", f"{pool.name}", hint)
    parts = feature_trunk(model, example_input)
    like = parts.old_head[-1] if parts.old_head else next(model.parameters(), example_input)
    width = pool.out_features(parts.channels, _kept(pool, parts.spatial))
    layer: nn.Module = nn.Linear(width, num_classes, device=like.device, dtype=like.dtype)
    trained = any(own.requires_grad for own in parts.old_head) or not parts.old_head
    layer.requires_grad_(trained)
    tail = nn.Sequential(nn.Dropout(dropout), layer) if dropout else layer
    classifier = ReplacedClassifier(parts.trunk, pool.to(like.device), tail)
    training = _mode_of(model, like)
    classifier.training = training
    classifier.pool.train(training)
    classifier.tail.train(training)
    classifier.resolution = parts.spatial
    classifier.replacement = _record(model, parts, classifier)
    _check(classifier, example_input, width)
    return classifier


def _kept(pool: Pool, spatial: tuple[int, ...]) -> list[int]:
    """The lengths of the axes that the pool keeps; ``dim`` counts as in torch on ``(N, C, *S)``."""
    if pool.dim is None:
        return []
    reduced = {axis % (len(spatial) + 2) - 2 for axis in pool.dim}
    return [side for axis, side in enumerate(spatial) if axis not in reduced]


def _mode_of(model: nn.Module, parameter: Tensor) -> bool:
    """The mode of the module that owns a parameter."""
    for module in model.modules():
        if any(own is parameter for own in module.parameters(recurse=False)):
            return module.training
    return model.training


def _record(model: nn.Module, parts: FeatureTrunk, classifier: ReplacedClassifier) -> Replacement:
    every: dict[Tensor, None] = dict.fromkeys(model.parameters())
    trunk: dict[Tensor, None] = dict.fromkeys(parts.trunk.parameters())
    head: dict[Tensor, None] = dict.fromkeys(own for own in parts.old_head if own not in trunk)
    new: dict[Tensor, None] = dict.fromkeys(classifier.tail.parameters())
    before = PartCount(count(trunk), 0, count(head), count(every) - count(trunk) - count(head))
    after = PartCount(count(trunk), count(dict.fromkeys(classifier.pool.parameters())), count(new))
    shared: dict[Tensor, None] = {**trunk, **dict.fromkeys(parts.trunk.buffers())}
    saved = tuple((own, own.detach().clone(), own.requires_grad) for own in shared)
    modes = tuple((module, module.training) for module in model.modules())
    return Replacement(before, after, parts.made_of, model, saved, modes)


def _check(classifier: ReplacedClassifier, example: Tensor, width: int) -> None:
    """Raise unless the pool gives the tail the width it reads."""
    modes = [(module, module.training) for module in classifier.modules()]
    try:
        with torch.no_grad():
            got = classifier.eval().pool(classifier.features(example.detach())).shape[1]
    finally:
        for module, training in modes:
            module.training = training
    if got != width:
        raise PoolError(WHERE, f"pooled vectors of width {width} from {classifier.pool.name}", str(got))
