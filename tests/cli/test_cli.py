"""The command line, run as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from globalpool import pools
from globalpool.cli.main import main
from globalpool.data import photographs
from tests.cli.folders import run


def test_explain_prints_the_table_and_writes_the_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cat = next(str(path) for path in photographs() if path.name == "chelsea.png")
    out = tmp_path / "out"
    code, text, _ = run(capsys, "explain", cat, str(tmp_path / "gone.png"), "--classes", "top2", "--out", str(out))
    assert code == 0
    assert re.search(r"chelsea.png +Egyptian cat +0\.77\d", text)
    assert "evidence: linear; largest residual " in text
    assert re.search(r"not explained: .*gone.png: expected a readable picture file; got no such file\.", text)
    assert f"report: {out / 'index.html'}" in text
    assert {path.name for path in out.iterdir()} == {
        "index.html",
        "predictions.csv",
        "errors.csv",
        "evidence.npz",
        "pictures",
    }


def test_named_classes_and_native_size(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    coffee = next(str(path) for path in photographs() if path.name == "coffee.png")
    options = ["--classes", "espresso, 504", "--size", "native", "--out", str(tmp_path / "out")]
    code, text, _ = run(capsys, "explain", coffee, *options)
    assert code == 0
    assert "espresso" in text
    assert "coffee mug" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model", "efficientnet_lite"],
            "model: expected one of `globalpool models`, timm, torchvision, or a file; got efficientnet_lite. "
            "Did you mean 'efficientnet_lite0'?",
        ),
        (["--classes", "expresso"], "got 'expresso'. Did you mean 'espresso'?"),
        (["--classes", "top0"], 'expected `classes` to be "all", "top1" to "top1000"'),
    ],
)
def test_requests_that_cannot_be_met_end_with_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, error = run(capsys, "explain", "--out", str(tmp_path / "out"), *arguments)
    assert code == 2
    assert message in error


def test_nothing_readable_is_exit_code_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, text, _ = run(capsys, "explain", str(tmp_path / "gone.png"), "--out", str(tmp_path / "out"))
    assert code == 1
    assert "evidence: none" in text


def test_sizes_and_folders_that_cannot_be_end_with_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for size in ("0", "-5"):
        code, _, error = run(capsys, "explain", "--size", size, "--out", str(tmp_path / "out"))
        assert code == 2
        assert "--size: expected a positive number of pixels" in error
    (tmp_path / "file").write_text("")
    code, _, error = run(capsys, "explain", "--out", str(tmp_path / "file" / "out"))
    assert code == 2
    assert "Check the output folder and the disk." in error
    assert not (tmp_path / "out").exists()


def test_ctrl_c_says_what_is_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("globalpool.cli.explain.run", interrupted)
    code, _, error = run(capsys, "explain")
    assert code == 130
    assert "stopped; what was finished is in the output folder" in error


def test_a_name_of_two_classes_asks_for_an_id(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, error = run(capsys, "explain", "--classes", "crane", "--out", str(tmp_path / "out"))
    assert code == 2
    assert "expected a name of one class; got 'crane', ids 134 and 517. Give an id." in error


def test_options_from_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text(f"classes: top1\nout: {tmp_path / 'out'}\n")
    cat = next(str(path) for path in photographs() if path.name == "chelsea.png")
    code, text, _ = run(capsys, "explain", "--config", str(config), cat)
    assert code == 0
    assert "Egyptian cat" in text
    assert "tabby" not in text


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["explain", "--sizes", "3"])
    assert stop.value.code == 2
    assert "--sizes" in capsys.readouterr().err


def test_lists_name_every_pool_and_model(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, "pools")
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()] == [pool.__name__.lower() for pool in pools.ALL]
    code, text, _ = run(capsys, "models")
    assert text.startswith("efficientnet_lite0 ")


def test_help_does_not_import_torch() -> None:
    program = (
        "import sys\nfrom globalpool.cli.main import main\n"
        "try:\n    main(['explain', '--help'])\n"
        "finally:\n    print('HEAVY', [m for m in ('torch', 'numpy', 'PIL', 'timm') if m in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "HEAVY []" in result.stdout
    for option in ("--model", "--classes", "--size", "--out", "--overwrite"):
        assert option in result.stdout
