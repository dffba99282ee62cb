"""Value, weights and remainder of every pool, layout, measure and dtype against float64 loops."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from globalpool import pools
from globalpool.layout import Ragged
from globalpool.pools.cases import batches
from tests.pools.slow import RULES, load_rules, slow

EXAMPLES = [
    pytest.param(number, pool, axes, id=f"{pool.__name__}[{number}]-{axes}d")
    for pool in pools.ALL
    for axes in (1, 2, 3)
    for number in range(len(pool.examples(3, axes)))
]
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}


def test_every_pool_has_a_slow_twin() -> None:
    load_rules()
    assert set(RULES) == set(pools.ALL)


@pytest.mark.parametrize("dtype", list(TOLERANCES), ids=str)
@pytest.mark.parametrize(("number", "cls", "axes"), EXAMPLES)
def test_pool_equals_slow_loop(number: int, cls: type[pools.Pool], axes: int, dtype: torch.dtype) -> None:
    load_rules()
    pool = cls.examples(3, axes)[number].to(torch.float64 if dtype == torch.float64 else torch.float32)
    for batch in batches(pool, 3, axes, dtype, seed=5):
        parts = pool.decompose(batch.x, **batch.arguments)
        _, layout = pool.arrange(batch.x, **batch.arguments)
        weights = parts.weights.expand(*parts.weights.shape[:2], 3, *parts.weights.shape[3:]).detach().double()
        for place, sample in enumerate(batch.samples):
            x, measure = (t[0].double().numpy() for t in (sample.x, sample.measure))
            given = sample.arguments.get("assignment")
            value, shares, remainder = slow(pool, x, measure, None if given is None else given[0].double().numpy())
            scale = max(1.0, float(np.abs(value).max()))
            own = weights_of(weights, layout, place, measure.shape).detach()
            for name, got, expected in (
                ("value", parts.value[place], value),
                ("weights", own, shares),
                ("remainder", parts.remainder[place], remainder),
            ):
                error = np.abs(got.detach().double().numpy() - expected).max()
                assert error <= TOLERANCES[dtype] * scale, f"{name} of sample {place}, {batch.name}: {error:.3g}"


def weights_of(weights: Tensor, layout: object, place: int, shape: tuple[int, ...]) -> Tensor:
    """One sample's weights ``(R, C, *shape)``, cut out of the batch."""
    if isinstance(layout, Ragged):
        rows = weights[int(layout.ptr[place]) : int(layout.ptr[place + 1])]
        return rows.movedim(0, -1).reshape(*rows.shape[1:], *shape)
    corner: Any = (place, ..., *(slice(side) for side in shape))
    return weights[corner]
