"""What a pool over time cannot see of a spectrogram, and what a pool over frequency cannot."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import globalpool as gp
from globalpool.data.recordings import Recordings
from globalpool.data.signals import Signals
from globalpool.data.spectrograms import Bands, spectrogram
from globalpool.errors import PoolError, TrainingError
from globalpool.models import WindowedClassifier, bandwise, framewise
from globalpool.training.architecture import Architecture, Call

BANDS = Bands(8000, hop=160, window=320, count=40)
FRAMES = 50
SHIFT = 13


def prepared(samples: Tensor) -> Tensor:
    """``(1, 1, F, T)``, with circular padding: the signal goes round."""
    return (spectrogram(samples, BANDS, "circular").decibels[None, None] + 50) / 15


def sound() -> Tensor:
    """A rising tone that dies away over noise, 50 hops long."""
    random = torch.Generator().manual_seed(0)
    time = torch.arange(FRAMES * 160) / 8000
    tone = torch.sin(2 * torch.pi * (300 + 1200 * time) * time) * torch.exp(-8 * time)
    return (0.3 * tone + 0.001 * torch.randn(len(time), generator=random))[None]


def network(pooled: str) -> gp.PooledClassifier:
    """With random running statistics and rows that give logits of some size."""
    torch.manual_seed(1)
    if pooled == "time":
        found = framewise(1, 4, (8, 16), gp.Mean(dim=gp.TIME), kept=(BANDS.count,))
    else:
        found = bandwise(1, 4, (8, 16), gp.Mean(dim=gp.FREQUENCY), kept=(FRAMES,))
    for module in found.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.normal_(module.bias, std=0.3)
    torch.nn.init.normal_(found.tail.weight, std=0.3)  # type: ignore[arg-type]
    return found.eval().requires_grad_(False)


def moved(classifier: gp.PooledClassifier, first: Tensor, second: Tensor) -> float:
    return float((classifier(first) - classifier(second)).abs().max())


def test_a_circular_shift_by_whole_hops_is_for_the_pool_over_frequency_alone() -> None:
    first, later = prepared(sound()), prepared(sound().roll(SHIFT * 160, 1))
    assert moved(network("time"), first, later) <= 1e-5
    assert moved(network("frequency"), first, later) > 0.1


def test_a_shift_by_part_of_a_hop_is_no_shift_of_the_frames() -> None:
    assert moved(network("time"), prepared(sound()), prepared(sound().roll(SHIFT * 160 + 80, 1))) > 1e-4


def test_the_order_of_frames_is_for_the_pool_over_frequency_alone() -> None:
    x = prepared(sound())
    mixed = x[..., torch.randperm(FRAMES, generator=torch.Generator().manual_seed(2))]
    assert moved(network("time"), x, mixed) <= 1e-5
    assert moved(network("frequency"), x, mixed) > 0.1


def test_the_order_of_bands_is_for_the_pool_over_time_alone() -> None:
    x = prepared(sound())
    mixed = x[:, :, torch.randperm(BANDS.count, generator=torch.Generator().manual_seed(2))]
    for other in (mixed, x.roll(SHIFT, 2)):
        assert moved(network("frequency"), x, other) <= 1e-5
        assert moved(network("time"), x, other) > 0.1


@pytest.mark.parametrize(
    "pool",
    [
        gp.Sum(dim=gp.TIME),
        gp.Max(dim=gp.TIME),
        gp.TopK(3, dim=gp.TIME),
        gp.GeM(dim=gp.TIME),
        gp.LogMeanExp(dim=gp.TIME),
        gp.SoftmaxPool(dim=gp.TIME),
        gp.Statistics(dim=gp.TIME),
        gp.AttentiveStatistics(16, dim=gp.TIME),
        gp.Attention(16, dim=gp.TIME),
        gp.GatedAttention(16, dim=gp.TIME),
    ],
    ids=lambda pool: pool.name,
)
def test_every_pool_over_time_is_blind_to_order_and_gives_evidence_of_frames(pool: gp.Pool) -> None:
    torch.manual_seed(0)
    for parameter in pool.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    trunk = network("time").trunk
    classifier = gp.PooledClassifier(trunk, pool, torch.nn.Linear(pool.out_features(16, (20,)), 4))
    classifier.eval().requires_grad_(False)
    x = prepared(sound())
    order = torch.randperm(FRAMES, generator=torch.Generator().manual_seed(2))
    largest = float(classifier(x).abs().max())
    assert moved(classifier, x, x[..., order]) <= 1e-5 * max(largest, 1)
    evidence = classifier.evidence(x, "all").check()
    mixed = classifier.evidence(x[..., order], "all")
    assert evidence.maps.shape == (1, 4, 20, FRAMES)
    torch.testing.assert_close(mixed.maps, evidence.maps[..., order], rtol=1e-4, atol=1e-5)


def test_a_column_of_features_depends_on_its_frame_alone_and_a_row_on_its_band() -> None:
    x = prepared(sound())
    for pooled, axis in (("time", 3), ("frequency", 2)):
        trunk, changed = network(pooled).trunk, x.clone()
        changed.select(axis, 7).add_(3.0)
        different = (trunk(x) != trunk(changed)).movedim(axis, 0).flatten(1).any(1)
        assert different.nonzero().flatten().tolist() == [7]


def test_a_pool_that_keeps_an_axis_needs_its_length() -> None:
    with pytest.raises(PoolError, match=r"expected `kept` with 1 lengths for Mean\(dim=\(-1,\)\); got \(\)"):
        framewise(1, 4, (8,), gp.Mean(dim=gp.TIME))
    signals = Architecture(Call("framewise"), Call("Mean"), ("a", "b"), Signals((0.0,), (1.0,)))
    with pytest.raises(TrainingError, match=r"expected inputs \(N, C, F, T\), .*; got inputs of 1 axes"):
        signals.build()
    kept = Call("Mean", settings={"dim": -2})
    plan = Recordings(8000, 80, 256)
    with pytest.raises(TrainingError, match="expected kept axes of one length in all inputs; got"):
        Architecture(Call("bandwise"), kept, ("a", "b"), plan).build()
    built = Architecture(Call("bandwise", (4, 8)), kept, ("a", "b"), replace(plan, frames=30)).build()
    assert isinstance(built, WindowedClassifier)
    assert isinstance(built.tail, torch.nn.Linear)
    assert (built.window, built.tail.in_features) == (30, 8 * 15)
