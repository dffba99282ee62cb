"""Samples of several lengths in one tensor come out as they would alone."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from globalpool import Mean, PooledClassifier, Sum
from globalpool.errors import LayoutError
from globalpool.layout import Features, Padded
from globalpool.models import PaddedSequential, convnet
from globalpool.models.padded import coarse_measure
from globalpool.pools import Pool

LENGTHS: dict[int, list[tuple[int, ...]]] = {
    1: [(9,), (17,), (4,)],
    2: [(9, 6), (7, 17), (5, 5)],
    3: [(6, 5, 9), (4, 8, 4), (5, 5, 5)],
}


def samples(dims: int, channels: int = 2) -> list[Tensor]:
    torch.manual_seed(dims)
    return [torch.randn(channels, *size, dtype=torch.float64) for size in LENGTHS[dims]]


def network(dims: Literal[1, 2, 3]) -> PooledClassifier:
    torch.manual_seed(0)
    found = convnet(dims, 2, 3, (4, 6), depth=2, first_stride=2).double()
    for module in found.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            assert module.running_mean is not None
            module.running_mean.normal_()
    return found


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_sample_in_a_padded_batch_is_the_sample_alone(dims: Literal[1, 2, 3]) -> None:
    classifier, given = network(dims).eval(), samples(dims)
    together = classifier(Padded.of(given))
    alone = torch.cat([classifier(x[None]) for x in given])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    wide = Padded(nn.functional.pad(Padded.of(given).values, (0, 5) * dims), Padded.of(given).sizes)
    torch.testing.assert_close(classifier(wide), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_batch_norm_in_training_counts_real_positions_only(dims: Literal[1, 2, 3]) -> None:
    given = samples(dims)
    layer = PaddedSequential(network(dims).trunk.get_submodule("1"))  # a BatchNorm of four channels
    x = [torch.cat([one, one * 2]) for one in given]
    found = layer.train()(Padded.of(x))
    rows = torch.cat([one.flatten(1).T for one in x])
    norm = layer[0]
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    expected = (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(found.values.movedim(1, -1)[found.layout["mask"]], expected, rtol=1e-12, atol=1e-12)
    assert bool((found.values.movedim(1, -1)[~found.layout["mask"]] == 0).all())


def test_evidence_of_padded_samples_adds_up_and_is_that_of_each_alone() -> None:
    classifier, given = network(2).eval().requires_grad_(False), samples(2)
    together = classifier.evidence(Padded.of(given), "all").check()
    for number, x in enumerate(given):
        alone = classifier.evidence(x[None], "all")
        height, width = alone.maps.shape[2:]
        torch.testing.assert_close(together.maps[number, :, :height, :width], alone.maps[0], rtol=1e-12, atol=1e-12)
        assert (
            float(together.maps[number, :, height:].abs().sum() + together.maps[number, :, :, width:].abs().sum()) == 0
        )


@pytest.mark.parametrize("pool", [Mean(), Sum()])
def test_a_measure_weighs_the_positions_of_its_share(pool: Pool) -> None:
    measure = [torch.rand(size, dtype=torch.float64) for size in LENGTHS[2]]
    batch = Padded.of(samples(2), measure)
    trunk = PaddedSequential(nn.Conv2d(2, 3, 2, stride=2, bias=False).double())
    found = trunk(batch)
    assert isinstance(found, Features)
    mask = found.layout["mask"]
    assert mask is not None
    for number, own in enumerate(measure):
        total = float(mask[number].sum())
        assert total == pytest.approx(float(own.sum()), rel=1e-12)
    # Where pieces are whole cells they are plain sums.
    whole = coarse_measure(measure[0][None], torch.tensor([[9, 6]]), torch.tensor([[3, 3]]), (3, 3))[0]
    expected = torch.stack(
        [torch.stack([measure[0][3 * i : 3 * i + 3, 2 * j : 2 * j + 2].sum() for j in range(3)]) for i in range(3)]
    )
    torch.testing.assert_close(whole, expected, rtol=1e-12, atol=1e-12)
    value = pool(found.values, **found.layout)[0]
    weights = mask[0] / (mask[0].sum() if isinstance(pool, Mean) else 1)
    torch.testing.assert_close(value, (found.values[0] * weights).sum((1, 2)), rtol=1e-12, atol=1e-12)


def test_layers_that_mix_padding_in_are_refused() -> None:
    batch = Padded.of(samples(1))
    with pytest.raises(
        LayoutError, match="expected layers that keep positions apart or read a window of them; got GroupNorm"
    ):
        PaddedSequential(nn.GroupNorm(1, 2).double())(batch)
    with pytest.raises(
        LayoutError, match="expected windows with zero padding given in numbers, and maxima without padding"
    ):
        PaddedSequential(nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular").double())(batch)
    with pytest.raises(LayoutError, match="expected samples no shorter than the windows; got a sample of length 4"):
        PaddedSequential(nn.Conv1d(2, 2, 5).double())(batch)
    with pytest.raises(
        LayoutError, match=r"expected one or more samples \(C, \*S\) with as many channels and axes; got none"
    ):
        Padded.of([])
