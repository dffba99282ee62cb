"""What a report advises, by curves whose trouble is known."""

import math
from collections.abc import Sequence

import pytest

from globalpool.report.verdict import advice_of
from globalpool.training import Epoch, TrainingResult


def result(
    losses: Sequence[float], train: Sequence[float], validation: Sequence[float], nll: Sequence[float]
) -> TrainingResult:
    rows = [
        Epoch(number, number, 0.1, loss, accuracy, loss, judged, lost)
        for number, (loss, accuracy, judged, lost) in enumerate(
            zip(losses, train, validation, nll, strict=True), start=1
        )
    ]
    best = max(rows, key=lambda row: (row.validation_accuracy, -row.epoch)).epoch
    return TrainingResult(tuple(rows), best, 1.0)


FALLING = [2.3, 1.9, 1.5, 1.2]
FLAT = [2.3, 0.9, 0.52, 0.51]
#: A gap of 20 points at the best epoch, which is the last.
GAP = {"train": [0.2, 0.4, 0.6, 0.7], "validation": [0.1, 0.3, 0.4, 0.5]}
DOWN, UP = [2.3, 2.0, 1.8, 1.7], [2.3, 1.7, 1.9, 2.2]


def test_a_gap_in_an_undertrained_run_does_not_call_for_pictures() -> None:
    assert advice_of(result(FALLING, **GAP, nll=DOWN)) == (
        "It was still learning, the training loss fell by 20 % over the last epoch: more epochs or a higher learning "
        "rate would help first"
    )


@pytest.mark.parametrize(("losses", "nll"), [(FLAT, DOWN), (FLAT, UP), (FALLING, UP)])
def test_a_gap_with_all_learned_or_validation_turned_does(losses: list[float], nll: list[float]) -> None:
    assert advice_of(result(losses, **GAP, nll=nll)) == (
        "Training pictures are right 20 points more often: more pictures would help"
    )


def test_a_tiny_loss_that_still_falls_is_no_undertrained_run() -> None:
    found = result([1.0, 0.1, 0.01, 0.001], [0.5, 0.97, 1.0, 1.0], [0.5, 0.95, 0.96, 0.96], DOWN)
    assert advice_of(found) == ""


def test_without_a_validation_part_the_training_loss_alone_is_read() -> None:
    nothing = [math.nan] * 4
    found = result(FALLING, GAP["train"], nothing, nothing)
    assert advice_of(found).startswith("It was still learning, the training loss fell by 20 % over the last epoch")
    assert advice_of(result(FLAT, GAP["train"], nothing, nothing)) == ""


def test_one_noisy_epoch_does_not_hide_the_fall() -> None:
    losses = [2.3 - 0.1 * number for number in range(12)]
    losses[-2] = 0.9  # so the last epoch rose
    level = [0.5] * 12
    found = result(losses, level, level, [2.0 - 0.01 * number for number in range(12)])
    fall = round(100 * (1 - losses[-1] / losses[-4]))
    assert f"fell by {fall} % over the last 3 epochs" in advice_of(found)


def test_one_epoch_says_nothing() -> None:
    assert advice_of(result([2.0], [0.9], [0.5], [2.0])) == ""
