"""Noise: residues and responses in closed form, what stride and rectifier do, and that attacks stay in their box."""

import math

import pytest
import torch
from torch import nn

from globalpool.audits.noise import NOISE, fgsm, map_gains, pgd
from globalpool.audits.opened import opened
from globalpool.audits.patterns import alternating, checkerboard, patterns
from globalpool.audits.pool_gain import measured_gain, predicted_gain
from globalpool.models import convnet
from globalpool.pools import Attention, GeM, LogMeanExp, Max, Mean, Pool, SoftmaxPool, Statistics, Sum
from tests.audits.samples import convolution, head, noise, samples

ONE = torch.tensor([[1.0]])
BLUR = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16


@pytest.mark.parametrize(
    ("size", "residue"),
    [
        ((5, 5), 0.04),
        ((7, 7), 1 / 49),
        ((3, 9), 1 / 27),
        ((6, 7), 0.0),
        ((7, 6), 0.0),
        ((8, 8), 0.0),
        ((5, 3, 3), 1 / 45),
    ],
)
def test_an_average_leaves_of_a_checkerboard_what_the_residue_table_says(size: tuple[int, ...], residue: float) -> None:
    classifier = head(nn.Identity(), 2)
    here = opened(classifier, noise(3, 2, *size))
    for gain in (predicted_gain(here, checkerboard(size)), measured_gain(here, checkerboard(size), 0.5)):
        assert gain.tolist() == pytest.approx([residue] * 3, abs=1e-12)


def test_rows_and_columns_alternate_along_their_own_axis() -> None:
    assert alternating((3, 2), 0).tolist() == [[1, 1], [-1, -1], [1, 1]]
    assert alternating((3, 2), 1).tolist() == [[1, -1]] * 3
    found = patterns((6, 8), torch.Generator().manual_seed(0))
    assert {"checkerboard", "alternating rows", "alternating columns", "random sign", "constant"} < set(found)
    assert all(bool((pattern.abs() == 1).all()) for pattern in found.values())
    assert "alternating rows" not in patterns((8,), torch.Generator().manual_seed(0))


def test_the_response_of_an_average_to_every_frequency_is_the_dirichlet_kernel() -> None:
    height, width = 7, 5
    here = opened(head(nn.Identity(), 1), noise(1, 1, height, width))

    def kernel(f: float, n: int) -> complex:
        return sum(complex(math.cos(2 * math.pi * f * i), math.sin(2 * math.pi * f * i)) for i in range(n)) / n

    for fy in (0.0, 0.1, 0.31, 0.5):
        for fx in (0.05, 0.2, 0.5):
            phase = torch.arange(height).double()[:, None] * fy + torch.arange(width).double()[None] * fx
            pattern = (2 * math.pi * phase).cos()
            expected = abs((kernel(fy, height) * kernel(fx, width)).real)
            assert float(predicted_gain(here, pattern)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "pool",
    [Mean(), Sum(), Max(), GeM(3.0), LogMeanExp(2.0), SoftmaxPool(0.7), Statistics(), Attention(4, content="linear")],
    ids=lambda pool: pool.name,
)
def test_predicted_gains_are_measured_ones_for_pools_of_every_kind(pool: Pool) -> None:
    if isinstance(pool, Attention):
        pool.content.weight.data.normal_(generator=torch.Generator().manual_seed(0))  # type: ignore[union-attr, operator]
    classifier = head(nn.Softplus(), 4, pool=pool)
    for name, (told, tried) in map_gains(classifier, noise(2, 4, 5, 6), torch.Generator().manual_seed(0)).items():
        assert tried.tolist() == pytest.approx(told.tolist(), rel=2e-3, abs=2e-4), name
        if pool.affine:
            assert tried.tolist() == pytest.approx(told.tolist(), rel=1e-9, abs=1e-10), name


def test_subsampling_turns_a_checkerboard_into_a_constant_and_is_caught() -> None:
    found = NOISE(head(convolution(ONE, stride=2), 3), samples(noise(4, 3, 16, 16)))
    assert found.verdict == "fail"
    assert found.measured == pytest.approx(1, abs=1e-4)
    assert found.predicted == pytest.approx(0, abs=1e-12)


def test_a_low_pass_before_the_stride_stops_it_and_passes() -> None:
    trunk = nn.Sequential(convolution(BLUR, padding=1, mode="circular"), convolution(ONE, stride=2))
    found = NOISE(head(trunk, 3), samples(noise(4, 3, 16, 16)))
    assert found.verdict == "pass"
    assert found.measured == pytest.approx(0, abs=1e-5)
    assert "in 100 % under the checkerboard" in found.advice


def test_a_rectifier_near_its_threshold_keeps_half_of_a_checkerboard_whatever_the_size() -> None:
    kernel = torch.tensor([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]])  # K(pi, pi) = 5 + 4 = 9
    for side in (8, 16, 32):
        trunk = nn.Sequential(convolution(kernel, padding=1, mode="circular"), nn.ReLU())
        mean = opened(head(trunk, 3), 0.1 * checkerboard((side, side)).float().expand(1, 3, side, side)).vectors()
        assert mean.tolist()[0] == pytest.approx([0.1 * 9 / 2] * 3, rel=1e-5)
        far = nn.Sequential(trunk[0], nn.Softplus(100.0), nn.ReLU())
        flat = torch.full((1, 3, side, side), 5.0)
        moved = opened(head(far, 3), flat + 0.1 * checkerboard((side, side)).float()).vectors()
        assert (moved - opened(head(far, 3), flat).vectors()).abs().max() < 1e-5


def test_attacks_stay_in_their_box_and_move_the_logits_more_than_any_pattern() -> None:
    classifier = convnet(widths=(8, 16), num_classes=4).eval()
    x, amplitude = noise(4, 3, 16, 16), torch.full((1, 3, 1, 1), 0.1)
    random = torch.Generator().manual_seed(0)
    for attack in (fgsm, pgd):
        assert float((attack(classifier, x, amplitude, random) - x).abs().max()) <= 0.1 + 1e-6
    table = NOISE(classifier, samples(x)).table
    moved = {name: table.number(name, "of the logits") for name in table.column("pattern")}
    strongest = max(value for name, value in moved.items() if name not in ("FGSM", "PGD"))
    assert moved["PGD"] > strongest
    assert moved["FGSM"] > strongest
