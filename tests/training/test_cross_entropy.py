"""The two cross-entropies against their formulas, written out."""

import math
import re

import pytest
import torch
from torch import nn

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.errors import DataError
from globalpool.pools import Mean
from globalpool.training import BinaryCrossEntropy, CrossEntropy

RANDOM = torch.Generator()


def given(logits: list[list[float]], targets: torch.Tensor) -> tuple[PooledClassifier, Batch]:
    """A classifier whose logits are the (1 x 1) pictures themselves, in parts of one sample each."""
    x = torch.tensor(logits, dtype=torch.float64)[:, :, None, None]
    classifier = PooledClassifier(nn.Identity(), Mean(), nn.Identity())
    return classifier, Batch(tuple(x.split(1)), targets, torch.arange(len(x)))


def test_cross_entropy_with_smoothing_is_the_formula() -> None:
    scores, ids, smoothing = [[1.0, -2.0, 0.5], [0.0, 3.0, 0.0]], [2, 0], 0.1
    expected = 0.0
    for row, own in zip(scores, ids, strict=True):
        total = sum(math.exp(score) for score in row)
        for k, score in enumerate(row):
            target = (1 - smoothing) * (k == own) + smoothing / 3
            expected -= target * (score - math.log(total)) / len(scores)
    for targets in (torch.tensor(ids), nn.functional.one_hot(torch.tensor(ids)).double()):
        loss = CrossEntropy(smoothing)(*given(scores, targets), RANDOM)
        assert float(loss.value) == pytest.approx(expected, abs=1e-14)
        assert loss.logits is not None
        assert loss.logits.tolist() == scores


def test_binary_cross_entropy_is_the_formula() -> None:
    scores, targets, smoothing = [[1.0, -2.0], [0.0, 3.0]], [[1.0, 1.0], [0.0, 1.0]], 0.2
    expected = 0.0
    for row, own in zip(scores, targets, strict=True):
        for score, target in zip(row, own, strict=True):
            wanted = (1 - smoothing) * target + smoothing / 2
            yes = 1 / (1 + math.exp(-score))
            expected -= (wanted * math.log(yes) + (1 - wanted) * math.log(1 - yes)) / 4
    loss = BinaryCrossEntropy(smoothing)(*given(scores, torch.tensor(targets)), RANDOM)
    assert float(loss.value) == pytest.approx(expected, abs=1e-14)


def test_targets_of_the_other_kind_are_refused() -> None:
    message = "BinaryCrossEntropy: expected targets (1, 2): samples, classes; got int64 (1,). Class ids (N,) go with"
    with pytest.raises(DataError, match=re.escape(message)):
        BinaryCrossEntropy()(*given([[0.0, 1.0]], torch.tensor([1])), RANDOM)
    with pytest.raises(DataError, match=re.escape("`smoothing` from 0 to below 1; got 1.0. 0.1 is usual.")):
        CrossEntropy(1.0)
