"""Options and commands: printed, read from a file, and asked back for."""

from pathlib import Path

import pytest

from globalpool.cli.main import build_parser, main
from globalpool.cli.parsers import suggestion


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (("train", "x", "--out", "y", "--epoch_s", "3"), "Did you mean --epochs?"),
        (("explain", "--sizes", "3"), "Did you mean --size?"),
        (("slim", "m", "--data", "d", "--out", "o", "--pol=max"), "Did you mean --pool?"),
        (("trian",), "Did you mean train?"),
        (("predikt", "--x"), "Did you mean predict?"),
        (("train", "x", "--out", "y", "--mode", "frosen"), "Did you mean frozen?"),
    ],
)
def test_unknown_names_get_a_suggestion(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], question: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert question in capsys.readouterr().err


def test_names_like_nothing_get_none() -> None:
    assert suggestion("unrecognized arguments: --qqqq", ["--epochs"]) == ""
    assert suggestion("something else", ["--epochs"]) == ""


def test_a_printed_config_is_read_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "x", "--out", "y", "--epochs", "7", "--pool", "grid(2, 2)", "--print_config"])
    assert stop.value.code == 0
    (tmp_path / "config.yaml").write_text(capsys.readouterr().out)
    parsed = build_parser().parse_args(["train", "--config", str(tmp_path / "config.yaml"), "z"]).as_dict()["train"]
    assert (parsed["epochs"], parsed["pool"], parsed["out"], parsed["data"]) == (7, "grid(2, 2)", "y", "z")


def test_every_option_of_training_has_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "passes over the training samples",
        "decay of an exponential moving average",
        "frozen leaves the trunk",
    ):
        assert words in text
