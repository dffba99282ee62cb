"""Signals of any length through the same verbs as pictures."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from globalpool.cli import main
from globalpool.data import split_examples
from globalpool.data.check_kinds import check_kind
from globalpool.data.kind_batches import kind_evaluation_batches, kind_training_batches
from globalpool.data.kinds import kind_of, read_inputs
from globalpool.data.signals import Signals
from globalpool.data.tables import read_examples
from globalpool.errors import DataError, GlobalPoolError
from globalpool.layout import Padded
from globalpool.models import convnet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of two-channel signals: a slow bump up or down somewhere in noise, 40 to 120 values long."""
    root = tmp_path_factory.mktemp("signals")
    random = np.random.default_rng(0)
    for sign, name in ((1, "up"), (-1, "down")):
        (root / name).mkdir()
        for number in range(24):
            values = random.normal(size=(2, random.integers(40, 120))) * 0.3
            place = random.integers(0, values.shape[1] - 20)
            values[0, place : place + 20] += sign * 2
            np.save(root / name / f"{number:02d}.npy", values.astype(np.float32))
    return root


def test_the_kind_of_a_folder_and_of_a_table_is_seen_from_its_files(folder: Path, tmp_path: Path) -> None:
    assert kind_of(folder) is Signals
    table = tmp_path / "labels.csv"
    lines = [f"{file},{file.parent.name}" for file in sorted(folder.rglob("*.npy"))]
    table.write_text("\n".join(["path,label", *lines]), encoding="utf-8")
    assert kind_of(table) is Signals
    data = read_examples(table, Signals)
    assert len(data) == 48
    assert data.classes == ("down", "up")


def test_mean_and_deviation_are_those_of_all_values_of_a_channel(folder: Path) -> None:
    files = sorted(folder.rglob("*.npy"))
    inputs = Signals.planned(files, {"rate": "50"})
    values = np.concatenate([np.load(file) for file in files], 1).astype(np.float64)
    assert inputs.mean == pytest.approx(values.mean(1), rel=1e-9)
    assert inputs.std == pytest.approx(values.std(1), rel=1e-9)
    assert read_inputs(json.loads(json.dumps(inputs.record()))) == inputs
    sample = inputs.prepare(inputs.read(files[0])).double().numpy()
    expected = (np.load(files[0]).astype(np.float64) - values.mean(1)[:, None]) / values.std(1)[:, None]
    np.testing.assert_allclose(sample, expected, rtol=1e-5, atol=1e-6)


def test_appended_padding_another_length_and_another_batch_change_nothing(folder: Path) -> None:
    torch.manual_seed(0)
    files = sorted(folder.rglob("*.npy"))[:6]
    inputs = Signals.planned(files, {})
    samples = [inputs.prepare(inputs.read(file)).double() for file in files]
    classifier = convnet(1, 2, 3, (8, 16), depth=2).double().eval()
    alone = torch.cat([classifier(x[None]) for x in samples])
    (together,) = inputs.collate(samples)
    padded = Padded(torch.nn.functional.pad(together.values, (0, 77)), together.sizes)
    for batch in (together, padded):
        torch.testing.assert_close(classifier(batch), alone, rtol=1e-12, atol=1e-12)
        maps = classifier.evidence(batch, "all").check().maps
        for number, x in enumerate(samples):
            own = classifier.evidence(x[None], "all").maps[0]
            torch.testing.assert_close(maps[number, :, : own.shape[1]], own, rtol=1e-12, atol=1e-12)
            assert not bool(maps[number, :, own.shape[1] :].any())
    (pair,) = inputs.collate([samples[4], samples[1]])
    torch.testing.assert_close(classifier(pair), alone[[4, 1]], rtol=1e-12, atol=1e-12)


def test_every_signal_comes_once_an_epoch_with_those_of_like_length(folder: Path) -> None:
    data = read_examples(folder, Signals)
    inputs = Signals.planned([example.path for example in data.examples], {})
    split = split_examples(data)
    batches = kind_training_batches(data, split.train, inputs, 8, seed=3)
    seen: list[int] = []
    for batch in batches:
        (part,) = batch.parts
        sizes = part.sizes[:, 0].tolist()
        assert sizes == [data.examples[index].size[0] for index in batch.indices.tolist()]
        seen += batch.indices.tolist()
    assert sorted(seen) == sorted(split.train)
    judged = [index for batch in kind_evaluation_batches(data, split.test, inputs, 5) for index in batch.indices]
    assert sorted(map(int, judged)) == list(split.test)


