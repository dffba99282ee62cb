"""Mean and Sum with one tail: where the branches agree, what happens where they do not, and which target needs which.

Thresholds of the learned tests were written before the first run, and hold on seeds 100 to 104 too. One claim did not
hold and is gone: that without the rescaling the Sum branch suffers as the Mean branch does.
"""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.data.batch import Batch
from globalpool.errors import PoolError
from globalpool.surgery import fit_head
from globalpool.training.objectives import MixedPooling
from tests.learned.paired import SEEDS, paired
from tests.training.maps import Maps, dots, head, textures
from tests.training.objectives.recording import Recorder, batch_of, generator, small

SIDES = (4, 6, 7, 8, 9, 12)


def filled(classifier: gp.PooledClassifier, seed: int = 0) -> gp.PooledClassifier:
    for parameter in classifier.tail.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator(seed), dtype=parameter.dtype)
    return classifier


@pytest.mark.parametrize("side", SIDES)
def test_the_sum_branch_is_weights_divided_and_bias_kept(side: int) -> None:
    classifier = filled(head(gp.Mean(), 3))
    x = textures(2, side, 0).x
    weight, bias = (parameter.detach() for parameter in classifier.tail.parameters())
    fixed, current = (MixedPooling(reference=of).sum_branch(classifier)(x).detach() for of in ((6, 6), "current"))
    for n, k in product(range(2), range(3)):
        total = sum(
            float(weight[k, c]) * float(x[n, c, i, j]) for c in range(4) for i in range(side) for j in range(side)
        )
        assert float(fixed[n, k]) == pytest.approx(total / 36 + float(bias[k]), rel=1e-12)
        assert float(current[n, k]) == pytest.approx(total / side**2 + float(bias[k]), rel=1e-12)
    assert_close(fixed, classifier.with_pool(gp.Sum(), size=(6, 6))(x), rtol=1e-12, atol=1e-12)
    assert_close(current, classifier(x), rtol=1e-12, atol=1e-12)


def test_evidence_of_the_sum_branch_adds_up_on_padded_maps() -> None:
    branch = MixedPooling(reference=(6, 6)).sum_branch(filled(head(gp.Mean(), 3)))
    x, sizes = textures(2, 8, 0).x, torch.tensor([[8, 8], [3, 5]])
    evidence = branch.evidence(x, "all", sizes=sizes).check()
    assert_close(evidence.logits[1:], branch(x[1:, :, :3, :5]), rtol=1e-12, atol=1e-12)


def test_gradients_reach_the_one_tail_and_equal_those_of_the_mean() -> None:
    classifier, recorder = small(dtype=torch.float64).train(), Recorder()
    batch = batch_of(
        tuple(torch.randn(3, 3, side, side, generator=generator(), dtype=torch.float64) for side in (8, 12))
    )
    gradients = []
    for share in (0.0, 1.0):
        classifier.zero_grad()
        MixedPooling(sum_share=share, then=recorder)(classifier, batch, generator()).value.backward()
        assert (recorder.classifier is classifier) == (share == 0)
        gradients.append(
            [parameter.grad.clone() for parameter in classifier.parameters() if parameter.grad is not None]
        )
    assert len(gradients[0]) == len(list(classifier.parameters()))
    for mean, by_sum in zip(*gradients, strict=True):
        assert_close(mean, by_sum, rtol=1e-9, atol=1e-12)


def test_the_draw_is_the_generators_and_has_its_share() -> None:
    classifier, recorder = head(gp.Mean(), 3), Recorder()
    batch, random = batch_of((textures(2, 4, 0).x,), classes=3), generator(1)
    chosen = []
    for _ in range(400):
        MixedPooling(sum_share=0.25, then=recorder)(classifier, batch, random)
        chosen.append(recorder.classifier is not classifier)
    assert 0.18 < sum(chosen) / 400 < 0.32


