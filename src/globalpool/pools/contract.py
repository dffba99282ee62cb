"""The contract of pools as laws that can be run: ``check_pool`` holds any pool to what this library promises.

Each law takes a pool, the number of channels and of spatial axes, and raises AssertionError with a sentence. ``LAWS``
lists them; ``laws`` gives one case a law, pool and number of axes for a test runner to name and count.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from globalpool.pools.base import Pool
from globalpool.pools.cases import Batch, batches, needed, samples

CHANNELS = 3
Law = Callable[[Pool, int, int], None]


def adds_up(pool: Pool, channels: int, axes: int) -> None:
    """Weights times features plus remainder is the value, and the value is what the pool returns."""
    tolerances = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
    for dtype, tolerance in tolerances.items():
        pool = deepcopy(pool).to(torch.float64 if dtype == torch.float64 else torch.float32)
        for batch in batches(pool, channels, axes, dtype):
            parts = pool.decompose(batch.x, **batch.arguments)
            value = parts.value.double()
            assert torch.equal(pool(batch.x, **batch.arguments), parts.value.flatten(1)), _say(
                pool, batch, dtype, "pool(x) must equal decompose(x).value.flatten(1)"
            )
            features, layout = pool.arrange(batch.x, **batch.arguments)
            total = layout.sum(parts.weights.double() * features.double().unsqueeze(1)) + parts.remainder.double()
            _close(total, value, tolerance, _say(pool, batch, dtype, "weights * x + remainder must equal the value"))
            assert pool.has_remainder or (parts.remainder == 0).all(), _say(
                pool, batch, dtype, "a pool with a remainder must say so by has_remainder"
            )


def same_in_every_layout(pool: Pool, channels: int, axes: int) -> None:
    """A sample alone, padded and ragged has one value and one gradient."""
    pool = deepcopy(pool).double()
    for batch in batches(pool, channels, axes, torch.float64):
        leaves = [sample.x.clone().requires_grad_() for sample in batch.samples]
        together = pool(batch.join(leaves), **batch.arguments)
        generator = torch.Generator().manual_seed(1)
        direction = torch.randn(together.shape, generator=generator, dtype=torch.float64)
        gradients = torch.autograd.grad((together * direction).sum(), leaves)
        for number, sample in enumerate(batch.samples):
            x = sample.x.clone().requires_grad_()
            alone = pool(x, mask=sample.measure, **sample.arguments)
            _close(alone[0], together[number], 1e-6, _say(pool, batch, x.dtype, f"sample {number} must not change"))
            (gradient,) = torch.autograd.grad((alone[0] * direction[number]).sum(), x)
            _close(gradient, gradients[number], 1e-6, _say(pool, batch, x.dtype, f"gradient of sample {number}"))


def absent_gets_no_gradient(pool: Pool, channels: int, axes: int) -> None:
    """NaN and Inf at absent positions reach neither value nor gradient, and gradients there are zero."""
    pool = deepcopy(pool).double()
    for batch in batches(pool, channels, axes, torch.float64):
        x = batch.x.clone().requires_grad_()
        value = pool(x, **batch.arguments)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        assert value.isfinite().all(), _say(pool, batch, x.dtype, "the value must be finite")
        assert gradient.isfinite().all(), _say(pool, batch, x.dtype, "the gradient must be finite")
        assert (gradient[~x.isfinite()] == 0).all(), _say(pool, batch, x.dtype, "no gradient at absent positions")


def empty_is_zero(pool: Pool, channels: int, axes: int) -> None:
    """An empty sample, wherever it stands, gives zeros and zero gradients, and leaves its neighbours alone."""
    pool = deepcopy(pool).double()
    sample = samples(pool, channels, axes, torch.float64)[0]
    x, more = torch.cat([sample.x] * 3), {name: torch.cat([value] * 3) for name, value in sample.arguments.items()}
    for empty in ([0], [1], [2], [0, 1, 2]):
        mask = torch.ones(3, *x.shape[2:], dtype=torch.bool)
        mask[empty] = False
        leaf = x.clone().requires_grad_()
        value = pool(leaf, mask=mask, **more)
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        alone = pool(x[:1], **sample.arguments)[0]
        for number in range(3):
            expected = torch.zeros_like(alone) if number in empty else alone
            _close(value[number], expected, 1e-12, f"{pool.name}: sample {number} with samples {empty} empty")
        assert gradient.isfinite().all(), f"{pool.name}: the gradient must be finite with samples {empty} empty."
        assert (gradient[empty] == 0).all(), f"{pool.name}: an empty sample must get no gradient."


def gradients_are_right(pool: Pool, channels: int, axes: int) -> None:
    """First and second derivatives agree with finite differences, for the features and the pool's parameters."""
    pool = deepcopy(pool).double()
    parameters = list(pool.parameters())
    for batch in batches(pool, 2 if channels > 2 and not parameters else channels, axes, torch.float64):
        if batch.name in ("padded, sizes", "channels last", "lengths"):
            continue  # the same code as the others, and finite differences are slow
        leaves = [sample.x.clone().requires_grad_() for sample in batch.samples[:2]]
        rest = [sample.x for sample in batch.samples[2:]]

        def run(*inputs: Tensor, batch: Batch = batch, rest: list[Tensor] = rest) -> Tensor:
            value: Tensor = pool(batch.join([*inputs[: len(batch.samples) - len(rest)], *rest]), **batch.arguments)
            return value

        say = _say(pool, batch, torch.float64, "gradient against finite differences")
        assert torch.autograd.gradcheck(run, (*leaves, *parameters)), say
        assert torch.autograd.gradgradcheck(run, (*leaves, *parameters), fast_mode=True), say


