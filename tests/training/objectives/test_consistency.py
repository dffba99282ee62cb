"""Consistency losses against loops, the teacher against its recursion, and where unlabelled pictures come from."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import globalpool as gp
from globalpool.data.batch import Batch
from globalpool.errors import DataError, TrainingError
from globalpool.training.objectives import CrossEntropy, FixMatch, MeanTeacher
from globalpool.training.objectives.consistency import ramp_up
from globalpool.training.unlabelled import UnlabelledBatches, UnlabelledPictures
from globalpool.training.views import strong_view, viewed, weak_view
from tests.training.objectives.recording import batch_of, generator, small


def pictures(seed: int, *counts: tuple[int, int]) -> tuple[Tensor, ...]:
    return tuple(torch.randn(n, 3, side, side, generator=generator(seed + side)) for n, side in counts)


class Fixed:
    """Always the same unlabelled batch."""

    def __init__(self, parts: tuple[Tensor, ...]) -> None:
        self.batch = Batch(parts, torch.full((sum(map(len, parts)),), -1), torch.arange(sum(map(len, parts))))

    def __call__(self, random: torch.Generator) -> Batch:
        return self.batch


def identity(picture: Tensor) -> Tensor:
    return picture


def doubled(picture: Tensor) -> Tensor:
    return 2 * picture


@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.999999])
def test_fixmatch_is_its_formula(threshold: float) -> None:
    classifier, batch = small().train(), batch_of(pictures(0, (4, 12)))
    # Of different contrast, so that the classifier is sure of some only.
    other = tuple(
        part * torch.linspace(0.2, 4, len(part))[:, None, None, None] for part in pictures(5, (3, 12), (4, 8))
    )
    dict(classifier.named_parameters())["tail.weight"].data *= 5
    buffers = {name: value.clone() for name, value in classifier.named_buffers()}
    objective = FixMatch(Fixed(other), threshold, 0.7, identity, doubled)
    loss = objective(classifier, batch, generator())
    for name, value in classifier.named_buffers():
        value.copy_(buffers[name])
    plain = CrossEntropy()(classifier, batch, generator())
    total, counted = 0.0, 0
    for part in other:
        classifier.eval()
        for name, value in classifier.named_buffers():
            value.copy_(buffers[name])
        # In the objective the labelled batch has moved the running statistics once.
        classifier.train()(batch.parts[0])
        weak = classifier.eval()(part).softmax(1).tolist()
        strong = classifier.train()(2 * part).log_softmax(1).tolist()
        for sure, said in zip(weak, strong, strict=True):
            if max(sure) >= threshold:
                total -= said[sure.index(max(sure))]
                counted += 1
    expected = float(plain.value.detach()) + 0.7 * total / 7
    assert float(loss.value.detach()) == pytest.approx(expected, rel=1e-4)
    assert loss.logits is not None
    assert plain.logits is not None
    assert_close(loss.logits, plain.logits)
    assert (counted, threshold) in ((7, 0.0), (0, 0.999999)) or 0 < counted < 7


def test_the_guess_is_a_target_and_has_no_gradient() -> None:
    classifier, batch = small().train(), batch_of(pictures(0, (4, 12)))
    weak_seen: list[bool] = []

    def watched(picture: Tensor) -> Tensor:
        weak_seen.append(torch.is_grad_enabled())
        return picture

    FixMatch(Fixed(pictures(5, (3, 12))), 0.0, weak=watched)(classifier, batch, generator()).value.backward()
    assert weak_seen == [False] * 3
    assert all(module.training for module in classifier.modules())  # eval mode was given back


def test_the_teacher_is_an_exponential_average_and_the_loss_its_formula() -> None:
    classifier, batch, other = small().train(), batch_of(pictures(0, (4, 12))), pictures(5, (3, 12))
    objective = MeanTeacher(classifier, Fixed(other), decay=0.9, weight=3.0, ramp=4, view=identity).train()
    assert not objective.teacher.module.training
    averaged = classifier.tail.weight.detach().clone().double()  # type: ignore[operator]
    for step in range(6):
        own = classifier.tail.weight.detach().double()  # type: ignore[operator]
        # timm's warm-up, 1 - step^(-2/3) counted from the second call, is below the decay here.
        decay = 0.0 if step <= 1 else min(0.9, 1 - (1 + step - 1) ** (-2 / 3))
        averaged = decay * averaged + (1 - decay) * own
        loss = objective(classifier, batch, generator())
        assert_close(objective.teacher.module.tail.weight.double(), averaged, rtol=1e-5, atol=1e-6)
        with torch.no_grad():
            taught = objective.teacher.module(other[0]).softmax(1).tolist()
            said = classifier(other[0]).softmax(1).tolist()
            supervised = float(CrossEntropy()(classifier, batch, generator()).value)
        apart = sum((p - q) ** 2 for a, b in zip(said, taught, strict=True) for p, q in zip(a, b, strict=True)) / 3
        growth = math.exp(-5 * (1 - min(step / 4, 1)) ** 2)
        assert float(loss.value.detach()) == pytest.approx(supervised + 3.0 * growth * apart, rel=1e-4)
        with torch.no_grad():
            for parameter in classifier.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator(step)))
    assert int(objective.calls) == 6
    assert not any(parameter.requires_grad for parameter in objective.parameters())
    assert {"calls", "teacher.module.tail.weight"} <= set(objective.state_dict())
    assert ramp_up(0, 10) == pytest.approx(math.exp(-5))
    assert ramp_up(12, 10) == 1.0


def test_views_have_one_source_of_chance_and_differ_from_picture_to_picture() -> None:
    same = torch.randn(1, 3, 16, 16, generator=generator()).expand(4, -1, -1, -1)
    for view in (weak_view(), strong_view()):
        torch.manual_seed(1)
        expected = float(torch.rand(()))
        torch.manual_seed(1)
        first, again, other = (viewed(view, (same,), generator(seed))[0] for seed in (3, 3, 4))
        assert float(torch.rand(())) == expected
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert not torch.equal(first[0], first[1])


def test_a_weak_view_moves_by_at_most_an_eighth() -> None:
    picture = torch.zeros(1, 1, 16, 16)
    picture[..., 8, 8] = 1
    places = {
        tuple(viewed(weak_view(), (picture,), generator(seed))[0][0, 0].nonzero()[0].tolist()) for seed in range(200)
    }
    assert {row for row, _ in places} == {column for _, column in places} == {6, 7, 8, 9, 10}


def test_a_view_keeps_the_size() -> None:
    with pytest.raises(TrainingError, match=r"views of the size \(3, 8, 8\); got \(3, 4, 8\). A batch holds its sizes"):
        viewed(lambda picture: picture[:, :4], pictures(0, (2, 8)), generator())


def test_unlabelled_pictures_come_once_a_call_and_all_in_the_end() -> None:
    parts = tuple(
        torch.arange(n).float().reshape(-1, 1, 1, 1).expand(-1, 1, s, s) + 100 * s for n, s in ((5, 4), (3, 6))
    )
    draw, random, seen = UnlabelledPictures(parts, 4), generator(), set()
    for _ in range(30):
        batch = draw(random)
        assert len(batch) == 4 == len(set(batch.indices.tolist()))
        values = [float(picture[0, 0, 0]) for part in batch.parts for picture in part]
        assert values == [400 + i if i < 5 else 600 + i - 5 for i in batch.indices.tolist()]
        seen |= set(batch.indices.tolist())
    assert seen == set(range(8))
    with pytest.raises(DataError, match="`count` from 1 to the 8 pictures given; got 9"):
        UnlabelledPictures(parts, 9)


class Loader:
    """Ten batches of one picture, in an order of the epoch."""

    def __init__(self, length: int = 10) -> None:
        self.length, self.order = length, list(range(length))

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        self.order = torch.randperm(self.length, generator=generator(epoch)).tolist()

    def __iter__(self) -> Iterator[Batch]:
        return (Batch((torch.zeros(1, 1, 2, 2),), torch.tensor([-1]), torch.tensor([i])) for i in self.order)


def test_unlabelled_batches_go_round_and_begin_anew_with_each_generator() -> None:
    stream = UnlabelledBatches(Loader())

    def epoch(seed: int, length: int) -> list[int]:
        random = generator(seed)
        return [int(stream(random).indices) for _ in range(length)]

    first, cut, other, again = epoch(1, 25), epoch(2, 13), epoch(3, 7), epoch(1, 25)
    assert sorted(first[:10]) == sorted(first[10:20]) == list(range(10))
    assert first[:10] != first[10:20]
    assert again == first
    assert cut[:7] != other
    with pytest.raises(TrainingError, match=r"UnlabelledBatches: expected at least one batch; got none\. Give"):
        UnlabelledBatches(Loader(0))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(TrainingError, match="`threshold` as a probability from 0 to below 1; got 95"):
        FixMatch(Fixed(pictures(0, (1, 8))), 95)
    with pytest.raises(TrainingError, match=r"`decay` between 0 and 1, as 0\.999; got 1"):
        MeanTeacher(gp.models.convnet(2, widths=(2,)), Fixed(pictures(0, (1, 8))), decay=1)


def test_strong_views_do_not_enter_the_running_statistics() -> None:
    batch, other = batch_of(pictures(0, (4, 12))), pictures(5, (3, 12))
    plain, trained = small().train(), small().train()
    CrossEntropy()(plain, batch, generator())
    FixMatch(Fixed(other), 0.0)(trained, batch, generator())
    for name, value in plain.named_buffers():
        if "num_batches" not in name:
            assert torch.equal(value, dict(trained.named_buffers())[name])
    norms = [module for module in trained.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert [norm.momentum for norm in norms] == [0.1, 0.1]
