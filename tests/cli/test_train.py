"""``globalpool train``, ``resume``, ``predict``: a folder in, a run out, which loads, continues and predicts."""

import csv
import io
import json
import re
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from globalpool.classifier import PooledClassifier
from globalpool.cli.main import main
from globalpool.cli.networks import network_named
from globalpool.data import prepare, read_picture
from globalpool.training import RunFolder, load_run
from globalpool.training.saved import run_architecture
from tests.cli.folders import coloured_folder, run

QUICK = (
    "--tensorboard",
    "--trunk",
    "convnet(4, 8)",
    "--epochs",
    "3",
    "--batch",
    "8",
    "--learning_rate",
    "0.02",
    "--seed",
    "1",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 14 pictures in two sizes, and one broken file."""
    folder = coloured_folder(tmp_path_factory.mktemp("data") / "pictures", count=14)
    for name in ("blue", "red"):
        for number in range(0, 14, 2):
            file = folder / name / f"{number}.png"
            Image.open(file).resize((32, 20)).save(file)
    (folder / "blue" / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run, and what the command printed."""
    out = tmp_path_factory.mktemp("runs") / "run"
    text = io.StringIO()
    with redirect_stdout(text):
        assert main(["train", str(folder), "--out", str(out), *QUICK]) == 0
    return out, text.getvalue()


def rows(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def test_train_tells_what_it_did(trained: tuple[Path, str], folder: Path) -> None:
    out, text = trained
    assert "left out: blue/broken.png: expected " in text
    assert "data: 2 classes, 28 pictures: 16 to train, 6 to choose, 6 held out" in text
    assert len(re.findall(r"^epoch \d: train accuracy ", text, re.MULTILINE)) == 3
    assert re.search(
        r"\d+\.\d % of 6 held-out pictures are right \(95 % interval [\d.]+ to [\d.]+ %\); always saying", text
    )
    assert f"report: {out / 'report.html'}" in text
    assert {path.name for path in out.iterdir()} == {
        *("best.safetensors", "last.safetensors", "checkpoints", "config.json", "environment.json", "split.json"),
        *("metrics.csv", "predictions.csv", "confusion.csv", "report.html", "report.json", "tensorboard"),
    }
    config = json.loads((out / "config.json").read_text())
    assert config["options"]["epochs"] == 3
    assert config["sizes"] == {"native": True}
    assert config["architecture"]["trunk"] == {"name": "convnet", "arguments": [4, 8], "settings": {}}


def test_files_agree_with_each_other_and_with_the_classifier(trained: tuple[Path, str], folder: Path) -> None:
    """Every row of predictions.csv against the picture alone through the loaded classifier."""
    out, _ = trained
    classifier = load_run(out)
    found = rows(out / "predictions.csv")
    report = json.loads((out / "report.json").read_text())
    confusion = [[0, 0], [0, 0]]
    for row in found:
        picture = read_picture(row["path"])
        assert classifier.input_spec is not None
        with torch.no_grad():
            probabilities = classifier(prepare(picture, classifier.input_spec, None)).double().softmax(1)[0]
        assert row["class"] == ("blue", "red")[int(probabilities.argmax())]
        assert float(row["probability"]) == pytest.approx(float(probabilities.max()), abs=1e-5)
        assert Path(row["path"]).parent.name == row["true"]
        confusion[row["true"] == "red"][row["class"] == "red"] += 1
    assert len(found) == 6
    assert report["confusion"] == confusion
    assert report["accuracy"]["right"] == confusion[0][0] + confusion[1][1]
    table = (out / "confusion.csv").read_text().splitlines()
    assert table[0] == "true \\ predicted,blue,red"
    assert table[1] == f"blue,{confusion[0][0]},{confusion[0][1]}"
    curve = rows(out / "metrics.csv")
    assert [float(row["validation_nll"]) for row in curve] == [row["validation_nll"] for row in report["epochs"]]
    split = json.loads((out / "split.json").read_text())
    assert {Path(row["path"]).relative_to(folder).as_posix() for row in found} == set(split["test"])


def test_the_report_is_one_file(trained: tuple[Path, str]) -> None:
    html = (trained[0] / "report.html").read_text()
    assert json.loads((trained[0] / "report.json").read_text())["verdict"] in html.replace("&#39;", "'")
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', html) == []
    assert "http" not in html.replace("http-equiv", "")
    for heading in ("Curves", "By size", "Confusion matrix", "How it was trained"):
        assert f"<h2>{heading}</h2>" in html


def test_resume_of_a_cut_run_gives_the_same_run(
    capsys: pytest.CaptureFixture[str], trained: tuple[Path, str], tmp_path: Path
) -> None:
    whole, cut = trained[0], tmp_path / "cut"
    shutil.copytree(whole, cut)
    (cut / "checkpoints" / "000003.safetensors").unlink()
    for name in ("best.safetensors", "last.safetensors", "metrics.csv", "report.html", "predictions.csv"):
        (cut / name).write_bytes(b"gone")
    (cut / ".best.safetensors.1.part").write_bytes(b"half")
    code, text, _ = run(capsys, "resume", str(cut))
    assert code == 0
    assert len(re.findall(r"^epoch 3: train accuracy ", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^epoch ", text, re.MULTILINE)) == 1
    for name in ("best.safetensors", "last.safetensors", "metrics.csv", "predictions.csv"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert not (cut / ".best.safetensors.1.part").exists()


def test_resume_refuses_changed_pictures(
    capsys: pytest.CaptureFixture[str], trained: tuple[Path, str], folder: Path, tmp_path: Path
) -> None:
    moved, cut = tmp_path / "moved", tmp_path / "cut"
    shutil.copytree(folder, moved)
    shutil.copytree(trained[0], cut)
    code, _, _ = run(capsys, "resume", str(cut), "--data", str(moved))
    assert code == 0
    (moved / "red" / "1.png").unlink()
    code, _, error = run(capsys, "resume", str(cut), "--data", str(moved))
    assert code == 2
    assert "red/1.png gone or unreadable" in error


def test_predict_takes_files_folders_patterns_and_standard_input(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    trained: tuple[Path, str],
    folder: Path,
    tmp_path: Path,
) -> None:
    given = [str(folder / "red" / "3.png"), str(folder / "blue"), str(folder / "red" / "1?.png"), "-"]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{folder / 'red' / '5.png'}\n\n{tmp_path / 'gone.png'}\n"))
    code, text, _ = run(capsys, "predict", str(trained[0]), *given, "--out", str(tmp_path / "a"), "--batch", "5")
    assert code == 0
    found = rows(tmp_path / "a" / "predictions.csv")
    assert list(found[0]) == ["path", "class", "probability"]
    red, blue = folder / "red", folder / "blue"
    expected = [red / "3.png", *sorted(blue.glob("[0-9]*.png")), *sorted(red.glob("1?.png")), red / "5.png"]
    assert [row["path"] for row in found] == list(map(str, expected))
    assert f"{len(expected)} pictures: {tmp_path / 'a' / 'predictions.csv'}" in text
    assert "2 could not be read or predicted" in text
    errors = rows(tmp_path / "a" / "errors.csv")
    assert [Path(row["path"]).name for row in errors] == ["broken.png", "gone.png"]
    assert errors[1]["reason"] == "expected a readable picture file; got no such file"
    known = {row["path"]: row["probability"] for row in rows(trained[0] / "predictions.csv")}
    both = [row for row in found if row["path"] in known]
    assert both
    for row in both:
        assert float(row["probability"]) == pytest.approx(float(known[row["path"]]), abs=1e-6)


def test_predict_gives_json_lines_more_classes_and_evidence(
    capsys: pytest.CaptureFixture[str], trained: tuple[Path, str], folder: Path, tmp_path: Path
) -> None:
    options = ("--format", "jsonl", "--top", "2", "--evidence", "--out", str(tmp_path / "a"))
    code, text, _ = run(capsys, "predict", str(trained[0]), str(folder / "red" / "3.png"), *options)
    assert code == 0
    lines = [json.loads(line) for line in (tmp_path / "a" / "predictions.jsonl").read_text().splitlines()]
    assert sorted(line["class"] for line in lines) == ["blue", "red"]
    assert sum(line["probability"] for line in lines) == pytest.approx(1, abs=1e-12)
    assert lines[0]["probability"] > lines[1]["probability"]
    explained = rows(tmp_path / "a" / "evidence" / "predictions.csv")
    assert float(explained[0]["probability"]) == pytest.approx(lines[0]["probability"], abs=1e-6)
    assert f"evidence: {tmp_path / 'a' / 'evidence' / 'index.html'}" in text


def test_a_run_is_a_model_for_the_other_commands(
    capsys: pytest.CaptureFixture[str], trained: tuple[Path, str], folder: Path, tmp_path: Path
) -> None:
    network = network_named(str(trained[0]))
    assert isinstance(network.module, PooledClassifier)
    assert network.labels == ("blue", "red")
    known = rows(trained[0] / "predictions.csv")
    odd = next(row for row in known if read_picture(row["path"]).pixels.shape[:2] == (20, 32))
    picture = odd["path"]
    code, text, _ = run(capsys, "explain", picture, "--model", str(trained[0]), "--out", str(tmp_path / "e"))
    assert code == 0
    assert "evidence: linear" in text
    explained = rows(tmp_path / "e" / "predictions.csv")[0]
    assert float(explained["probability"]) == pytest.approx(float(odd["probability"]), abs=1e-6), "at its own size"
    assert run(capsys, "adopt", str(trained[0]))[0] == 0
    assert run(capsys, "cost", str(trained[0]), "--runs", "0")[0] == 0
    code, _, error = run(
        capsys, "slim", str(trained[0]), "--data", str(folder), "--out", str(tmp_path / "a.safetensors")
    )
    assert code == 2
    assert "model: expected a network by its name or its file; got the run" in error
    code, _, error = run(capsys, "adopt", str(folder))
    assert code == 2
    assert "expected a folder that globalpool train wrote; got no config.json in it" in error


def test_a_frozen_trunk_gets_a_fitted_head(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    options = ("--trunk", "timm:test_resnet", "--mode", "frozen", "--size", "64", "--out", str(tmp_path / "run"))
    code, text, _ = run(capsys, "train", str(folder), *options)
    assert code == 0
    assert "fit: logistic, strength " in text
    fitted = load_run(tmp_path / "run")
    assert "note: the trunk has RANDOM weights and keeps them" in text
    start = run_architecture(RunFolder.open(tmp_path / "run")).build().trunk.state_dict()
    own = fitted.trunk.state_dict()
    assert own
    assert all(torch.equal(value, start[name]) for name, value in own.items())
    assert json.loads((tmp_path / "run" / "report.json").read_text())["accuracy"]["right"] >= 5


def test_a_transformer_trains_and_explains_pictures_of_mixed_sizes(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    options = ("--trunk", "timm:test_vit", "--epochs", "4", "--batch", "8", "--learning_rate", "0.002")
    code, text, _ = run(capsys, "train", str(folder), "--out", str(out), *options)
    assert code == 0
    assert "note: the pool reads the tokens of patches of 16 x 16 pixels; the prefix token is left out of it" in text
    assert json.loads((out / "report.json").read_text())["accuracy"]["right"] >= 5
    picture = str(folder / "red" / "0.png")
    code, text, _ = run(capsys, "explain", picture, "--model", str(out), "--out", str(tmp_path / "e"))
    assert code == 0
    assert "evidence: linear" in text
    assert rows(tmp_path / "e" / "predictions.csv")[0]["class"] == "red"


def test_several_labels_a_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = ["path,label"]
    for number in range(40):
        noise = random.normal(100, 30, (16, 16, 3))
        labels = [name for name, channel in (("red", 0), ("blue", 2)) if number >> (channel // 2) & 1]
        for name in labels:
            noise[..., 0 if name == "red" else 2] += 90
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{';'.join(labels)}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    run_folder = tmp_path / "run"
    code, text, _ = run(
        capsys, "train", str(tmp_path / "table.csv"), "--out", str(run_folder), *QUICK, "--epochs", "12"
    )
    assert code == 0
    assert "held-out pictures are entirely right" in text
    assert not (run_folder / "confusion.csv").exists()
    found = rows(run_folder / "predictions.csv")
    assert any(row["true"] == "blue;red" for row in found)
    assert json.loads((run_folder / "report.json").read_text())["accuracy"]["value"] > 0.6
    both = str(tmp_path / "3.png")
    assert run(capsys, "predict", str(run_folder), both, "--top", "2", "--out", str(tmp_path / "p"))[0] == 0
    assert sum(float(row["probability"]) for row in rows(tmp_path / "p" / "predictions.csv")) > 1.1


def test_requests_that_cannot_be_met_end_with_a_sentence(
    capsys: pytest.CaptureFixture[str], trained: tuple[Path, str], folder: Path, tmp_path: Path
) -> None:
    run_folder, out, data = str(trained[0]), str(tmp_path / "out"), str(folder)
    for arguments, message in (
        (("train", data, "--out", run_folder), f"Continue it by globalpool resume {run_folder}."),
        (
            ("train", data, "--out", out, "--trunk", "convnett"),
            "got convnett. Networks of timm are written timm:NAME. Did you mean 'convnet'?",
        ),
        (("train", data, "--out", out, "--trunk", "resnet18"), "got resnet18. Networks of timm are written timm:NAME."),
        (
            ("train", data, "--out", out, "--trunk", "convnet(0)"),
            "expected widths as positive whole numbers; got convn",
        ),
        (("train", data, "--out", out, "--pool", "meen"), "got 'meen'. Did you mean 'mean'?"),
        (("train", data, "--out", out, "--batch", "0"), "--batch: expected a positive number; got 0."),
        (("train", data, "--out", out, "--optimizer", "adamv"), "optimizer: expected an optimiser timm can build"),
        (
            ("train", data, "--out", out, "--tensorboard", "--mode", "frozen"),
            "--tensorboard: expected training with a curve, --mode full; got --mode frozen.",
        ),
        (("resume", out), f"{out}: expected a folder that globalpool train wrote; got "),
        (
            ("predict", run_folder, str(folder / "*.gif"), "--out", out),
            "expected a pattern that some file matches; got",
        ),
        (("predict", run_folder, data, "--out", data), "expected a new or empty folder; got one with other files."),
        (("predict", run_folder, data, "--out", out, "--top", "3"), "--top: expected 1 or more, at most the classes"),
    ):
        code, _, error = run(capsys, *arguments)
        assert code == 2, arguments
        assert message in error, arguments
        shutil.rmtree(out, ignore_errors=True)


def test_nothing_readable_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], trained: tuple[Path, str], tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone.png")
    code, text, _ = run(capsys, "predict", str(trained[0]), gone, "--out", str(tmp_path / "a"))
    assert code == 1
    assert "0 pictures: " in text
