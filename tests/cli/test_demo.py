"""``globalpool demo`` with a tiny budget."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from globalpool.data import canvas_digits, read_picture
from globalpool.training import load_run
from tests.cli.folders import run


def test_demo_explains_trains_judges_and_localises(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "demo"
    budget = ("--updates", "3", "--pictures", "100")
    code, text, _ = run(capsys, "demo", "--out", str(out), *budget)
    assert code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}
    assert {path.name for path in out.iterdir()} == {".globalpool-demo", "photographs", "digits"}
    for line in (
        f"report: {out / 'photographs' / 'index.html'}",
        f"report: {out / 'digits' / 'run' / 'report.html'}",
        " of 100 held-out pictures are right (95 % interval ",
        "MaxBoxAccV2 ",
        "centre baseline ",
        "random boxes ",
    ):
        assert line in text
    assert "oracle" not in text
    report = json.loads((out / "digits" / "run" / "report.json").read_text())
    assert report["part"] == "test"
    assert f"MaxBoxAccV2 {report['localisation']['accuracy']['value']:.3f} [" in text
    assert "<h2>Localisation</h2>" in (out / "digits" / "run" / "report.html").read_text()
    load_run(out / "digits" / "run")
    with open(out / "digits" / "boxes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    truth = canvas_digits(0, split="test", count=100)
    assert len(rows) == 100
    for number, row in enumerate(rows):
        assert [int(row[name]) for name in ("x", "y", "width", "height")] == truth.boxes[number].tolist()
        pixels = read_picture(out / "digits" / row["path"]).pixels
        assert np.array_equal(pixels[..., 0], truth.pictures[number])
    code, _, error = run(capsys, "demo", "--out", str(out), *budget)
    assert code == 2
    assert "expected a new or empty folder; got an earlier demonstration. Pass --overwrite." in error


def test_demo_leaves_other_folders_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    code, _, error = run(capsys, "demo", "--out", str(tmp_path), "--overwrite")
    assert code == 2
    assert "expected a new or empty folder; got other files there. Choose another --out." in error
    for option, value, message in (
        ("--pictures", "20", "--pictures: expected 100 to 1000; got 20."),
        ("--seconds", "0", "--seconds: expected a positive number; got 0.0."),
        ("--updates", "0", "--updates: expected 1 or more; got 0."),
    ):
        code, _, error = run(capsys, "demo", "--out", str(tmp_path / "new"), option, value)
        assert code == 2
        assert message in error
        assert not (tmp_path / "new").exists()
