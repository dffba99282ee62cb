"""Folders of sound files through ``train``, ``predict`` and ``explain``: the same commands as pictures."""

import csv
import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from globalpool.cli.main import main
from globalpool.models import WindowedClassifier
from globalpool.training import load_run
from tests.cli.folders import run
from tests.data.sounds import save, tone

NAMES = ("high", "low")
QUICK = ("--epochs", "8", "--batch", "8", "--learning_rate", "0.02", "--seed", "1")


def sounds(folder: Path, count: int = 12) -> Path:
    """Tones around 300 and 1,500 Hz of 0.2 to 0.5 s, some in stereo at another rate, with silence around them."""
    random = np.random.default_rng(0)
    for name, frequency in zip(NAMES, (1500, 300), strict=True):
        for number in range(count):
            rate = 16000 if number % 5 == 4 else 8000
            wave = tone(frequency * 2 ** random.uniform(-0.2, 0.2), random.uniform(0.2, 0.5), rate)
            wave = np.concatenate([np.zeros(rate // 10), wave + 0.01 * random.standard_normal(len(wave))])
            channels = np.stack([wave, -wave]) if number % 3 == 0 else wave
            save(folder / name / f"{number}.{('wav', 'flac')[number % 2]}", channels.astype(np.float32), rate)
    (folder / "low" / "broken.wav").write_bytes(b"no sound")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sounds(tmp_path_factory.mktemp("data") / "sounds")


def trained(folder: Path, out: Path, *options: str) -> str:
    text = io.StringIO()
    with redirect_stdout(text):
        assert main(["train", str(folder), "--out", str(out), *QUICK, *options]) == 0
    return text.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        ("--trunk", "convnet(4, 8)", "--pool", "mean(dim=-1)", "--inputs", "bands=32"),
        ("--trunk", "framewise(4, 8)", "--pool", "mean(dim=-1)", "--inputs", "bands=32,gain=3,mask_bands=4"),
        ("--trunk", "bandwise(4, 8)", "--pool", "mean(dim=-2)", "--inputs", "bands=32,frames=20"),
    ],
)
def test_a_folder_of_recordings_trains_predicts_and_explains(
    options: tuple[str, ...], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    trained(folder, out, *options)
    classifier = load_run(out)
    assert isinstance(classifier, WindowedClassifier) == ("frames=20" in options[-1])
    code, _, _ = run(capsys, "predict", str(out), str(folder), "--out", str(tmp_path / "predicted"))
    assert code == 0
    with (tmp_path / "predicted" / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    best = {row["path"]: row for row in sorted(rows, key=lambda row: float(row["probability"]))}
    assert len(best) == 24
    if "bandwise(4, 8)" not in options:  # which cannot know the frequency
        assert np.mean([row["class"] == Path(path).parent.name for path, row in best.items()]) > 0.9
    paths = [str(folder / "high" / "0.wav"), str(folder / "low" / "broken.wav")]
    explained = tmp_path / "explained"
    code, _, _ = run(capsys, "explain", *paths, "--model", str(out), "--out", str(explained))
    assert (explained / "pictures" / "00000.png").stat().st_size > 10_000
    with (explained / "pictures" / "00000.csv").open(encoding="utf-8", newline="") as stream:
        table = np.array(list(csv.reader(stream))[1:], dtype=np.float64)
    with (explained / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        predictions = list(csv.DictReader(stream))
    assert table[0, 0] == pytest.approx(0.1)  # where the sound begins
    assert max(float(row["residual"]) for row in predictions) < 1e-4
    assert "broken.wav" in (explained / "errors.csv").read_text(encoding="utf-8")


def test_a_kept_time_axis_without_a_length_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("train", str(folder), "--out", str(tmp_path / "run"), "--pool", "mean(dim=-2)")
    code, _, errors = run(capsys, *given, "--trunk", "bandwise")
    assert code != 0
    assert "expected kept axes of one length in all inputs" in errors
    assert "--inputs frames=100" in errors
