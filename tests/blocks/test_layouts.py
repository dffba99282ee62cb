"""The block against loops, and the same numbers in every layout."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.blocks import SqueezeExcite
from globalpool.pools.cases import batches
from tests.blocks.cases import block_for, features


def loop(block: SqueezeExcite, x: NDArray[np.float64], measure: NDArray[np.float64]) -> NDArray[np.float64]:
    """One sample ``x (C, *S)``, number by number: the mean under the measure, two layers, a sigmoid, a product."""
    cells = [cell for cell in np.ndindex(measure.shape) if measure[cell] > 0]
    total = math.fsum(float(measure[cell]) for cell in cells)
    z = [math.fsum(float(measure[cell]) * float(x[(c, *cell)]) for cell in cells) / total for c in range(len(x))]

    def linear(layer: nn.Linear, vector: list[float]) -> list[float]:
        bias = [0.0] * layer.out_features if layer.bias is None else layer.bias.tolist()
        return [
            math.fsum([b, *(w * v for w, v in zip(row, vector, strict=True))])
            for row, b in zip(layer.weight.tolist(), bias, strict=True)
        ]

    gates = [1 / (1 + math.exp(-s)) for s in linear(block.expand, [max(h, 0.0) for h in linear(block.reduce, z)])]
    y = np.zeros_like(x)
    for c, cell in ((c, cell) for c in range(len(x)) for cell in cells):
        y[(c, *cell)] = gates[c] * x[(c, *cell)]
    return y


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_every_layout_equals_the_loop(axes: int, bias: bool) -> None:
    block = block_for(bias=bias)
    for batch in batches(gp.Mean(), 6, axes, torch.float64):  # NaN and Inf where nothing is
        y = block(batch.x, **batch.arguments)
        assert y.shape == batch.x.shape
        slow = [torch.from_numpy(loop(block, s.x[0].numpy(), s.measure[0].numpy()))[None] for s in batch.samples]
        expected = batch.join(slow)
        assert_close(y, torch.where(expected.isfinite(), expected, 0), rtol=0, atol=1e-14, msg=batch.name)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_alone_padded_and_ragged_have_the_same_gradients(axes: int) -> None:
    block = block_for(squeeze=gp.Attention(6))
    for batch in batches(gp.Mean(), 6, axes, torch.float64):
        leaves = [sample.x.clone().requires_grad_() for sample in batch.samples]
        direction = [features(*leaf.shape, seed=number) for number, leaf in enumerate(leaves)]
        alone = [block(leaf, mask=sample.measure) for leaf, sample in zip(leaves, batch.samples, strict=True)]
        total = torch.stack([(y * d).sum() for y, d in zip(alone, direction, strict=True)]).sum()
        wanted = torch.autograd.grad(total, [*leaves, *block.parameters()])

        x = batch.x.clone().requires_grad_()
        y = block(x, **batch.arguments)
        weights = batch.join(direction)
        product = (y * torch.where(weights.isfinite(), weights, 1)).sum()  # absent places have zeros: any weight
        got = torch.autograd.grad(product, [x, *block.parameters()])
        expected = batch.join(list(wanted[: len(leaves)]))
        assert_close(got[0], torch.where(expected.isfinite(), expected, 0), rtol=0, atol=1e-12, msg=batch.name)
        for mine, theirs in zip(got[1:], wanted[len(leaves) :], strict=True):
            assert_close(mine, theirs, rtol=0, atol=1e-12, msg=batch.name)


def test_a_measure_shapes_the_squeeze_and_does_not_multiply_the_result() -> None:
    block, x = block_for(), features(2, 6, 4, 5)
    measure = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    assert_close(block(x, mask=7 * measure), block(x, mask=measure), rtol=0, atol=1e-14)
    ratio = block(x, mask=measure) / x
    assert_close(ratio, ratio[..., :1, :1].expand_as(ratio))
    assert_close(ratio[..., 0, 0], block.gates(x, mask=measure))
    assert (block.gates(x, mask=measure) - block.gates(x)).abs().max() > 1e-3


def test_an_empty_sample_gives_zeros_and_leaves_its_neighbours() -> None:
    block, x = block_for(), features(3, 6, 4)
    y = block(x.index_fill(0, torch.tensor(1), torch.nan), lengths=torch.tensor([4, 0, 4]))
    assert (y[1] == 0).all()
    assert torch.equal(y[[0, 2]], block(x)[[0, 2]])
    assert block(x[:0]).shape == (0, 6, 4)
    assert block(torch.zeros(0, 6, dtype=torch.float64), ptr=torch.tensor([0, 0])).shape == (0, 6)
