"""``globalpool slim``: a folder in, a light network out, which loads again."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from globalpool.classifier import PooledClassifier
from globalpool.cli.networks import network_named
from globalpool.cli.slim import Pairs
from globalpool.cli.slim_files import write_slim
from globalpool.data import Example, apart, held_out, read_folder
from globalpool.errors import DataError, GlobalPoolError
from tests.cli.folders import coloured_folder, run


def split(folder: Path, share: float) -> tuple[list[Example], list[Example]]:
    data = read_folder(folder)
    parts = held_out(data, share)
    return [data.examples[i] for i in parts.train], [data.examples[i] for i in parts.test]


def slim(capsys: pytest.CaptureFixture[str], data: Path, out: Path, *more: str) -> tuple[int, str, str]:
    return run(capsys, "slim", "timm:test_resnet", "--data", str(data), "--out", str(out), "--size", "64", *more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "data")
    return tmp_path / "data"


def test_a_folder_becomes_a_network_that_loads_again(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    (data / "blue" / "broken.png").write_bytes(b"no picture")
    (data / "readme.txt").write_text("x")
    out = tmp_path / "slim.safetensors"
    code, text, _ = slim(capsys, data, out)
    assert code == 0
    assert "RANDOM weights" in text
    assert "left out: blue/broken.png: expected one of " in text
    assert "left out: readme.txt: not in the subfolder of a class" in text
    assert "data: 2 classes, 16 pictures to fit, 4 held out" in text
    numbers = {line.split()[1]: line.split()[2:] for line in text.splitlines() if line.startswith("parameters")}
    assert numbers == {"before": ["97,000", "469,688"], "after": ["194", "372,882"]}
    assert re.search(r"cut by +99\.800 % +20\.611 %", text)
    assert "accuracy before: not comparable: the network's classes are not the folder's" in text
    assert "accuracy after:  1.0000 on 4 held-out pictures" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "slim.json", "slim.safetensors"]
    card = json.loads((tmp_path / "slim.json").read_text())
    assert (card["architecture"], card["pool"], card["classes"]) == ("timm:test_resnet", "mean", ["blue", "red"])
    assert (card["size"], card["mean"], card["std"]) == (64, [0.5] * 3, [0.5] * 3)
    facts = card["facts"]
    assert facts["split"]["fitted"] == {"blue": 8, "red": 8}
    assert facts["split"]["held_out"] == {"blue": 2, "red": 2}
    assert "may have been trained on any of the pictures" in facts["split"]["note"]
    assert facts["accuracy"] == {"before": None, "after": 1.0, "pictures": 4}
    assert facts["parameters"]["head_after"] == 194
    assert set(facts["versions"]) == {"globalpool", "torch", "timm"}
    assert str(tmp_path) not in (tmp_path / "slim.json").read_text(), "a card that is passed on names no machine"

    network = network_named(str(out))
    assert isinstance(network.module, PooledClassifier)
    assert network.labels == ("blue", "red")
    read = read_folder(data)
    x, y = next(iter(Pairs(read, range(20), network.spec, 64, 20)))
    assert network.module(x).argmax(1).tolist() == y.tolist()
    again, text, _ = run(
        capsys, "explain", str(data / "red" / "3.png"), "--model", str(out), "--out", str(tmp_path / "e")
    )
    assert again == 0
    assert re.search(r"3\.png +red +0\.\d+", text)
    assert "evidence: linear" in text
    code, text, _ = run(capsys, "adopt", str(out))
    assert code == 0
    assert "-> 2 logits, 194 parameters" in text


def test_the_written_numbers_are_those_that_were_fitted(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[PooledClassifier] = []

    def keep(file: Path, base: Any, classifier: PooledClassifier, card: Any) -> None:
        fitted.append(classifier)
        original(file, base, classifier, card)

    original = write_slim
    monkeypatch.setattr("globalpool.cli.slim.write_slim", keep)
    out = tmp_path / "slim.safetensors"
    assert slim(capsys, data, out, "--pool", "attention(heads=2)", "--method", "logistic", "--strength", "1")[0] == 0
    x = torch.randn(3, 3, 64, 64)
    assert torch.equal(network_named(str(out)).module(x), fitted[0](x))
    assert {name.partition(".")[0] for name in load_file(out)} == {"trunk", "pool", "head"}
    assert json.loads(out.with_suffix(".json").read_text())["facts"]["fit"]["strength"] == 1


def test_accuracy_before_when_the_classes_are_the_networks_own(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert slim(capsys, data, first)[0] == 0
    options = [
        "--data",
        str(data),
        "--pool",
        "grid(2, 2)",
        "--share",
        "0.4",
        "--method",
        "logistic",
        "--out",
        str(second),
    ]
    code, text, _ = run(capsys, "slim", str(first), *options)
    assert code == 0
    assert "accuracy before: 1.0000" in text
    assert "data: 2 classes, 12 pictures to fit, 8 held out" in text
    card = json.loads(second.with_suffix(".json").read_text())
    assert card["architecture"] == "timm:test_resnet"
    assert card["facts"]["parameters"] == {
        "head_before": 194,
        "head_after": 770,
        "total_before": 372_882,
        "total_after": 373_458,
    }
    shutil.move(data / "red", data / "tench")
    code, text, _ = slim(capsys, data, tmp_path / "third.safetensors")
    assert "not comparable" in text, "blue is no class of ImageNet"


def test_accuracy_before_takes_the_networks_own_numbers_of_the_classes(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    """Folders in another order than the network's classes, and a network of more classes than the folder."""
    model = network_named("timm:test_resnet").module
    x, y = next(iter(Pairs(read_folder(data), range(20), network_named("timm:test_resnet").spec, 64, 20)))
    predicted = model(x).argmax(1)
    labels = network_named("timm:test_resnet").labels
    assert labels is not None
    common = int(predicted.mode().values)
    other = next(k for k, name in enumerate(labels) if name > labels[common] and labels.count(name) == 1)
    shutil.move(data / "blue", data / labels[other])
    shutil.move(data / "red", data / labels[common])
    reds = predicted[y == 1]
    out = tmp_path / "s.safetensors"
    code, text, _ = slim(capsys, data, out)
    assert code == 0
    held_out = {picture.content for picture in split(data, 0.2)[1]}
    right = [
        picture.content in held_out and int(guess) == common
        for picture, guess in zip(
            [p for p in read_folder(data).examples if p.path.parent.name == labels[common]], reds, strict=True
        )
    ]
    assert f"accuracy before: {sum(right) / 4:.4f}" in text
    assert sum(right) > 0


