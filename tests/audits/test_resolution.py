"""Resolution: the count's share in closed form, the shares' sum, remedies, a Sum head caught and a Mean head passed."""

import pytest
import torch
from torch import Tensor, nn

from globalpool.audits.drift import centred, shares
from globalpool.audits.opened import opened
from globalpool.audits.remedies import refitted_head, tempered
from globalpool.audits.resolution import RESOLUTION
from globalpool.audits.scaled import look
from globalpool.classifier import PooledClassifier
from globalpool.models import convnet
from globalpool.pools import Concat, Max, Mean, Pool, ScaledSum, Sum
from tests.audits.samples import head, noise, samples


def flat(count: int, side: int) -> Tensor:
    """Pictures of one colour each: the same at every size."""
    return noise(count, 3, 1, 1).expand(count, 3, side, side).clone()


def small(pool: Pool) -> PooledClassifier:
    """Logits of a few units at 8 x 8 pixels, whatever the pool counts."""
    trunk = nn.Conv2d(3, 3, 1, bias=False)
    classifier = head(trunk, 3, pool=pool)
    assert isinstance(classifier.tail, nn.Linear)
    with torch.no_grad():
        trunk.weight.copy_(noise(3, 3, 1, 1, seed=5))
        classifier.tail.weight.div_(pool(torch.ones(1, 3, 8, 8))[0, 0])
    return classifier


@pytest.mark.parametrize(("pool", "gamma"), [(Sum(), 0.0), (ScaledSum(0.5), 0.5)])
def test_a_sum_is_caught_and_its_drift_is_the_count_predicted_and_measured(pool: Pool, gamma: float) -> None:
    classifier = small(pool)
    found = RESOLUTION(classifier, samples(flat(5, 8)))
    assert found.verdict == "fail"
    assert "classifier.at_resolution undoes the count" in found.advice
    table, causes = found.tables[:2]
    for row in causes.rows:
        told = dict(zip(causes.columns, row, strict=True))
        side = told["side"]
        assert isinstance(side, int)
        growth = (side / 8) ** (2 * (1 - gamma))
        assert told["count factor, predicted"] == pytest.approx(growth)
        assert told["count factor, measured"] == pytest.approx(growth, rel=1e-6)
        if side != 8:
            assert [told["count"], told["count, predicted"]] == pytest.approx([1, 1], abs=1e-5)
            assert [told["scale"], told["common shift"], told["own"]] == pytest.approx([0, 0, 0], abs=1e-5)
    assert table.column("confidence") == pytest.approx(table.column("by count alone"), abs=1e-6)
    assert found.measured == pytest.approx(found.predicted, abs=1e-6)


