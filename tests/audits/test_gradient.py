"""How gradient reaches positions: theory.md 13, in numbers."""

import math

import pytest
import torch
from torch import Tensor, nn

import globalpool as gp
from globalpool.audits import AuditData, Finding
from globalpool.audits.gradient import GRADIENT
from globalpool.audits.map_gradients import HalfGradient, map_gradient, ratio_interval, reached
from globalpool.audits.opened import Opened


def data(size: tuple[int, ...], samples: int = 2, *, labelled: bool = True) -> AuditData:
    random = torch.Generator().manual_seed(0)
    inputs = tuple(torch.randn(1, 4, *size, generator=random) for _ in range(samples))
    return AuditData(inputs, torch.zeros(samples, dtype=torch.long), labelled, tuple("abcdef"[:samples]))


def volume_head(pool: gp.Pool, gradient: float = 1e-3) -> gp.PooledClassifier:
    """Two classes of equal logits whose loss has the derivative ``-gradient`` at every pooled channel."""
    tail = nn.Linear(4, 2)
    with torch.no_grad():
        tail.weight.copy_(torch.tensor([[gradient], [-gradient]]).expand(2, 4))
        tail.bias.zero_()
    return gp.PooledClassifier(nn.Identity(), pool, tail).eval()


def value(finding: Finding, row: str, column: str = "measured") -> float:
    (cells,) = finding.table.where(finding.table.columns[0], row).rows
    found = cells[finding.table.columns.index(column)]
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize("size", [(5,), (3, 7), (2, 5, 3)])
def test_a_mean_hands_every_position_one_part_of_the_gradient(size: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    x, tail = torch.randn(1, 3, *size, dtype=torch.float64), nn.Linear(3, 4).double()
    found = map_gradient(Opened(x, {}, gp.Mean(), tail), torch.tensor([2]), torch.Generator().manual_seed(0))
    pooled = x.flatten(2).mean(2)
    wrong = torch.softmax(tail(pooled), 1).detach() - torch.eye(4, dtype=torch.float64)[2]
    slow = torch.empty_like(x).flatten(2)
    for position in range(math.prod(size)):
        for channel in range(3):
            slow[0, channel, position] = sum(
                float(wrong[0, k]) * float(tail.weight.detach()[k, channel]) for k in range(4)
            ) / math.prod(size)
    assert found.predicted is not None
    torch.testing.assert_close(found.measured.flatten(2), slow, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.predicted.flatten(2), slow, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.along[:, 0], found.along[:, 1], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("pool", [gp.Max(), gp.GeM(3.0, eps=1e-6), gp.LogMeanExp(2.0), gp.Concat(gp.Mean(), gp.Max())])
def test_weights_predict_the_gradient_of_every_pool_that_says_so(pool: gp.Pool) -> None:
    torch.manual_seed(2)
    x, tail = torch.rand(1, 3, 4, 5, dtype=torch.float64) + 0.1, nn.Linear(pool.out_features(3), 4).double()
    found = map_gradient(Opened(x, {}, pool, tail), torch.tensor([1]), torch.Generator().manual_seed(0))
    assert found.error < 1e-12
    assert found.error_along < 1e-12


def test_without_that_the_forward_derivative_does() -> None:
    torch.manual_seed(3)
    x, tail = torch.randn(1, 3, 4, 5, dtype=torch.float64), nn.Linear(3, 4).double()
    at = Opened(x, {}, gp.SoftmaxPool(0.5), tail)
    found = map_gradient(at, torch.tensor([1]), torch.Generator().manual_seed(0))
    assert found.predicted is None
    assert found.error_along < 1e-12


def test_slopes_over_the_number_of_positions() -> None:
    sides, largest, norms = (4, 8, 16, 32), [], []
    for side in sides:
        x = torch.rand(1, 4, side, side, side)
        head = volume_head(gp.Mean())
        found = map_gradient(Opened(x, {}, head.pool, head.tail), torch.tensor([0]), torch.Generator().manual_seed(0))
        largest.append(math.log(float(found.measured.abs().max())))
        norms.append(math.log(float(found.measured.norm())))
    count = [3 * math.log(side) for side in sides]
    across = count[-1] - count[0]
    assert (largest[-1] - largest[0]) / across == pytest.approx(-1, abs=0.02)
    assert (norms[-1] - norms[0]) / across == pytest.approx(-0.5, abs=0.02)


def test_float16_loses_all_of_it_at_64_cubed_and_a_loss_scale_none() -> None:
    finding = GRADIENT(volume_head(gp.Mean()), data((64, 64, 64), 1))
    assert finding.verdict == "fail"
    assert finding.measured == finding.predicted == 1.0
    assert value(finding, "lost in float16, share of numbers") == 1.0
    assert value(finding, "positions reached") == pytest.approx(64**3, rel=1e-6)
    assert "loss scale of 16,384 (" in finding.advice  # S >= D H W 2^-14 / g = 16,000
    scales = finding.tables[1]
    lost = dict(zip(scales.column("loss scale, power of 2"), scales.column("lost"), strict=True))
    tiny = dict(zip(scales.column("loss scale, power of 2"), scales.column("below 2^-14"), strict=True))
    assert (lost[2], lost[4]) == (1.0, 0.0)  # 1e-3 / 64^3 rounds to 0 below 2^-25: 2^2 times it does, 2^4 times not
    assert (tiny[12], tiny[14]) == (1.0, 0.0)


def test_at_small_maps_it_keeps_all() -> None:
    finding = GRADIENT(volume_head(gp.Mean()), data((8, 8, 8)))
    assert finding.verdict == "pass"
    assert finding.measured == finding.predicted == 0.0


def test_two_pools_one_after_the_other_do_not_help() -> None:
    """Their factors multiply to the same number."""
    x = torch.rand(1, 4, 8, 8, 8, requires_grad=True)
    nn.functional.avg_pool3d(x, 4).mean((2, 3, 4)).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.full_like(x, 1 / 512), rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.autograd.grad(gp.Mean()(x).sum(), x)[0], x.grad, rtol=1e-6, atol=0)


class Boasting(gp.SoftmaxPool):
    """Says that its weights are its gradient, which those of a softmax pool are not."""

    @property
    def weights_are_gradient(self) -> bool:
        return True


def test_a_pool_that_promises_too_much_is_found_out() -> None:
    finding = GRADIENT(volume_head(Boasting(1.0)), data((6, 6)))
    assert finding.verdict == "fail"
    assert finding.advice == "The pool says that its weights are its gradient, and they are not."
    assert GRADIENT(volume_head(gp.SoftmaxPool(1.0)), data((6, 6))).verdict == "pass"


def test_positions_reached_counts_norms() -> None:
    gradient = torch.zeros(1, 2, 3, 3)
    gradient[0, :, 1, 1] = torch.tensor([3.0, 4.0])
    assert reached(gradient) == 1
    gradient[0, 0, 0, 0] = 5.0
    assert reached(gradient) == pytest.approx(2)
    assert reached(torch.ones(7, 2)) == pytest.approx(7)
    assert math.isnan(reached(torch.zeros(1, 2, 3)))


def test_what_half_loses_is_counted() -> None:
    exact = torch.tensor([0.0, 2.0**-26, 2.0**-20, 1.0])
    found = HalfGradient.of(exact.half(), exact)
    assert (found.zeros, found.count, found.overflow) == (1, 3, False)
    assert (found.lost, found.faint, found.total) == (2.0**-26, 2.0**-26 + 2.0**-20, 2.0**-26 + 2.0**-20 + 1)
    assert HalfGradient.of((exact * 1e6).half(), exact).overflow


def test_the_interval_of_a_ratio_is_that_of_its_residuals() -> None:
    ratio, interval = ratio_interval([1.0, 0.0, 2.0], [2.0, 2.0, 4.0])
    assert ratio == pytest.approx(3 / 8)
    residuals: Tensor = torch.tensor([1.0, 0.0, 2.0]) - 3 / 8 * torch.tensor([2.0, 2.0, 4.0])
    half = 4.302653 * math.sqrt(3) * float(residuals.std()) / 8
    assert interval is not None
    assert interval[1] == pytest.approx(min(1.0, 3 / 8 + half), rel=1e-5)
    assert interval[0] == pytest.approx(max(0.0, 3 / 8 - half), abs=1e-5)


def test_unlabelled_samples_are_taken_for_misses() -> None:
    finding = GRADIENT(volume_head(gp.Mean(), 1.0), data((4, 4), labelled=False))
    assert finding.notes[0].startswith("no labels: the loss is that of the second choice")


def test_one_class_has_no_such_loss() -> None:
    head = gp.PooledClassifier(nn.Identity(), gp.Mean(), nn.Linear(4, 1)).eval()
    finding = GRADIENT(head, data((4, 4)))
    assert finding.verdict == "not applicable"
    assert finding.advice == "needs two classes or more, whose cross-entropy has a gradient"