def test_train_resume_predict_explain_and_check_by_the_commands_of_pictures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, files = tmp_path / "run", [str(folder / "up" / "00.npy"), str(folder / "down" / "01.npy")]
    command = [
        "train",
        str(folder),
        "--out",
        str(run),
        "--epochs",
        "8",
        "--learning_rate",
        "0.02",
        "--inputs",
        "rate=10",
    ]
    assert main([*command, "--trunk", "convnet(8, 16)"]) == 0
    assert "2 classes, 48 signals" in capsys.readouterr().out
    assert (run / "report.html").is_file()
    assert main(["resume", str(run)]) == 0
    assert main(["predict", str(run), *files, "--out", str(tmp_path / "said")]) == 0
    rows = table_of(tmp_path / "said" / "predictions.csv")
    assert [row["class"] for row in rows] == ["up", "down"]
    assert main(["explain", *files, "--model", str(run), "--out", str(tmp_path / "why")]) == 0
    said = {row["path"]: row for row in table_of(tmp_path / "why" / "predictions.csv")}
    for number, file in enumerate(files):
        table = table_of(tmp_path / "why" / "pictures" / f"{number:05d}.csv")
        assert float(table[-1]["end (seconds)"]) == pytest.approx(np.load(file).shape[1] / 10)
        (name,) = [name for name in table[0] if name == f"class {said[file]['class_id']}"]
        given = sum(float(row[name]) for row in table)
        with np.load(tmp_path / "why" / "evidence.npz") as kept:
            ids = kept[f"{number:05d}/classes"].tolist()
            place = ids.index(int(said[file]["class_id"]))
            whole = float(kept[f"{number:05d}/logits"][place] - kept[f"{number:05d}/offset"][place])
        assert given == pytest.approx(whole, abs=1e-5)
    capsys.readouterr()
    assert main(["check", str(folder)]) == 0
    assert "2 classes, 48 signals" in capsys.readouterr().out.replace("classes: 2 (down 24, up 24)", "2 classes")


def test_what_cannot_be_read_or_meant_is_said(folder: Path, tmp_path: Path) -> None:
    inputs = Signals((0.0, 0.0), (1.0, 1.0))
    bad = tmp_path / "bad.npy"
    np.save(bad, np.zeros((3, 9)))
    with pytest.raises(DataError, match=r"expected 2 channels; got 3 channels\. Put time along the axis"):
        inputs.read(bad)
    np.save(bad, np.full((2, 9), np.nan))
    with pytest.raises(DataError, match=r"expected finite numbers; got NaN or Inf in 18 places\. Fill the gaps"):
        Signals.facts(bad)
    bad.write_bytes(b"no array")
    with pytest.raises(DataError, match="expected an array or a table of numbers; got"):
        inputs.read(bad)
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n3,x\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected 2 numbers in every row; got '3,x' in row 2"):
        Signals.facts(table)
    with pytest.raises(DataError, match="expected rate and axis of signals; got bands"):
        Signals.planned([], {"bands": "3"})
    with pytest.raises(GlobalPoolError, match="--flip: expected an option of pictures beside pictures, not signals"):
        main_raises(["train", str(folder), "--out", str(tmp_path / "no"), "--flip", "0.5"])
    assert [finding.kind for finding in check_kind(tmp_path, Signals).findings] == ["no data set"]


def table_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def main_raises(command: list[str]) -> None:
    """Run a command's own function, past the printing of errors."""
    from globalpool.cli.main import build_parser
    from globalpool.cli.options import TrainOptions
    from globalpool.cli.train import run

    known = vars(build_parser().parse_args(command)["train"])
    run(TrainOptions(**{name: value for name, value in known.items() if name in TrainOptions.__dataclass_fields__}))


def test_a_table_has_its_moments_in_rows(tmp_path: Path) -> None:
    values = np.arange(12.0).reshape(6, 2)
    file = tmp_path / "a.csv"
    np.savetxt(file, values, delimiter=",", header="left,right", comments="")
    inputs = Signals.planned([file], {})
    assert inputs.axis == "first"
    np.testing.assert_array_equal(inputs.read(file).values, values.T.astype(np.float32))
    assert Signals.facts(file).size == (6,)


def test_a_channel_that_never_changes_stays_small_in_files_where_it_does(tmp_path: Path) -> None:
    # Sums of squares of 2.0031817 leave a deviation of 3e-8: divided by it, 0.01 would become 3e5.
    random = np.random.default_rng(0)
    files = []
    for number in range(200):
        still = np.full(int(random.integers(80, 300)), 2.0031817, dtype=np.float32)
        np.save(tmp_path / f"{number}.npy", np.stack([still, random.normal(size=len(still)).astype(np.float32)]))
        files.append(tmp_path / f"{number}.npy")
    for count in range(20, 200, 20):
        assert Signals.planned(files[:count], {}).std[0] == 1.0
