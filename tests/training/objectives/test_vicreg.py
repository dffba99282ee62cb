"""VICReg against a loop of its formula, and the guard against collapse."""

import math

import pytest
import torch
from torch import Tensor

from globalpool.errors import TrainingError
from globalpool.training.objectives import VICReg
from globalpool.training.objectives.vicreg import vicreg
from tests.training.objectives.recording import batch_of, generator, small


def slow(first: list[list[float]], second: list[list[float]], weights: tuple[float, float, float]) -> float:
    count, width = len(first), len(first[0])
    loss = 0.0
    for a, b in zip(first, second, strict=True):
        loss += weights[0] * sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / (count * width)
    for view in (first, second):
        means = [sum(row[j] for row in view) / count for j in range(width)]
        for i in range(width):
            for j in range(width):
                entry = sum((row[i] - means[i]) * (row[j] - means[j]) for row in view) / (count - 1)
                if i == j:
                    loss += weights[1] * max(0.0, 1 - math.sqrt(entry + 1e-4)) / width
                else:
                    loss += weights[2] * entry**2 / width
    return loss


@pytest.mark.parametrize("scale", [0.1, 0.7, 3.0])
def test_the_loss_is_its_formula(scale: float) -> None:
    first, second = scale * torch.randn(2, 9, 5, generator=generator(), dtype=torch.float64)
    for weights in ((25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        assert float(vicreg(first, second, *weights)) == pytest.approx(slow(first.tolist(), second.tolist(), weights))


def trained(objective: VICReg, steps: int = 150) -> VICReg:
    classifier = small().train()
    parts = tuple(torch.rand(n, 3, side, side, generator=generator(side)) for n, side in ((10, 12), (6, 8)))
    before = [parameter.detach().clone() for parameter in classifier.tail.parameters()]
    optimiser = torch.optim.Adam([*classifier.parameters(), *objective.parameters()], lr=0.01)
    random = generator(1)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = objective(classifier, batch_of(parts), random)
        assert loss.logits is None
        loss.value.backward()
        optimiser.step()
    assert all(torch.equal(old, new) for old, new in zip(before, classifier.tail.parameters(), strict=True))
    return objective


def noisy(picture: Tensor) -> Tensor:
    return picture + 0.1 * torch.randn(picture.shape)


def test_invariance_alone_collapses_and_training_stops_with_a_sentence() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        alone = VICReg(8, (16, 16), view=noisy, variance=0.0, covariance=0.0)
    with pytest.raises(TrainingError) as caught:
        trained(alone, 400)
    assert "embeddings that differ between pictures, by a deviation of 0.01 or more; got 0.0" in str(caught.value)
    assert "in 10 batches in a row. They have collapsed to one point: give variance a larger weight" in str(
        caught.value
    )


def test_with_the_variance_term_the_deviation_stays() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        guarded = VICReg(8, (16, 16), view=noisy)
    trained(guarded, 60)
    assert 0.5 < guarded.deviation < 2
    assert int(guarded.below) == 0
    assert {"last", "below"} <= set(guarded.state_dict())


def test_what_it_cannot_learn_from_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"two pictures a batch, to differ from each other; got 1\. Give"):
        VICReg(8)(small(), batch_of((torch.rand(1, 3, 8, 8),)), generator())
    with pytest.raises(TrainingError, match="VICReg: expected pooled vectors of width 5; got 8"):
        VICReg(5)(small(), batch_of((torch.rand(2, 3, 8, 8),)), generator())
    with pytest.raises(TrainingError, match="at least one width for the expander; got none"):
        VICReg(5, ())
