"""Rounds that are kept: the newest whole one is where a federation goes on."""

import csv
import re
from pathlib import Path

import pytest
import torch

from globalpool.errors import FederatedError
from globalpool.federated import ClientScore
from globalpool.federated.journal import Journal

SCORES = [ClientScore(64, 10, 5, 7.0), ClientScore(96, 30, 30, 3.0)]


def rounds(path: Path, last: int, first: int = 1) -> Journal:
    journal = Journal(path, {"seed": 0})
    journal.begin()
    for number in range(first, last + 1):
        journal.end_round(number, {"w": torch.full((2,), float(number))}, SCORES, lost=number - 1)
    return journal


def test_a_federation_goes_on_after_its_newest_whole_round(tmp_path: Path) -> None:
    rounds(tmp_path, 3)
    assert sorted(file.name for file in tmp_path.glob("*.safetensors")) == [
        "round-000002.safetensors",
        "round-000003.safetensors",
    ]
    newest = tmp_path / "round-000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])  # cut by a full disk
    (tmp_path / ".rounds.csv.1.part").write_text("half")
    again = Journal(tmp_path, {"seed": 0})
    state = again.begin()
    assert state is not None
    assert state["w"].tolist() == [2.0, 2.0]
    assert again.done == 2
    again.end_round(3, {"w": torch.ones(2)}, SCORES)
    with open(tmp_path / "rounds.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["round"], row["resolution"]) for row in rows] == [(r, k) for r in "123" for k in ("64", "96", "0")]
    assert [float(row["accuracy"]) for row in rows[:3]] == [0.5, 1.0, 0.875]
    assert [row["lost"] for row in rows[::3]] == ["0", "1", "0"]
    assert not list(tmp_path.glob(".*part"))


def test_other_settings_and_other_folders_are_refused(tmp_path: Path) -> None:
    rounds(tmp_path / "a", 1)
    with pytest.raises(FederatedError, match="the settings of the federation in it; got another seed"):
        Journal(tmp_path / "a", {"seed": 1}).begin()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("")
    with pytest.raises(FederatedError, match=re.escape("got other files there.")):
        Journal(tmp_path / "b", {}).begin()


def test_weights_that_are_not_finite_end_the_federation(tmp_path: Path) -> None:
    journal = rounds(tmp_path, 1)
    with pytest.raises(FederatedError, match="round 2: expected finite weights; got NaN or Inf in w"):
        journal.end_round(2, {"w": torch.tensor([torch.nan])}, SCORES)
    assert Journal(tmp_path, {"seed": 0}).begin() is not None
    assert not (tmp_path / "round-000002.safetensors").exists()
