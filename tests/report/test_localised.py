"""What a run's report says of boxes: numbers of the library on the pictures held out, thresholds of others."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.data import BoxedPicture, Native, read_picture
from globalpool.errors import DataError
from globalpool.localize import Heatmaps, MapRecipe, class_maps, max_box_accuracy_v2
from globalpool.pools import Mean
from globalpool.report.localised import localise
from tests.cli.folders import run

SIDE, SQUARE = 40, 14
COLOURS = ("blue", "green", "red")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of dim pictures with a square of the class's colour, and boxes.csv beside them."""
    top = tmp_path_factory.mktemp("squares")
    random = np.random.default_rng(0)
    lines = ["path,x,y,width,height"]
    for number in range(60):
        name = COLOURS[number % 3]
        picture = random.integers(20, 60, (SIDE, SIDE, 3)).astype(np.uint8)
        x, y = (int(random.integers(SIDE - SQUARE)) for _ in range(2))
        picture[y : y + SQUARE, x : x + SQUARE, 2 - number % 3] = 250
        path = top / "pictures" / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
        lines.append(f"pictures/{name}/{number}.png,{x},{y},{SQUARE},{SQUARE}")
    (top / "boxes.csv").write_text("\n".join(lines) + "\n")
    return top


def boxed(folder: Path) -> list[BoxedPicture]:
    lines = [line.split(",") for line in (folder / "boxes.csv").read_text().splitlines()[1:]]
    return [BoxedPicture(folder / line[0], np.array([line[1:]], np.float64), None) for line in lines]


def colours() -> PooledClassifier:
    """Evidence is where the colour is."""
    tail = nn.Linear(3, 3)
    with torch.no_grad():
        tail.weight.copy_(20 * torch.eye(3).flip(0))
        tail.bias.zero_()
    spec = InputSpec(SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return PooledClassifier(nn.AvgPool2d(4), Mean(), tail, labels=COLOURS, input_spec=spec).eval()


def test_thresholds_come_from_the_other_pictures(folder: Path) -> None:
    classifier, known = colours(), boxed(folder)
    found = localise(classifier, known[:20], known[20:], Native())
    maps = []
    for one in known:
        x = torch.from_numpy(read_picture(one.path).pixels.copy()).permute(2, 0, 1)[None] / 255
        maps.append(class_maps(classifier, x, recipe=MapRecipe("contrast")).maps.values[0])
    boxes = [one.boxes for one in known]
    expected = max_box_accuracy_v2(
        Heatmaps(tuple(maps[20:]), "contrast"),
        boxes[20:],
        validation=(Heatmaps(tuple(maps[:20]), "contrast"), boxes[:20]),
    )
    assert found.accuracy.rows == expected.rows
    assert found.accuracy.chosen == "validation"
    assert found.accuracy.samples == 40
    assert "chosen on 20 of validation pictures" in found.how
    halves = localise(classifier, [], known, Native())
    assert halves.accuracy.samples == 30
    assert "30 of the other half of the pictures with boxes" in halves.how


def test_boxes_outside_their_picture_are_refused(folder: Path) -> None:
    known = boxed(folder)
    wrong = BoxedPicture(known[0].path, np.array([[30.0, 30.0, 14.0, 14.0]]), None)
    with pytest.raises(
        DataError, match=r"expected boxes inside the picture of 40 x 40 pixels; got x, y, width, height"
    ):
        localise(colours(), [wrong], known[1:], Native())
    with pytest.raises(DataError, match=r"to choose thresholds on and to judge; got 1 and 0 that can be read"):
        localise(colours(), [], known[:1], Native())


def test_train_with_boxes_reports_localisation(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    out, table = tmp_path / "run", tmp_path / "boxes.csv"
    table.write_text((folder / "boxes.csv").read_text().replace("pictures/", f"{folder}/pictures/"))
    options = ("--trunk", "convnet(8)", "--epochs", "2", "--learning_rate", "0.02", "--test", "0.3")
    code, text, _ = run(capsys, "train", str(folder / "pictures"), "--out", str(out), *options, "--boxes", str(table))
    assert code == 0
    report = json.loads((out / "report.json").read_text())
    found = report["localisation"]
    assert found["metric"] == "MaxBoxAccV2"
    assert found["pictures"] == report["accuracy"]["count"] == 18
    assert [row["iou"] for row in found["rows"]] == [0.3, 0.5, 0.7]
    html = (out / "report.html").read_text()
    assert "<h2>Localisation</h2>" in html
    value = found["accuracy"]["value"]
    assert f"MaxBoxAccV2 {value:.3f} [" in html
    assert f"MaxBoxAccV2 {value:.3f} [" in text
    # Finished again without the table: a note, and the rest of the report.
    table.unlink()
    code, text, _ = run(capsys, "resume", str(out))
    assert code == 0
    assert "note: no localisation in the report: " in text
    assert "<h2>Localisation</h2>" not in (out / "report.html").read_text()
    code, _, error = run(
        capsys, "train", str(folder / "pictures"), "--out", str(tmp_path / "new"), "--boxes", str(table)
    )
    assert code == 2
    assert "boxes.csv: expected a CSV file; got no such file." in error
