"""Models by name and by file: what is taken, what is said, what is refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from globalpool.classifier import PooledClassifier
from globalpool.cli.libraries import build
from globalpool.cli.networks import classifier_of, network_named
from globalpool.errors import AdoptionError, EvidenceError, GlobalPoolError
from tests.cli.folders import coloured_folder, run


def test_a_plain_name_and_a_name_with_its_library_are_one_network() -> None:
    plain, full = network_named("test_resnet"), network_named("timm:test_resnet")
    assert plain.architecture == full.architecture == "timm:test_resnet"
    for one, other in zip(plain.module.parameters(), full.module.parameters(), strict=True):
        assert torch.equal(one, other), "random numbers, but the same at every call"
    assert plain.notes == (
        "timm:test_resnet has RANDOM weights: nothing is downloaded; give trained ones by --weights FILE.",
    )
    assert not plain.module.training
    assert plain.spec.size == 160
    assert plain.labels is not None
    assert len(plain.labels) == 1000


def test_building_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build("timm", "test_resnet")
    assert torch.equal(torch.rand(3), expected)


def test_timm_comes_first_where_both_know_a_name_and_it_is_said() -> None:
    network = network_named("resnet18")
    assert network.architecture == "timm:resnet18"
    assert network.notes[0] == (
        "resnet18 is a name of timm and of torchvision; this is timm's (torchvision:resnet18 is the other)."
    )
    other = network_named("torchvision:resnet18")
    assert other.module.__class__.__module__.startswith("torchvision.")
    assert other.spec.size == 224
    assert other.spec.mean == (0.485, 0.456, 0.406)
    assert other.labels is not None
    assert other.labels[285] == "Egyptian cat"
    assert len(other.notes) == 1
    assert "RANDOM" in other.notes[0]


def test_a_torchvision_name_needs_no_prefix() -> None:
    assert network_named("squeezenet1_1").architecture == "torchvision:squeezenet1_1"


def test_a_head_that_starts_with_zeros_gets_numbers() -> None:
    logits = build("torchvision", "vit_b_32")(torch.randn(2, 3, 224, 224)).detach()
    assert float(logits.std()) > 0


@pytest.mark.parametrize("architecture", [None, "test_resnet"])
def test_a_state_dict_of_any_number_of_classes(architecture: str | None, tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=7).eval()
    file = tmp_path / "own.safetensors"
    save_file(model.state_dict(), file)
    if architecture is None:
        network = network_named("timm:test_resnet", weights=str(file))
    else:
        network = network_named(str(file), architecture=architecture)
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(network.module(x), model(x))
    assert network.notes == ()
    assert network.labels is None, "seven classes that nobody named"
    assert network.name == "timm:test_resnet with own.safetensors"
    classifier = classifier_of(network, 64)
    torch.testing.assert_close(classifier(x), model(x))
    assert classifier.input_spec == network.spec


def test_auxiliary_classifiers_in_a_state_dict_are_passed_over(tmp_path: Path) -> None:
    from torchvision.models import googlenet

    model = googlenet(weights=None, init_weights=False, num_classes=4).eval()
    save_file(model.state_dict(), tmp_path / "aux.safetensors")
    network = network_named("torchvision:googlenet", str(tmp_path / "aux.safetensors"))
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(network.module(x), model(x))


def test_models_that_cannot_be_end_with_a_sentence(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    model = timm.create_model("test_resnet")
    state = {**model.state_dict(), "conv1.0.weight": torch.zeros(2, 2), "fc.weight": torch.zeros(3, 96)}
    save_file(state, tmp_path / "shape.safetensors")
    save_file({**model.state_dict(), "more": torch.zeros(1)}, tmp_path / "more.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    (tmp_path / "model.pth").write_bytes(b"no")
    other, gone = str(tmp_path / "other.safetensors"), str(tmp_path / "gone.safetensors")
    by_name = r"Name the network it was saved from by --architecture, as in timm:resnet18\."
    cases = (
        (
            ("resnet_18",),
            r"model: expected one of .* torchvision, or a file; got resnet_18\. Did you mean 'resnet18'\?",
        ),
        (("timm:vgg_16",), r"model: expected a network of timm; got timm:vgg_16\. Did you mean"),
        (("hub:vgg16",), r"expected timm:NAME or torchvision:NAME; got hub:vgg16\. Networks are never downloaded\."),
        (("zzzzzz",), r"timm\.list_models\(\) and torchvision\.models\.list_models\(\) name them\."),
        (("resnet18.nonsense",), r"model: expected a network timm can build here; got resnet18\.nonsense, for which"),
        (("efficientnet_lite0", other), r"model: expected efficientnet_lite0 with its packaged weights; got --weights"),
        (
            ("resnet18", None, "resnet18"),
            r"--architecture: expected a model that is a \.safetensors file; got resnet18",
        ),
        ((other, other), r"--weights: expected a named model beside it; got the file .*other.* Give one of the two\."),
        ((other, None, "test_resnet"), rf"a state dict of timm:test_resnet; got one without .* more\. {by_name}"),
        ((str(tmp_path / "shape.safetensors"), None, "test_resnet"), r"with another shape of conv1\.0\.weight, fc\."),
        (("test_resnet", str(tmp_path / "more.safetensors")), rf"got one with the unknown more\. {by_name}"),
        ((gone, None, "resnet18"), r"gone\.safetensors: expected a \.safetensors file; got no such file\. Check the"),
        ((str(tmp_path) + "/.safetensors", None, "resnet18"), r"expected a \.safetensors file; got a name ending in n"),
        (
            (str(tmp_path / "model.pth"),),
            r"model\.pth: expected a \.safetensors file; got a name ending in \.pth\. Other",
        ),
        (
            (str(tmp_path / "broken.safetensors"),),
            r"expected a whole safetensors file; got .* Copy or write it again\.",
        ),
        ((other,), r"other\.safetensors: expected its card other\.json beside it; got no such file\. Write both files"),
    )
    for arguments, message in cases:
        with pytest.raises(GlobalPoolError, match=message):
            network_named(*arguments)


def test_a_folder_named_as_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(GlobalPoolError, match=r"expected a \.safetensors file; got a folder\."):
        network_named(str(tmp_path / "folder.safetensors"), architecture="resnet18")


def test_adopt_prints_parts_kind_and_proof(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, "adopt", "timm:test_resnet", "--size", "96")
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines["model"] == "timm:test_resnet"
    assert "RANDOM weights" in lines["note"]
    assert lines["trunk"] == "(N, 3, 96, 96) -> (N, 96, 3, 3), 372,688 parameters"
    assert lines["pool"] == "Mean(), 1 x 96 values a picture"
    assert lines["tail"] == "linear -> 1000 logits, 97,000 parameters"
    assert lines["kind"] == "linear"
    assert lines["proof"].startswith("logits differ by 0.0e+00, residual ")
    assert "inputs tried: 2 x 3 x 96 x 96, 3 x 3 x 96 x 96, 2 x 3 x 128 x 128" in lines["proof"]
    assert lines["offset"].startswith("0.0 % of a logit's variation between 8 random inputs")


def test_adopt_of_a_network_with_a_name_here(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, "adopt", "efficientnet_lite0", "--size", "64")
    assert code == 0
    assert "note" not in text, "its weights are packaged"
    assert "tail    linear -> 1000 logits, 1,281,000 parameters" in text
    assert "inputs tried: 8 x 3 x 64 x 64" in text


@pytest.mark.parametrize(("name", "kind"), [("timm:test_resnet", "linear"), ("test_vit", "gated")])
def test_explain_takes_a_timm_name(name: str, kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = str(coloured_folder(tmp_path / "data", count=1) / "red" / "0.png")
    code, text, _ = run(capsys, "explain", picture, "--model", name, "--out", str(tmp_path / "out"))
    assert code == 0
    assert "has RANDOM weights: nothing is downloaded" in text.splitlines()[0]
    assert f"evidence: {kind}; largest residual " in text
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 4, "a header and three classes"


def test_a_size_the_network_does_not_take_is_a_row_of_the_errors(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = str(coloured_folder(tmp_path / "data", count=1) / "red" / "0.png")
    options = ["--model", "test_vit", "--size", "native", "--out", str(tmp_path / "out")]
    code, text, error = run(capsys, "explain", picture, *options)
    assert code == 1, error
    assert re.search(
        r"not explained: .*0\.png: expected an input the network can take, \(1, 3, 24, 24\); got .*160", text
    )


def test_a_token_classifier_tells_how_much_its_offset_carries(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, "adopt", "test_vit")
    assert code == 0
    assert "kind    gated" in text
    share = float(text.split("offset ")[1].split("%")[0])
    assert share > 1


@pytest.mark.parametrize("refusal", [AdoptionError, EvidenceError])
def test_what_cannot_be_taken_apart_is_exit_code_1(
    refusal: type[GlobalPoolError], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> PooledClassifier:
        raise refusal("adopt", "a pool", "none")

    monkeypatch.setattr("globalpool.cli.networks.adopt", refuse)
    code, _, error = run(capsys, "adopt", "test_resnet")
    assert code == 1
    assert "globalpool adopt: adopt: expected a pool; got none." in error
    code, text, _ = run(capsys, "cost", "test_resnet", "--size", "32", "--runs", "0")
    assert code == 0
    assert "note: not taken apart, these are the network's own parts: adopt: expected a pool; got none." in text
    assert "layer4" in text


def test_requests_that_cannot_be_met_are_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["adopt", "test_resnets"], "globalpool adopt: model: expected one of `globalpool models`, timm"),
        (["adopt", "test_resnet", "--size", "0"], "--size: expected a positive number of pixels; got 0."),
        (["cost", "test_resnet", "--batch", "0"], "cost: expected `input_shape` and `batch_size` as positive whole"),
        (
            ["explain", "--model", "timm:test_resnet", "--weights", "gone.safetensors"],
            "got no such file. Check the path",
        ),
    ):
        code, _, error = run(capsys, *arguments)
        assert code == 2
        assert message in error


def test_cost_prints_the_table_by_trunk_pool_and_tail(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, "cost", "timm:test_resnet", "--size", "64", "--runs", "1", "--batch", "2")
    assert code == 0
    assert "RANDOM" in text
    assert "one pass of (2, 3, 64, 64) on cpu" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()[-4:]}
    assert [rows[name][0] for name in ("trunk", "pool", "tail", "whole")] == ["372,688", "0", "97,000", "469,688"]
    assert rows["tail"][1] == "192,000", "two inputs of 96 x 1000 multiply-adds"


@pytest.mark.parametrize("command", ["adopt", "cost", "slim"])
def test_help_does_not_import_torch(command: str) -> None:
    program = (
        "import sys\nfrom globalpool.cli.main import main\n"
        f"try:\n    main(['{command}', '--help'])\n"
        "finally:\n    print('HEAVY', [m for m in ('torch', 'numpy', 'timm', 'safetensors') if m in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "HEAVY []" in result.stdout
    for option in ("MODEL", "--weights", "--architecture", "--size"):
        assert option in result.stdout
