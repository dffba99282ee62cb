"""The loop: it learns, accumulates exactly, and goes on where it stopped, bit for bit."""

import dataclasses
import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.errors import TrainingError
from globalpool.training import CrossEntropy, Epoch, Loss, RunFolder, TrainingSettings, evaluate, train
from tests.training.tiny import Coloured, tiny

QUICK = TrainingSettings(epochs=4, learning_rate=0.02, optimizer="adamw")


def weights(classifier: PooledClassifier) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in classifier.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_it_learns_and_the_result_has_the_best_weights() -> None:
    classifier, judged = tiny(), Coloured(30, seed=None)
    seen: list[Epoch] = []
    result = train(classifier, Coloured(), judged, dataclasses.replace(QUICK, epochs=12), on_epoch=seen.append)
    assert tuple(seen) == result.epochs
    assert [entry.epoch for entry in seen] == list(range(1, 13))
    assert seen[-1].updates == 12 * 4
    assert seen[-1].train_loss < 0.8 * seen[0].train_loss
    assert seen[-1].validation_accuracy > 0.6
    again = evaluate(classifier, judged)
    assert (again.accuracy, again.nll) == (
        seen[result.best - 1].validation_accuracy,
        seen[result.best - 1].validation_nll,
    )
    assert again.accuracy == max(entry.validation_accuracy for entry in seen)
    assert not classifier.training


def test_metrics_are_those_of_a_plain_loop() -> None:
    classifier, judged = tiny().eval(), Coloured(30, seed=None)
    right, nll = 0, 0.0
    with torch.no_grad():
        for index in range(30):
            picture, label = judged.sample(index)
            logits = classifier(picture[None])[0].double().tolist()
            right += logits.index(max(logits)) == label
            nll += math.log(sum(map(math.exp, logits))) - logits[label]
    found = evaluate(classifier, judged)
    assert found.samples == 30
    assert found.accuracy == right / 30
    assert found.nll == pytest.approx(nll / 30, abs=1e-6)


def test_accumulated_batches_give_the_update_of_one_batch() -> None:
    """Uneven ones too: 10 samples as 4 + 4 + 2."""
    settings = dataclasses.replace(QUICK, epochs=1, optimizer="sgd", warmup=0.0)
    ends = []
    for size, accumulate in ((10, 1), (4, 3)):
        classifier = tiny(norm=False, dropout=0.0).double()
        train(
            classifier,
            OneSize(10, size, seed=None),
            None,
            dataclasses.replace(settings, accumulate=accumulate),
        )
        ends.append(weights(classifier))
    start = weights(tiny(norm=False, dropout=0.0).double())
    for name in start:
        assert not torch.equal(start[name], ends[0][name])
        torch.testing.assert_close(ends[0][name], ends[1][name], rtol=0, atol=1e-14)


class OneSize(Coloured):
    """Pictures of one size, in float64."""

    def sample(self, index: int) -> tuple[Tensor, int]:
        random = torch.Generator().manual_seed(index)
        return torch.randn(3, 8, 8, generator=random, dtype=torch.float64), index % 3


@pytest.mark.parametrize(
    "settings",
    [
        QUICK,
        dataclasses.replace(QUICK, ema=0.9, clip_norm=0.5, accumulate=3, amp="bfloat16"),
        dataclasses.replace(QUICK, optimizer="momentum", schedule="constant", smoothing=0.1),
        dataclasses.replace(QUICK, optimizer="lamb", amp="float16"),
    ],
)
def test_a_run_cut_into_pieces_is_the_whole_run(tmp_path: Path, settings: TrainingSettings) -> None:
    whole = tiny()
    result = train(whole, Coloured(), Coloured(12), settings, RunFolder.create(tmp_path / "whole", {}))
    pieces = RunFolder.create(tmp_path / "pieces", {})
    for _ in range(2):  # each time one epoch is whole and the next is cut
        with pytest.raises(KeyboardInterrupt):
            train(tiny(), Coloured(), Coloured(12), settings, pieces, Stops(CrossEntropy(settings.smoothing), 5))
    classifier = tiny()
    folder = tmp_path / "pieces"
    assert len((folder / "metrics.csv").read_text().splitlines()) == 1 + 2
    again = train(classifier, Coloured(), Coloured(12), settings, RunFolder.open(folder))
    assert again.epochs == result.epochs
    assert_same(weights(classifier), weights(whole))
    for name in ("metrics.csv", "best.safetensors", "last.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (folder / name).read_bytes()


@dataclasses.dataclass
class Stops:
    """An objective that is interrupted in the middle of an epoch."""

    inner: CrossEntropy
    after: int

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        self.after -= 1
        if self.after < 0:
            raise KeyboardInterrupt
        return self.inner(classifier, batch, random)


def test_global_random_numbers_neither_matter_nor_change() -> None:
    ends = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        classifier = tiny()
        before = torch.get_rng_state()
        train(classifier, Coloured(), None, dataclasses.replace(QUICK, epochs=1))
        assert torch.equal(torch.get_rng_state(), before)
        ends.append(weights(classifier))
    assert_same(*ends)


def test_a_loss_that_is_not_finite_ends_the_run_with_a_sentence() -> None:
    with pytest.raises(
        TrainingError, match=r"train: expected a finite loss; got (nan|inf) after \d+ updates. Lower the"
    ):
        train(tiny(), Coloured(), None, dataclasses.replace(QUICK, optimizer="sgd", learning_rate=1e30))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs: expected 1 or more; got 0."),
        ("ema", 1.0, "ema: expected a decay between 0 and 1, as 0.999; got 1.0."),
        ("warmup", 1.0, "warmup: expected a share from 0 to below 1; got 1.0."),
        ("seed", -1, "seed: expected 0 or more; got -1."),
    ],
)
def test_impossible_settings_are_named(name: str, value: object, message: str) -> None:
    with pytest.raises(TrainingError, match=re.escape(message)):
        dataclasses.replace(QUICK, **{name: value})  # type: ignore[arg-type]


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(TrainingError, match=r"optimizer: expected an optimiser timm can build; got adamv: .*adamv"):
        train(tiny(), Coloured(), None, dataclasses.replace(QUICK, optimizer="adamv"))
