"""``globalpool audit``: lines, files and exit codes, on a hand-made run and folders of pictures."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from globalpool.audits import ALL, Audit, Finding
from tests.cli.folders import run
from tests.cli.test_localize import write_run

NAMES = [audit.name for audit in ALL]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures a class, a bright square of the class's colour in each."""
    folder = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir()
        for number in range(4):
            picture = random.integers(20, 60, (48, 48, 3)).astype(np.uint8)
            picture[8:40, 8:40, channel] = random.integers(180, 250, (32, 32))
            Image.fromarray(picture).save(folder / name / f"{number}.png")
    return folder


def test_each_finding_is_two_lines_and_all_of_them_a_json_and_a_page(
    trained: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "audit"
    arguments = ("audit", str(trained), str(labelled), "--out", str(out), "--budget", "2m", "--samples", "8")
    code, said, _ = run(capsys, *arguments)
    assert code == 0
    assert "data: 8 pictures, their labels" in said
    assert [line.split(" ")[0] for line in said.splitlines() if line.split(" ")[0] in NAMES] == NAMES
    records = json.loads((out / "audit.json").read_text())
    assert [record["audit"] for record in records] == NAMES
    for record in records:
        assert {"audit", "measured", "predicted", "unit", "verdict", "table"} <= set(record)
        assert record["verdict"] in ("pass", "fail", "info", "not applicable")
        assert all(len(row) == len(record["table"]["columns"]) for row in record["table"]["rows"])
    page = (out / "index.html").read_text()
    assert all(f'id="{name}"' in page for name in NAMES)
    assert "http" not in page.replace("http-equiv", "")
    drawn = {record["audit"] for record in records if (out / "figures" / f"{record['audit']}.png").is_file()}
    assert {"resolution", "shift", "noise", "mixing"} <= drawn


def test_strict_ends_with_one_where_an_audit_fails_and_only_chooses(
    trained: Path, labelled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said, _ = run(capsys, "audit", str(trained), str(labelled), "--only", "mixing", "--strict")
    assert code == 0
    assert said.splitlines()[-1].startswith("1 audits in")
    assert said.endswith("failed: none\n")
    failing = Audit("failing", "Does it?", lambda classifier, data: Finding("failing", "", "fail", "It does."))
    monkeypatch.setattr("globalpool.cli.audit.ALL", (*ALL, failing))
    code, said, _ = run(capsys, "audit", str(trained), str(labelled), "--only", "mixing,failing", "--strict")
    assert code == 1
    assert said.endswith("failed: failing\n")
    assert run(capsys, "audit", str(trained), str(labelled), "--only", "failing")[0] == 0


def test_pictures_without_labels_are_held_to_the_models_own_classes(
    trained: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(path) for path in sorted(labelled.rglob("*.png"))[::5]]
    code, said, _ = run(capsys, "audit", str(trained), *files, "--only", "mixing")
    assert code == 0
    assert "no labels the model knows: its own top classes take their place" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--only", "resolutoin"),
            "--only: expected names among resolution, .*; got 'resolutoin'. Did you mean 'resol",
        ),
        (("--budget", "soon"), "--budget: expected a positive time, as in 60s or 3m; got 'soon'"),
        (("--budget", "-3s"), "--budget: expected a positive time, as in 60s or 3m; got '-3s'"),
        (("--samples", "0"), "--samples: expected 1 or more; got 0"),
    ],
)
def test_options_that_cannot_be_meant_are_named(
    trained: Path, labelled: Path, arguments: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = run(capsys, "audit", str(trained), str(labelled), f"{arguments[0]}={arguments[1]}")
    assert code == 2
    assert re.search(message, said)


def test_a_folder_in_use_is_refused_before_any_work(
    trained: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    code, _, said = run(capsys, "audit", str(trained), str(labelled), "--out", str(tmp_path))
    assert code == 2
    assert "a new or empty folder; got one with other files" in said


def test_boxes_of_a_table_are_what_localisation_is_judged_on(
    trained: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(labelled.rglob("*.png"))
    table = tmp_path / "boxes.csv"
    rows = [f"{path.resolve()},0,0,8,8" for path in files]
    table.write_text("\n".join(["path,x,y,width,height", *rows]), encoding="utf-8")
    command = ("audit", str(trained), str(labelled), "--only", "localisation", "--samples", "8")
    assert "needs true boxes: --boxes TABLE" in run(capsys, *command)[1]
    code, said, _ = run(capsys, *command, "--boxes", str(table))
    assert code == 0
    assert "not applicable" not in said
    table.write_text("path,x,y,width,height\nelsewhere.png,0,0,8,8\n", encoding="utf-8")
    code, _, wrong = run(capsys, *command, "--boxes", str(table))
    assert code == 2
    assert "--boxes: expected a table with boxes of these pictures; got none of 8 in" in wrong
