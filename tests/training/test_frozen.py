"""The frozen trunk: the fit of the cached vectors is fit_head's own, and nothing else changes."""

import re
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from globalpool.classifier import PooledClassifier
from globalpool.errors import TrainingError
from globalpool.pools import Attention, Mean
from globalpool.surgery import fit_head
from globalpool.training import RunFolder, evaluate
from globalpool.training.frozen import train_head
from tests.training.tiny import Coloured, tiny


def test_the_fit_is_that_of_fit_head_on_the_pictures(tmp_path: Path) -> None:
    first, second = tiny(dropout=0.5), tiny(dropout=0.5)
    data, judged = Coloured(60, seed=None), Coloured(90, 30, seed=None)
    run = RunFolder.create(tmp_path / "run", {})
    before = deepcopy(first.trunk.state_dict())
    result, fit = train_head(first, data, judged, run)
    loaders = [[(batch.parts[0], batch.targets) for batch in part] for part in (data, judged)]
    other = fit_head(second, loaders[0], "logistic", validation=loaders[1])
    assert fit.strength == pytest.approx(other.strength)
    assert isinstance(first.tail, nn.Linear)
    assert isinstance(second.tail, nn.Linear)
    torch.testing.assert_close(first.tail.weight, second.tail.weight, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in first.trunk.state_dict().items())
    found = evaluate(first, judged)
    assert result.epochs[0].validation_accuracy == found.accuracy > 0.5
    assert result.epochs[0].validation_nll == pytest.approx(found.nll, abs=1e-6)
    assert run.epochs() == result.epochs
    assert (run.path / "best.safetensors").is_file()


def test_a_pool_with_parameters_is_refused() -> None:
    classifier = PooledClassifier(nn.Identity(), Attention(3), nn.Linear(3, 3))
    message = "train_head: expected a pool without parameters; got Attention("
    with pytest.raises(TrainingError, match=re.escape(message)):
        train_head(classifier, Coloured(), None)
    assert next(Mean().parameters(), None) is None