def test_what_cannot_be_mixed_is_refused() -> None:
    with pytest.raises(PoolError, match="`sum_share` from 0 to 1; got 2"):
        MixedPooling(sum_share=2)
    with pytest.raises(
        PoolError, match=r'`reference` as "current" or lengths, \(7, 7\); got \(7, 0\). Lengths of the fe'
    ):
        MixedPooling(reference=(7, 0))
    with pytest.raises(PoolError, match=r"a classifier that pools with Mean; got GeM\. classifier.with_pool"):
        MixedPooling().sum_branch(head(gp.GeM(), 2))


def trained(objective: MixedPooling, seed: int) -> gp.PooledClassifier:
    """400 steps of Adam on textures of 8 x 8 and 12 x 12, 64 a batch."""
    classifier, random = head(gp.Mean(), 2), generator(seed)
    maps = [textures(400, side, 10 * seed + side) for side in (8, 12)]
    optimiser = torch.optim.Adam(classifier.parameters(), lr=0.02)
    for step in range(400):
        of = maps[step % 2]
        rows = torch.randint(0, 400, (64,), generator=random)
        optimiser.zero_grad()
        objective(classifier, Batch((of.x[rows],), of.label[rows], rows), random).value.backward()
        optimiser.step()
    return classifier


@torch.no_grad()
def nll(classifier: gp.PooledClassifier, maps: Maps) -> float:
    return float(nn.functional.cross_entropy(classifier(maps.x), maps.label))


def test_without_the_rescaling_the_branches_fight() -> None:
    """The Sum wins, with weights 64 times smaller; the Mean is left near chance, log 2 = 0.693."""
    found: dict[str, list[float]] = {"mean": [], "mixed": [], "mixed sum": [], "unscaled": [], "unscaled sum": []}
    for seed in SEEDS:
        held_out = textures(2000, 8, 1000 + seed)
        found["mean"].append(nll(trained(MixedPooling(sum_share=0.0), seed), held_out))
        for name, objective in (("mixed", MixedPooling()), ("unscaled", MixedPooling(reference=(1, 1)))):
            classifier = trained(objective, seed)
            found[name].append(nll(classifier, held_out))
            found[f"{name} sum"].append(nll(objective.sum_branch(classifier), held_out))
    print({name: [round(value, 3) for value in of] for name, of in found.items()})
    print(f"unscaled - mixed {paired(found['unscaled'], found['mixed'])}")
    assert max(abs(a - b) for a, b in zip(found["mixed"], found["mean"], strict=True)) < 1e-6
    assert max(abs(a - b) for a, b in zip(found["mixed"], found["mixed sum"], strict=True)) < 1e-6
    assert paired(found["unscaled"], found["mixed"]).low > 0.05


def fitted(pool: gp.Pool, maps: Maps, target: Tensor, *, bias: bool = True) -> gp.PooledClassifier:
    classifier = head(pool, 2 if target.ndim == 1 else 1, bias=bias)
    fit_head(classifier, [(maps.x, target)], "ridge" if target.ndim == 2 else "logistic", 1e-3)
    return classifier


def test_nll_and_not_accuracy_shows_the_missing_rescale_at_twice_the_side() -> None:
    found: dict[str, list[float]] = {name: [] for name in ("native", "rescaled", "raw", "mean", "shuffled")}
    for seed in SEEDS:
        training = textures(2000, 16, seed)
        native, large = (textures(4000, side, 1000 + seed) for side in (16, 32))
        classifier = fitted(gp.Sum(), training, training.label, bias=False)
        rescaled = classifier.at_resolution((32, 32), trained_at=(16, 16))
        shuffled = training.label[torch.randperm(2000, generator=generator(seed))]
        found["native"].append(nll(classifier, native))
        found["rescaled"].append(nll(rescaled, large))
        found["raw"].append(nll(classifier, large))
        found["mean"].append(nll(fitted(gp.Mean(), training, training.label, bias=False), large))
        found["shuffled"].append(nll(fitted(gp.Sum(), training, shuffled, bias=False), native))
        assert torch.equal(rescaled(large.x).argmax(1), classifier(large.x).argmax(1))  # accuracy is blind
    print({name: [round(value, 3) for value in of] for name, of in found.items()})
    print(f"raw - rescaled {paired(found['raw'], found['rescaled'])}")
    ratios = [a / b for a, b in zip(found["rescaled"], found["native"], strict=True)]
    assert max(abs(ratio - 1) for ratio in ratios) < 0.05
    assert paired(found["raw"], found["rescaled"]).low > 0.2
    assert max(abs(a / b - 1) for a, b in zip(found["mean"], found["rescaled"], strict=True)) < 0.02
    assert min(found["shuffled"]) > 0.68  # log 2 is 0.693


