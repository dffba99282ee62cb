"""``globalpool localize``: a hand-made run that says where colour is; pictures with a coloured square in."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.localize import MapRecipe, class_maps
from globalpool.training import RunFolder, load_run
from globalpool.training.architecture import Architecture, Call
from globalpool.training.files import write_tensors
from tests.cli.folders import run

SIDE, SQUARE = 48, 16
SPEC = InputSpec(SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def write_run(folder: Path) -> Path:
    """One convolution that hands the three colours on; classes red, green and blue."""
    architecture = Architecture(Call("convnet", (3,)), Call("Mean"), ("red", "green", "blue"), SPEC)
    classifier = architecture.build()
    convolution = next(layer for layer in classifier.trunk.modules() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        convolution.weight.zero_()
        for channel in range(3):
            convolution.weight[channel, channel, 1, 1] = 1
        assert isinstance(classifier.tail, nn.Linear)
        classifier.tail.weight.copy_(20 * torch.eye(3))
        classifier.tail.bias.zero_()
    RunFolder.create(folder, {"architecture": architecture.record(), "sizes": {"native": True}})
    write_tensors(folder / "best.safetensors", classifier.state_dict(), {})
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 dim grey pictures of two sizes with a bright square of one colour, away from the middle."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    lines = ["path,x,y,width,height,label"]
    for number in range(40):
        height, width = ((SIDE, SIDE), (32, 64))[number % 2]
        picture = random.integers(20, 40, (height, width, 3)).astype(np.uint8)
        x, y, channel = int(random.integers(width - SQUARE)), int(random.integers(height - SQUARE)), number % 3
        picture[y : y + SQUARE, x : x + SQUARE, channel] = 250
        Image.fromarray(picture).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{x},{y},{SQUARE},{SQUARE},{('red', 'green', 'blue')[channel]}")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return folder / "boxes.csv"


def rows(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as read:
        return list(csv.DictReader(read))


def box(row: dict[str, str]) -> list[float]:
    return [float(row[name]) for name in ("x", "y", "width", "height")]


def test_a_table_is_split_judged_and_drawn(
    capsys: pytest.CaptureFixture[str], trained: Path, table: Path, tmp_path: Path
) -> None:
    code, text, _ = run(
        capsys, "localize", str(trained), str(table), "--out", str(tmp_path / "a"), "--scales", "1", "--masks"
    )
    assert code == 0
    found, truth = rows(tmp_path / "a" / "boxes.csv"), rows(table)
    assert [Path(row["path"]).name for row in found] == [row["path"] for row in truth], "all, in their order"
    assert [row["part"] for row in found].count("calibration") == 20
    assert {row["kind"] for row in found} == {"conformal"}
    shares = []
    for row, true in zip(found, truth, strict=True):
        assert box(row) == box(true), "half-open, in pixels of the picture"
        assert row["class"] == true["label"]
        mask = np.asarray(Image.open(next((tmp_path / "a" / "masks").glob(f"*_{Path(row['path']).stem}.png"))))
        x, y, width, height = map(int, box(true))
        inside = mask[y : y + height, x : x + width]
        assert set(np.unique(mask)) == {0, 255}
        assert mask.sum() == inside.sum()
        shares.append(inside.mean() / 255)
    assert sum(shares) / 40 >= 0.9, "as promised, on average"
    assert "MaxBoxAcc 1.000 [1.000, 1.000] over 20 pictures" in text
    assert "MaxBoxAccV2 1.000 [1.000, 1.000] over 20 pictures" in text
    assert text.count("  centre baseline ") == text.count("  random boxes ") == 2
    assert text.count("threshold validation") == 2
    assert "evidence > 0: " in text
    assert "right in 20 of 20 pictures" in text
    assert (tmp_path / "a" / "scores.txt").read_text() in text


def test_the_kinds_of_threshold(capsys: pytest.CaptureFixture[str], trained: Path, table: Path, tmp_path: Path) -> None:
    pictures = str(table.parent / "*.png")
    for number, (inputs, arguments, kind) in enumerate(
        (
            (pictures, (), "zero"),
            (pictures, ("--calibrate", str(table)), "conformal"),
            (pictures, ("--calibrate", str(table), "--threshold", "boxes"), "validation"),
            (pictures, ("--threshold", "0.25"), "given"),
            (str(table), ("--threshold", "oracle"), "oracle"),
            (str(table), ("--threshold", "0.25"), "given"),
            (str(table), ("--threshold", "zero", "--evidence", "centered"), "zero"),
        )
    ):
        out = tmp_path / str(number)
        code, text, _ = run(capsys, "localize", str(trained), inputs, "--out", str(out), *arguments)
        assert code == 0
        found = rows(out / "boxes.csv")
        assert len(found) == 40
        assert {row["kind"] for row in found} == {kind}
        if kind == "given":
            assert {row["threshold"] for row in found} == {"0.25"}
        assert ("MaxBoxAccV2" in text) == (inputs == str(table))
        assert ("MaxBoxAcc (oracle)" in text) == (kind == "oracle")


def test_given_calibration_leaves_the_table_whole(
    capsys: pytest.CaptureFixture[str], trained: Path, table: Path, tmp_path: Path
) -> None:
    lines = table.read_text().splitlines()
    first, second = table.parent / "first.csv", table.parent / "second.csv"
    first.write_text("\n".join(lines[:21]))
    second.write_text("\n".join([lines[0], *lines[21:]]))
    arguments = ("--calibrate", str(first), "--out", str(tmp_path / "a"), "--scales", "0.75,1,1.5")
    code, text, _ = run(capsys, "localize", str(trained), str(second), *arguments)
    assert code == 0
    assert "over 20 pictures" in text
    assert {row["part"] for row in rows(tmp_path / "a" / "boxes.csv")} == {"judged"}


def test_pictures_that_cannot_be_read_do_not_stop_the_others(
    capsys: pytest.CaptureFixture[str], trained: Path, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    Image.fromarray(np.full((9, 7, 3), 60, np.uint8)).save(tmp_path / "even.png")
    code, text, _ = run(
        capsys, "localize", str(trained), str(tmp_path), "--out", str(tmp_path / "a"), "--evidence", "contrast"
    )
    assert code == 0
    assert "1 could not be read or located" in text
    assert Path(rows(tmp_path / "a" / "errors.csv")[0]["path"]).name == "broken.png"
    (row,) = rows(tmp_path / "a" / "boxes.csv")
    assert (row["x"], row["width"]) == ("", ""), (
        "no evidence for one class over another: no box, and a row that says so"
    )


def slow_evidence(classifier: PooledClassifier, x: torch.Tensor) -> NDArray[np.float64]:
    """Of the first class over the second, position by position, for one input."""
    assert isinstance(classifier.tail, nn.Linear)
    with torch.no_grad():
        features = classifier.features(x)[0].double().numpy()
    weight = classifier.tail.weight.detach().double().numpy()
    _, height, width = features.shape
    given = np.zeros((height, width))
    for row, column in np.ndindex(height, width):
        for channel in range(3):
            part = (weight[0, channel] - weight[1, channel]) * features[channel, row, column]
            given[row, column] += part / (height * width)
    return given


def test_maps_equal_the_loop_and_several_sizes_add_up(trained: Path) -> None:
    """One vector on every row of the tail changes no contrast; sizes weigh alike, in logits."""
    classifier = load_run(trained)
    assert isinstance(classifier.tail, nn.Linear)
    x = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([0, 0])
    with torch.no_grad():
        classifier.tail.bias.copy_(torch.tensor([0.0, 0.0, -99.0]))  # the strongest other is the second
    one = class_maps(classifier, x, classes=ids, recipe=MapRecipe("contrast")).maps.values
    several = MapRecipe("contrast", (0.5, 1.0))
    found = class_maps(classifier, x, (48, 64), classes=ids, recipe=several).maps.values
    small = nn.functional.interpolate(x, (12, 16), mode="bilinear", align_corners=False, antialias=True)
    for sample in range(2):
        whole = slow_evidence(classifier, x[sample : sample + 1])
        half = slow_evidence(classifier, small[sample : sample + 1])
        np.testing.assert_allclose(one[sample], whole, atol=1e-7)
        assert found[sample].shape == (48, 64)
        assert found[sample].sum() == pytest.approx((whole.sum() + half.sum()) / 2, rel=1e-4)
    with torch.no_grad():
        classifier.tail.weight += 7.0
    moved = class_maps(classifier, x, (48, 64), classes=ids, recipe=several).maps.values
    np.testing.assert_allclose(np.stack(moved), np.stack(found), atol=1e-6)


def test_requests_that_cannot_be_met_end_with_a_sentence(
    capsys: pytest.CaptureFixture[str], trained: Path, table: Path, tmp_path: Path
) -> None:
    pictures, out = str(table.parent / "*.png"), str(tmp_path / "out")
    odd = tmp_path / "odd.csv"
    cases: tuple[tuple[str, tuple[str, ...], str], ...] = (
        (
            pictures,
            ("--evidence", "raw"),
            "--threshold: expected pictures with known boxes; got none. Give --calibrate",
        ),
        (pictures, ("--threshold", "boxes"), "--threshold: expected pictures with known boxes; got none."),
        (pictures, ("--threshold", "oracle"), "expected a table of true boxes as INPUT for oracle; got pictures"),
        (pictures, ("--threshold", "zero", "--evidence", "raw"), "expected contrast or centered evidence for zero"),
        (pictures, ("--threshold", "1.5"), "expected a share of each map's range, from 0 to below 1; got 1.5."),
        (pictures, ("--scales", "1,big"), "--scales: expected factors from 0.05 to 20 separated by commas"),
        (str(table), ("--share", "1"), "--share: expected a share between 0 and 1; got 1.0."),
        (str(tmp_path / "gone.csv"), (), "gone.csv: expected a CSV file; got no such file."),
        (str(table), ("--alpha", "0.01"), "calibrate: expected 99 pictures or more for alpha 0.01; got 20."),
    )
    for inputs, arguments, message in cases:
        code, _, error = run(capsys, "localize", str(trained), inputs, "--out", out, *arguments)
        assert code == 2
        assert message in error
        if Path(out).exists():
            assert "alpha" in message, "nothing is made before the request is understood"
            for file in Path(out).iterdir():
                file.unlink()
    for line, message in (
        ("path,x,y,w,h\na.png,1,2,3,4", "line 1: expected the columns path, x, y, width and height; got path,x,y,w,h."),
        ("path,x,y,width,height\na.png,1,2,0,4", "line 2: expected `width` as a number above 0, in pixels; got '0'."),
        ("path,x,y,width,height\na.png,1,b,2,4", "line 2: expected `y` as a number of 0 or more, in pixels; got 'b'."),
        ("path,x,y,width,height\n,1,1,2,4", "line 2: expected a path; got an empty cell."),
        (
            "path,x,y,width,height,label\na.png,1,1,2,4,a\na.png,1,1,2,4,b",
            "line 3: expected one label for each picture, 'a' as above; got 'b'.",
        ),
        ("path,x,y,width,height\n", "expected a row for each box; got no row below the header."),
        (
            f"path,x,y,width,height\n{table.parent / '0.png'},30,30,40,44",
            "expected boxes inside the picture of 48 x 48 pixels; got x, y, width, height 30, 30, 40, 44. A box is its",
        ),
    ):
        odd.write_text(line)
        code, _, error = run(capsys, "localize", str(trained), str(odd), "--out", str(tmp_path / "b"))
        assert code == 2
        assert message in error
        for file in (tmp_path / "b").iterdir() if (tmp_path / "b").exists() else ():
            file.unlink()