def test_the_split_follows_the_content_alone(data: Path) -> None:
    before = {picture.content for picture in split(data, 0.3)[1]}
    assert len(before) == 6
    for number, file in enumerate(sorted((data / "blue").iterdir())):
        file.rename(data / "blue" / f"new_{9 - number}.png")
    with Image.open(data / "red" / "4.png") as picture:
        picture.save(data / "red" / "4.bmp")  # a copy in another format
    fitted, judged = split(data, 0.3)
    assert {picture.content for picture in judged} == before
    assert not before & {picture.content for picture in fitted}, "no picture on both sides"
    sides = [[picture.path.stem for picture in part].count("4") for part in (fitted, judged)]
    assert sorted(sides) == [0, 2], "copies stay together"
    assert len(fitted) + len(judged) == 21
    shares = split(data, 0.99)
    assert {picture.labels[0] for picture in shares[0]} == {0, 1}, "something of each class is left to fit"


def test_one_picture_in_two_classes_is_left_out_of_both(data: Path) -> None:
    shutil.copy(data / "red" / "0.png", data / "blue" / "odd.png")
    read = read_folder(data)
    assert list(read.left_out) == [
        ("blue/odd.png", "the same picture in blue and red"),
        ("red/0.png", "the same picture in blue and red"),
    ]
    assert len(read.examples) == 19