@torch.no_grad()
def mean_error(classifier: gp.PooledClassifier, maps: Maps) -> float:
    return float((classifier(maps.x) - maps.target).abs().mean())


@pytest.mark.parametrize(("task", "right"), [(dots, "sum"), (textures, "mean")], ids=["counts", "proportions"])
def test_counting_needs_sum_where_proportion_needs_mean(task: Callable[[int, int, int], Maps], right: str) -> None:
    found: dict[str, list[float]] = {name: [] for name in ("sum", "mean", "rescaled sum", "shuffled", "constant")}
    for seed in SEEDS:
        training, large = task(400, 32, seed), task(200, 64, 1000 + seed)
        by_sum = fitted(gp.Sum(), training, training.target)
        found["sum"].append(mean_error(by_sum, large))
        found["rescaled sum"].append(mean_error(by_sum.at_resolution((64, 64), trained_at=(32, 32)), large))
        found["mean"].append(mean_error(fitted(gp.Mean(), training, training.target), large))
        own = gp.Sum() if right == "sum" else gp.Mean()
        order = torch.randperm(400, generator=generator(seed))
        found["shuffled"].append(mean_error(fitted(own, training, training.target[order]), large))
        found["constant"].append(float((training.target.mean() - large.target).abs().mean()))
    print({name: [round(value, 3) for value in of] for name, of in found.items()})
    wrong = ("mean", "rescaled sum") if right == "sum" else ("sum",)
    assert max(found[right]) <= (0.5 if right == "sum" else 0.03)
    for name in wrong:
        print(f"{name} - {right} {paired(found[name], found[right])}")
        assert min(a / b for a, b in zip(found[name], found[right], strict=True)) >= 3
        assert paired(found[name], found[right]).low > 0
    if right == "mean":
        assert max(abs(a / b - 1) for a, b in zip(found["rescaled sum"], found["mean"], strict=True)) < 0.05
    assert min(a / b for a, b in zip(found["shuffled"], found["constant"], strict=True)) > 0.8


def by_least_squares(gamma: float | nn.Parameter, task: Callable[[int, int, int], Maps], seed: int) -> float:
    """Fits a head over ScaledSum to maps of three sides; the mean error on a fourth, larger one."""
    classifier = head(gp.ScaledSum(gamma), 1)
    maps = [task(150, side, 10 * seed + side) for side in (8, 16, 24)]
    optimiser = torch.optim.LBFGS(classifier.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        total = torch.stack([(classifier(of.x) - of.target).square().mean() for of in maps]).mean()
        total.backward()
        return total

    optimiser.step(loss)
    return mean_error(classifier, task(100, 40, 1000 + seed))


@pytest.mark.parametrize(("task", "right"), [(dots, 0.0), (textures, 1.0)], ids=["counts", "proportions"])
def test_a_learned_gamma_finds_sum_for_counts_and_mean_for_proportions(
    task: Callable[[int, int, int], Maps], right: float
) -> None:
    gammas = [nn.Parameter(torch.tensor(0.5, dtype=torch.float64)) for _ in SEEDS]
    learned = [by_least_squares(gamma, task, seed) for gamma, seed in zip(gammas, SEEDS, strict=True)]
    frozen = [by_least_squares(0.5, task, seed) for seed in SEEDS]
    print([round(float(gamma.detach()), 3) for gamma in gammas], learned, frozen)
    assert max(abs(float(gamma.detach()) - right) for gamma in gammas) < 0.05
    assert min(a / b for a, b in zip(frozen, learned, strict=True)) >= 3
    assert paired(frozen, learned).low > 0