def test_a_sum_at_twice_the_size_is_a_softmax_at_a_quarter_of_the_temperature() -> None:
    classifier = small(Sum())
    assert isinstance(classifier.tail, nn.Linear)
    classifier.tail.bias.data.zero_()
    inputs = flat(5, 8)
    table = RESOLUTION(classifier, samples(inputs)).table
    (row,) = table.where("side", 16).rows
    expected = (4 * classifier(inputs).double()).softmax(1).amax(1).mean().item()
    assert dict(zip(table.columns, row, strict=True))["confidence"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("pool", [Mean(), Max()], ids=["Mean", "Max"])
def test_a_pool_that_does_not_count_passes_on_pictures_that_stay_themselves(pool: Pool) -> None:
    found = RESOLUTION(small(pool), samples(flat(5, 8)))
    assert found.verdict == "pass"
    assert found.measured == pytest.approx(0, abs=1e-6)
    assert found.predicted == pytest.approx(0, abs=1e-6)


def test_the_count_undone_is_at_resolution_also_within_a_concat() -> None:
    classifier = small(Concat(Mean(), Sum(), ScaledSum(0.3)))
    x = noise(1, 3, 12, 10)
    told = look(opened(classifier, x), (8, 8)).rescaled
    expected = classifier.at_resolution((12, 10), trained_at=(8, 8))(x).double()
    assert told[0].tolist() == pytest.approx(expected[0].tolist(), rel=1e-5)


def test_shares_add_up_and_are_the_projections_of_each_part() -> None:
    before, after, rescaled = (noise(4, 5, seed=seed, dtype=torch.float64) for seed in range(3))
    found = shares(before, after, rescaled)
    assert found.count + found.scale + found.common + found.own == pytest.approx(1)
    drift = [(after - before)[i] - (after - before)[i].mean() for i in range(4)]
    square = sum(float((own * own).sum()) for own in drift)
    count = sum(float((own * centred((after - rescaled)[i : i + 1])[0]).sum()) for i, own in enumerate(drift))
    assert found.count == pytest.approx(count / square)
    start, trunk = centred(before), centred(rescaled - before)
    rest = trunk - (found.factor - 1) * start
    assert float((rest * start).sum()) == pytest.approx(0, abs=1e-9)  # the best single factor leaves nothing along it
    common = sum(float(drift[i] @ rest[[j for j in range(4) if j != i]].mean(0)) for i in range(4))
    assert found.common == pytest.approx(common / square)


def test_pure_causes_are_named_purely() -> None:
    before = noise(6, 5, dtype=torch.float64)
    assert shares(before, 3 * before, before).count == pytest.approx(1)
    scaled = shares(before, 0.4 * before, 0.4 * before)
    assert (scaled.scale, scaled.factor) == pytest.approx((1, 0.4))
    shifted = centred(before) - centred(before).mean(0)
    step = noise(1, 5, seed=9, dtype=torch.float64)
    assert shares(shifted, shifted + step, shifted + step).common == pytest.approx(1)
    assert shares(before, before, before).relative == 0


def test_one_temperature_undoes_one_factor_and_is_fitted_to_the_other_half() -> None:
    before = noise(6, 5, dtype=torch.float64)
    assert torch.allclose(tempered(0.3 * before, before), centred(before))
    odd = before.clone()
    odd[1::2] *= 7  # what happens to a half must not reach the factor it is divided by
    assert torch.allclose(tempered(odd, before)[1::2], 7 * centred(before)[1::2])


def test_a_trunk_that_divides_by_its_own_size_is_told_from_a_pool_that_counts() -> None:
    class Diluted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 64 / (x.shape[2] * x.shape[3])

    found = RESOLUTION(head(Diluted(), 3), samples(4 * flat(6, 8)))
    causes = found.tables[1]
    (row,) = causes.where("side", 16).rows
    told = dict(zip(causes.columns, row, strict=True))
    assert told["count"] == pytest.approx(0, abs=1e-6)
    assert told["vectors' length"] == pytest.approx(0.25, rel=1e-5)
    assert isinstance(told["scale"], float)
    assert told["scale"] > 0.9
    assert found.verdict == "fail"
    assert "divide the logits by one number" in found.advice
    remedied = {row[:2]: row for row in found.tables[2].rows}
    assert remedied[16, "one temperature"][2] == pytest.approx(found.table.where("side", 8).rows[0][1], abs=0.1)


def test_a_head_is_refitted_to_the_other_half_and_not_with_too_few_of_a_class() -> None:
    classifier = head(nn.Identity(), 3)
    colours = torch.eye(3).repeat(6, 1)[:, :, None, None].expand(18, 3, 8, 8)
    inputs = [x + 0.01 * noise(1, 3, 8, 8, seed=number) for number, x in enumerate(colours.split(1))]
    targets = torch.tensor([0, 1, 2] * 6)
    told = refitted_head(classifier, inputs, targets, 8)
    assert told is not None
    assert told.argmax(1).tolist() == targets.tolist()
    assert refitted_head(classifier, inputs[:6], targets[:6], 8) is None


def test_a_network_of_one_size_is_told_so() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[2] != 8:
                raise RuntimeError("this network takes 8 x 8")
            return x

    found = RESOLUTION(head(Fixed(), 3), samples(flat(3, 8)))
    assert found.verdict == "not applicable"
    assert "takes one size only: not at 0.5x: this network takes 8 x 8" in found.advice


def test_with_enough_labelled_samples_norms_and_head_are_refitted_in_copies() -> None:
    """Colours that a trunk with wrong norm statistics hides behind its rectifier come back with their refit."""
    torch.manual_seed(0)
    classifier = convnet(widths=(8, 8), num_classes=3).eval()
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    targets = [number % 3 for number in range(18)]
    inputs = torch.eye(3)[targets][:, :, None, None] + 0.1 * noise(18, 3, 16, 16)
    found = RESOLUTION(classifier, samples(inputs, targets))
    remedied = found.tables[2]
    for side in (8, 32):
        rows = {row[1]: row for row in remedied.where("side", side).rows}
        assert list(rows) == ["none", "one temperature", "norms", "norms and head"]
        assert rows["norms and head"][3] == 1.0
        assert rows["norms and head"][2] is None
    assert all(torch.equal(value, state[name]) for name, value in classifier.state_dict().items())
