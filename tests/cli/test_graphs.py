"""Molecules in a table through ``train``, ``predict`` and ``explain``: the same commands as pictures."""

import csv
import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from globalpool.cli.main import main
from globalpool.models import GraphTrunk
from globalpool.training import load_run

CHAINS = ("C", "N", "O", "CC", "CN", "CO", "CS", "NN")


def table(folder: Path) -> Path:
    """Chains that end in an oxygen or in a chlorine, and one broken line."""
    rows = [f"{'C' * length}{chain}{end},{name}" for end, name in (("O", "water"), ("Cl", "oil"))
            for length in range(1, 5) for chain in CHAINS]  # fmt: skip
    file = folder / "molecules.csv"
    file.write_text("\n".join(["smiles,label", *rows, "C1CC,oil"]) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("trunk", ["gin(8, 8)", "gcn(8, 8)"])
def test_a_table_of_smiles_trains_predicts_and_explains(
    trunk: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = table(tmp_path), tmp_path / "run"
    text = io.StringIO()
    with redirect_stdout(text):
        options = ("--trunk", trunk, "--pool", "sum", "--epochs", "15", "--batch", "16", "--learning_rate", "0.02")
        assert main(["train", str(file), "--out", str(out), *options, "--seed", "1"]) == 0
    assert "molecules.csv, line 66: expected a molecule as SMILES; got 'C1CC'" in text.getvalue()
    classifier = load_run(out)
    assert isinstance(classifier.trunk, GraphTrunk)
    assert classifier.input_spec.nodes == "atoms"
    new = tmp_path / "new.smi"
    new.write_text("CCCCCCO long\nCCCCCCCl longer\nnothing\n", encoding="utf-8")
    assert main(["predict", str(out), str(new), "--out", str(tmp_path / "predicted")]) in (0, 1)
    with (tmp_path / "predicted" / "predictions.csv").open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert [cell for row in rows[1:3] for cell in row if cell in ("water", "oil")][:2] == ["water", "oil"], rows
    explained = tmp_path / "explained"
    assert main(["explain", "--model", str(out), f"{new}#1", "--out", str(explained)]) == 0
    tables = [found for found in explained.rglob("*.csv") if "element" in found.read_text(encoding="utf-8")]
    assert len(tables) == 1
    assert list(explained.rglob("*.png"))
