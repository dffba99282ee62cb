"""Windows side by side: their logits, their evidence, and what a pool over time says of both."""

import pytest
import torch
from torch import Tensor, nn

import globalpool as gp
from globalpool.errors import LayoutError
from globalpool.layout import Padded
from globalpool.models import PaddedSequential
from globalpool.models.windowed import WindowedClassifier, windows_of

CHANNELS, BANDS, WINDOW, CLASSES = 3, 6, 8, 4
LENGTHS = (20, 8, 3, 17)


def samples() -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(CHANNELS, BANDS, length, generator=random, dtype=torch.float64) for length in LENGTHS]


def network(pool: gp.Pool, kept: int, *, stride: int = 1, kernel: int = 1) -> WindowedClassifier:
    torch.manual_seed(1)
    convolution = nn.Conv2d(CHANNELS, 5, (3, kernel), (1, stride), (1, kernel // 2))
    tail = nn.Linear(pool.out_features(5, (kept,) if kept else ()), CLASSES)
    trunk = PaddedSequential(convolution, nn.ReLU())
    return WindowedClassifier(trunk, pool, tail, WINDOW).double().eval().requires_grad_(False)


@pytest.mark.parametrize(("stride", "kernel"), [(1, 1), (2, 3)])
def test_logits_and_evidence_are_those_of_the_windows_one_by_one(stride: int, kernel: int) -> None:
    cells = WINDOW // stride
    classifier = network(gp.Mean(dim=gp.FREQUENCY), cells, stride=stride, kernel=kernel)
    batch = Padded.of(samples())
    logits, evidence = classifier(batch), classifier.evidence(batch, "all").check()
    torch.testing.assert_close(evidence.logits, logits, rtol=1e-12, atol=1e-12)
    plain = gp.PooledClassifier(classifier.trunk, classifier.pool, classifier.tail)
    for number, x in enumerate(samples()):
        expected = torch.zeros(CLASSES, dtype=torch.float64)
        for start in range(0, x.shape[-1], WINDOW):
            piece = x[..., start : start + WINDOW]
            size = torch.tensor([piece.shape[1:]])
            given = Padded(nn.functional.pad(piece, (0, WINDOW - piece.shape[-1]))[None], size)
            share = piece.shape[-1] / x.shape[-1]
            expected += share * plain(given)[0]
            maps = share * plain.evidence(given, "all").maps[0]
            first = start // stride
            torch.testing.assert_close(evidence.maps[number, ..., first : first + cells], maps, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(logits[number], expected, rtol=1e-12, atol=1e-12)
        alone = classifier(x[None])[0]
        torch.testing.assert_close(alone, expected, rtol=1e-12, atol=1e-12)
    assert evidence.maps.shape == (4, CLASSES, BANDS, 3 * cells)
    torch.testing.assert_close(evidence.maps.sum((2, 3)) + evidence.offset, logits, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("measured", [False, True])
def test_under_a_mean_over_time_windows_change_nothing(measured: bool) -> None:
    given = samples()
    random = torch.Generator().manual_seed(2)
    lines = [(torch.rand(length, generator=random) < 0.7).double() for length in LENGTHS]
    for line in lines:
        line[0] = 1
    measures = [line.expand(BANDS, -1).contiguous() for line in lines] if measured else None
    batch = Padded.of(given, measures)
    classifier = network(gp.Mean(dim=gp.TIME), BANDS)
    plain = gp.PooledClassifier(classifier.trunk, classifier.pool, classifier.tail)
    torch.testing.assert_close(classifier(batch), plain(batch), rtol=1e-12, atol=1e-12)
    whole, laid = plain.evidence(batch, "all"), classifier.evidence(batch, "all")
    torch.testing.assert_close(laid.maps[..., :20], whole.maps, rtol=1e-12, atol=1e-12)
    assert bool((laid.maps[..., 20:] == 0).all())


def test_shares_and_lengths_of_windows() -> None:
    cut = windows_of(Padded.of(samples()), WINDOW)
    assert cut.samples.tolist() == [0, 0, 0, 1, 2, 3, 3, 3]
    assert cut.numbers.tolist() == [0, 1, 2, 0, 0, 0, 1, 2]
    assert cut.padded.sizes[:, 1].tolist() == [8, 8, 4, 8, 3, 8, 8, 1]
    assert cut.shares.tolist() == pytest.approx([8 / 20, 8 / 20, 4 / 20, 1, 1, 8 / 17, 8 / 17, 1 / 17])


def test_the_best_class_is_that_of_the_sample_not_of_its_windows() -> None:
    classifier, batch = network(gp.Mean(dim=gp.FREQUENCY), WINDOW), Padded.of(samples())
    top = classifier.evidence(batch)
    assert top.classes[:, 0].equal(classifier(batch).argmax(1))
    torch.testing.assert_close(
        top.maps, classifier.evidence(batch, "all").select(top.classes).maps, rtol=1e-12, atol=1e-12
    )


def test_what_cannot_be_cut_is_refused() -> None:
    classifier = network(gp.Mean(dim=gp.FREQUENCY), WINDOW)
    with pytest.raises(LayoutError, match="expected no layout arguments; got lengths"):
        classifier(samples()[0][None], lengths=torch.tensor([4]))
    with pytest.raises(LayoutError, match="expected `window` as a whole number of at least 1; got 0"):
        WindowedClassifier(classifier.trunk, classifier.pool, classifier.tail, 0)