def weights_are_what_is_claimed(pool: Pool, channels: int, axes: int) -> None:
    """``weights_are_gradient``: dy/dx equals the weights. ``affine``: other features have the same weights."""
    pool = deepcopy(pool).double()
    for batch in batches(pool, channels, axes, torch.float64):
        x = batch.x.clone().requires_grad_()
        parts = pool.decompose(x, **batch.arguments)
        if pool.weights_are_gradient:
            features, layout = pool.arrange(x, **batch.arguments)
            generator = torch.Generator().manual_seed(2)
            direction = torch.randn(parts.value.shape, generator=generator, dtype=torch.float64)
            (gradient,) = torch.autograd.grad((parts.value * direction).sum(), x, retain_graph=True)
            expected = (parts.weights * layout.spread(direction)).sum(1)
            got, _ = pool.arrange(gradient, **batch.arguments)
            say = _say(pool, batch, x.dtype, "weights_are_gradient is claimed, but dy/dx differs from the weights")
            _close(got, layout.present(expected.expand_as(features), 0), 1e-9, say)
        if pool.affine:
            other = pool.decompose(torch.where(x.isfinite(), 2 * x.detach() + 1, x.detach()), **batch.arguments)
            say = _say(pool, batch, x.dtype, "affine is claimed, but")
            _close(other.weights, parts.weights, 1e-12, f"{say} the weights depend on the features")
            assert (parts.remainder == 0).all(), f"{say} there is a remainder"


def order_does_not_matter(pool: Pool, channels: int, axes: int) -> None:
    """Without geometry, permuting the positions permutes the weights and keeps the value."""
    if pool.needs_geometry:
        return
    pool = deepcopy(pool).double()
    sample = samples(pool, channels, axes, torch.float64)[1]
    positions = sample.x.flatten(2)
    order = torch.randperm(positions.shape[2], generator=torch.Generator().manual_seed(3))
    shuffled = positions[:, :, order].reshape(sample.x.shape)
    moved_too: dict[str, Any] = {
        name: value.flatten(1)[:, order].reshape(value.shape) for name, value in sample.arguments.items()
    }
    before, after = pool.decompose(sample.x, **sample.arguments), pool.decompose(shuffled, **moved_too)
    _close(after.value, before.value, 1e-12, f"{pool.name}: the value must not depend on the order of positions")
    moved = before.weights.flatten(3)[..., order]
    _close(after.weights.flatten(3), moved, 1e-12, f"{pool.name}: weights must move with their positions")


def a_measure_counts(pool: Pool, channels: int, axes: int) -> None:
    """Without geometry, a position of measure 2 gives the value of that position standing there twice."""
    if pool.needs_geometry:
        return
    pool = deepcopy(pool).double()
    sample = samples(pool, channels, axes, torch.float64)[2]
    x, more = sample.x.flatten(2), {name: value.flatten(1) for name, value in sample.arguments.items()}
    measure = torch.ones(1, x.shape[2], dtype=torch.float64)
    measure[:, 1] = 2
    twice = torch.cat([x, x[:, :, 1:2]], 2)
    more_twice = {name: torch.cat([value, value[:, 1:2]], 1) for name, value in more.items()}
    _close(
        pool(x, mask=measure, **more),
        pool(twice, **more_twice),
        1e-9,
        f"{pool.name}: measure 2 must count a position twice",
    )


def a_measure_gets_its_gradient(pool: Pool, channels: int, axes: int) -> None:
    """The derivative by a measure that a network may have made agrees with finite differences."""
    pool = deepcopy(pool).double()
    sample = samples(pool, channels, axes, torch.float64)[1]

    def run(measure: Tensor) -> Tensor:
        value: Tensor = pool(sample.x, mask=measure, **sample.arguments)
        return value

    say = f"{pool.name}: gradient by the measure against finite differences"
    assert torch.autograd.gradcheck(run, (sample.measure.clone().requires_grad_(),), raise_exception=False), say