def test_a_folder_of_its_own_to_judge_on(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> None:
    test = coloured_folder(tmp_path / "test", count=3, seed=1)
    shutil.copy(data / "red" / "7.png", test / "red" / "copy.png")
    out = tmp_path / "slim.safetensors"
    code, text, _ = slim(capsys, data, out, "--test", str(test))
    assert code == 0
    assert "data: 2 classes, 19 pictures to fit, 7 held out" in text
    facts = json.loads(out.with_suffix(".json").read_text())["facts"]
    assert facts["left_out"] == [["red/7.png", "also in the folder judged on"]]
    assert facts["split"]["rule"] == "held-out pictures from a folder of their own, without copies"
    with pytest.raises(DataError, match=r"expected the classes of .*; got a difference in green\. Put the pictures"):
        apart(read_folder(data), read_folder(coloured_folder(tmp_path / "more", ("blue", "green", "red"), 1)))
    with pytest.raises(
        DataError, match=r"blue: expected at least one readable picture to fit; got none\. Add pictures"
    ):
        apart(read_folder(data), read_folder(data))


def test_folders_that_cannot_be_end_with_a_sentence(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    (tmp_path / "one" / "red").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    shutil.copytree(data, tmp_path / "empty")
    (tmp_path / "empty" / "none").mkdir()
    shutil.copytree(data, tmp_path / "single")
    for number in range(1, 10):
        shutil.copy(tmp_path / "single/blue/0.png", tmp_path / f"single/blue/{number}.png")
    layout = "Put the pictures of each class into a subfolder named after it."
    for name, message in (
        ("gone", f"gone: expected a folder with one subfolder a class; got no such folder. {layout}"),
        (
            "file",
            "file: expected a folder with one subfolder a class, or a CSV file; got another file. Name",
        ),
        ("one", f"one: expected subfolders of at least two classes; got 1, red. {layout}"),
        ("empty", "none: expected at least one picture; got none among 0 files. Add pictures or remove the folder."),
        (
            "single",
            "blue: expected at least two different readable pictures; got 1. Add pictures, or give a folder to judge "
            "on by --test.",
        ),
    ):
        code, _, error = slim(capsys, tmp_path / name, tmp_path / "s.safetensors")
        assert code == 2
        assert message in error
    assert not list(tmp_path.glob("s.*"))


def test_nothing_readable_is_exit_code_1(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> None:
    for file in data.rglob("*.png"):
        file.write_bytes(b"no")
    code, text, _ = slim(capsys, data, tmp_path / "s.safetensors")
    assert code == 1
    assert f"no picture of {data} could be read" in text
    assert text.count("left out: ") == 11
    assert "left out: 10 more" in text
    good, test = coloured_folder(tmp_path / "good"), tmp_path / "test"
    shutil.copytree(data, test)
    code, text, _ = slim(capsys, good, tmp_path / "s.safetensors", "--test", str(test))
    assert code == 1
    assert f"no picture of {test} could be read" in text
    assert "left out: 10 more" in text


def test_a_given_split_and_a_table_are_taken(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    for number in range(10):
        for name in ("blue", "red"):
            part = "train" if number < 7 else "test"
            (parts / part / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(data / name / f"{number}.png", parts / part / name / f"{number}.png")
    shutil.copy(data / "red" / "9.png", parts / "train" / "red" / "copy.png")
    code, text, _ = slim(capsys, parts, tmp_path / "a.safetensors")
    assert code == 0
    assert "left out: train/red/copy.png: its copy is in the test part" in text
    assert "data: 2 classes, 14 pictures to fit, 6 held out" in text
    facts = json.loads((tmp_path / "a.json").read_text())["facts"]
    assert facts["split"]["rule"].startswith("as given by the data")
    assert facts["split"]["share"] is None
    assert facts["left_out"] == [["train/red/copy.png", "its copy is in the test part"]]
    rows = [f"{name}/{number}.png,{name}" for name in ("blue", "red") for number in range(10)]
    table = data / "table.csv"
    table.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    code, text, _ = slim(capsys, table, tmp_path / "b.safetensors")
    assert code == 0
    assert "data: 2 classes, 16 pictures to fit, 4 held out" in text
    table.write_text("\n".join(["path,label", *rows, "more.png,red;blue"]), encoding="utf-8")
    code, _, error = slim(capsys, table, tmp_path / "c.safetensors")
    assert code == 2
    assert "expected one label a picture; got several. Train by globalpool train." in error


def test_settings_that_cannot_be_end_before_the_work(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.safetensors").write_bytes(b"mine")
    (tmp_path / "card.json").write_text("mine")
    (tmp_path / "folder.safetensors").mkdir()
    new = tmp_path / "new.safetensors"
    for out, more, message in (
        (tmp_path / "s.pth", [], "--out: expected a file name ending in .safetensors; got "),
        (tmp_path / "no" / "s.safetensors", [], "expected a file in a folder that exists; got no folder"),
        (tmp_path / "old.safetensors", [], "expected a new file; got a file that exists. Choose another --out"),
        (tmp_path / "card.safetensors", [], "card.json: expected a new file; got a file that exists."),
        (tmp_path / "folder.safetensors", ["--overwrite"], "expected a new file; got a folder."),
        (new, ["--batch", "0"], "--batch: expected a positive number of pictures; got 0."),
        (new, ["--share", "1.5"], "--share: expected a share between 0 and 1; got 1.5. 0.2 judges on a fifth"),
        (new, ["--pool", "meen"], "--pool: expected a name of `globalpool pools`; got 'meen'. Did you mean 'mean'?"),
        (new, ["--pool", "grid(2"], "expected a pool with plain numbers or words as settings; got 'grid(2'. As in"),
        (new, ["--pool", "grid(open())"], "expected a pool with plain numbers or words as settings; got 'grid(open"),
        (new, ["--pool", "gem(q=2)"], "expected settings GeM takes; got 'gem(q=2)': "),
        (new, ["--pool", "grid(0, 2)"], "Grid: expected one positive number of bins"),
        (new, ["--strength", "-1"], "fit_head: expected"),
    ):
        code, _, error = slim(capsys, data, out, *more)
        assert code == 2, message
        assert message in error
        assert not new.exists()
    assert (tmp_path / "old.safetensors").read_bytes() == b"mine"
    code, _, _ = slim(capsys, data, tmp_path / "old.safetensors", "--overwrite")
    assert code == 0


def test_an_interruption_while_writing_leaves_the_old_file_whole(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "slim.safetensors"
    assert slim(capsys, data, out)[0] == 0
    old = out.read_bytes()

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    code, _, error = slim(capsys, data, out, "--pool", "max", "--overwrite")
    assert code == 2
    assert "No space left on device. Check the output folder and the disk." in error
    assert out.read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "slim.json", "slim.safetensors"]


def test_files_that_do_not_belong_together_are_refused(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    assert slim(capsys, data, one)[0] == slim(capsys, data, other, "--pool", "max")[0] == 0
    card = json.loads(one.with_suffix(".json").read_text())

    def refused(message: str) -> None:
        with pytest.raises(GlobalPoolError, match=message):
            network_named(str(one))

    shutil.copy(other, one)
    refused(r"one\.json: expected the card of one\.safetensors; got the card of other weights\. Write both files again")
    tensors = load_file(one)
    del tensors["trunk.conv1.0.weight"]
    save_file(tensors, one)
    import hashlib

    card["weights"] = hashlib.sha256(one.read_bytes()).hexdigest()
    one.with_suffix(".json").write_text(json.dumps(card))
    refused(
        r"expected the weights of a slim timm:test_resnet; got a difference in trunk\.conv1\.0\.weight\. Write both"
    )
    one.with_suffix(".json").write_text(json.dumps({**card, "architecture": "timm:gone"}))
    refused(r"expected an architecture that can be built here; got timm:gone\. Install the version of timm")
    for text in ("{", "[]", json.dumps({**card, "format": "other"}), json.dumps({**card, "size": None}), "{}"):
        one.with_suffix(".json").write_text(text)
        refused(r"one\.json: expected a card that globalpool slim wrote; got \w+: .*\. Write both files again by")


def test_ctrl_c_says_that_nothing_was_written(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("globalpool.cli.slim.fit_head", interrupted)
    code, _, error = slim(capsys, data, tmp_path / "s.safetensors")
    assert code == 130
    assert "globalpool slim: stopped; nothing was written." in error