def forward_and_backward_derivatives_agree(pool: Pool, channels: int, axes: int) -> None:
    """A Jacobian-vector product in forward mode is the one of the gradients."""
    pool = deepcopy(pool).double()
    sample = samples(pool, channels, axes, torch.float64)[1]
    direction = torch.randn(sample.x.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def run(x: Tensor) -> Tensor:
        value: Tensor = pool(x, **sample.arguments)
        return value

    with forward_ad.dual_level():
        forward = forward_ad.unpack_dual(run(forward_ad.make_dual(sample.x, direction))).tangent
    assert forward is not None, f"{pool.name}: the value must depend on the features in forward mode"
    backward = (torch.autograd.functional.jacobian(run, sample.x) * direction).flatten(2).sum(2)
    _close(forward, backward, 1e-9, f"{pool.name}: forward and backward derivatives must agree")


def half_samples_keep_their_range(pool: Pool, channels: int, axes: int) -> None:
    """512 half-precision positions near 1,000, whose sum overflows, give the value of float64."""
    shape = [[512], [32, 16], [8, 8, 8]][axes - 1]
    noise = torch.randn(1, channels, *shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    more = needed(pool, shape)
    for dtype, tolerance in ((torch.float16, 4e-3), (torch.bfloat16, 2e-2)):
        x = (1000 + 100 * noise).to(dtype)
        half, exact = (deepcopy(pool).to(own)(x.to(own), **more) for own in (dtype, torch.float64))
        _close(half, exact, tolerance, f"{pool.name}, {dtype}: 512 positions near 1,000")


def large_features_stay_finite(pool: Pool, channels: int, axes: int) -> None:
    """Features of 10,000 in float32 give finite values, weights and gradients."""
    pool = deepcopy(pool).float()
    sample = samples(pool, channels, axes, torch.float32)[0]
    x = (sample.x * 1e4).requires_grad_()
    parts = pool.decompose(x, **sample.arguments)
    (gradient,) = torch.autograd.grad(parts.value.sum(), x)
    for what, values in (("value", parts.value), ("weights", parts.weights), ("gradient", gradient)):
        assert values.isfinite().all(), f"{pool.name}: the {what} must be finite for features of 10,000."


def is_a_module(pool: Pool, channels: int, axes: int) -> None:
    """Repeatable bit for bit, and the same after deepcopy and after loading its own state."""
    sample = samples(pool, channels, axes, torch.float32)[0]
    x, more = sample.x, sample.arguments
    first = pool(x, **more)
    assert torch.equal(first, pool(x, **more)), f"{pool.name}: a second call must give the same bits."
    copy = deepcopy(pool)
    copy.load_state_dict(pool.state_dict())
    assert torch.equal(first, copy(x, **more)), f"{pool.name}: a copy with its state must give the same bits."
    width = pool.out_features(channels, first.new_zeros(pool.decompose(x, **more).value.shape[3:]).shape)
    assert first.shape == (1, width), f"{pool.name}: out_features says {width}, the pool gives {first.shape[1]}."


LAWS: tuple[Law, ...] = (
    adds_up,
    same_in_every_layout,
    absent_gets_no_gradient,
    empty_is_zero,
    gradients_are_right,
    weights_are_what_is_claimed,
    order_does_not_matter,
    a_measure_counts,
    a_measure_gets_its_gradient,
    forward_and_backward_derivatives_agree,
    half_samples_keep_their_range,
    large_features_stay_finite,
    is_a_module,
)


def laws(pool: type[Pool], channels: int = CHANNELS) -> Iterator[tuple[str, Law, Pool, int]]:
    """(name, law, pool, axes) for every law, every example of the pool class and one to three axes."""
    for axes in (1, 2, 3):
        for number, example in enumerate(pool.examples(channels, axes)):
            for law in LAWS:
                yield f"{pool.__name__}[{number}]-{axes}d-{law.__name__}", law, example, axes


def check_pool(pool: type[Pool], channels: int = CHANNELS) -> None:
    """Run every law on every ``examples(channels, axes)`` of a pool class; AssertionError says which one it breaks."""
    for _, law, example, axes in laws(pool, channels):
        law(example, channels, axes)


def _say(pool: Pool, batch: Batch, dtype: torch.dtype, what: str) -> str:
    return f"{pool.name}, {batch.name}, {dtype}: {what}"


def _close(got: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    assert got.shape == expected.shape, f"{what}: shape {tuple(got.shape)}, expected {tuple(expected.shape)}."
    got, expected = got.detach().double(), expected.detach().double()
    error = float((got - expected).abs().max()) if got.numel() else 0.0
    limit = tolerance * max(1.0, float(expected.abs().max()) if expected.numel() else 0.0)
    assert error <= limit, f"{what}: off by {error:.3g}, allowed {limit:.3g}."
