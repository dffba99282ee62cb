"""A client's round: its own statistics, its own data, the same again from the same seed."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from globalpool.classifier import InputSpec
from globalpool.cli import main
from globalpool.cli.federate import read_config
from globalpool.errors import FederatedError
from globalpool.federated import parameters_of
from globalpool.federated.local import calibrate, local_score, local_update
from globalpool.federated.nodes import Node, digits_node, folder_node
from globalpool.federated.settings import SMALL, FederationSettings
from globalpool.training import Architecture, Call
from tests.federated.clients import CLIENTS, network, pictures

NODE = Node(("r", "g", "b"), 12, 6, CLIENTS[1], CLIENTS[1], CLIENTS[1])


def test_calibration_gives_the_moments_of_all_samples() -> None:
    classifier = network(norm=True)
    before = parameters_of(classifier)
    assert calibrate(classifier, CLIENTS[2]) == 1
    x, _ = pictures(16, 15)
    features = classifier.trunk[0](x).detach().double()  # type: ignore[index]
    norm = classifier.trunk[1]  # type: ignore[index]
    mean, variance = features.mean((0, 2, 3)), features.var((0, 2, 3), unbiased=True)
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-5, atol=0)
    assert norm.momentum == 0.1
    assert all(torch.equal(value, before[name]) for name, value in classifier.named_parameters())


def test_a_round_can_be_done_again_and_rounds_differ() -> None:
    settings = FederationSettings(local_epochs=2)
    start = parameters_of(network(norm=True))
    found = [local_update(network(norm=True), NODE, start, settings, number).parameters for number in (3, 3)]
    assert all(torch.equal(found[0][name], found[1][name]) for name in start)
    assert any(not torch.equal(found[0][name], start[name]) for name in start)
    score = local_score(network(norm=True), NODE)
    assert (score.resolution, score.samples) == (12, 6)


def test_simulated_clients_share_no_digit_and_have_other_classes() -> None:
    nodes = [digits_node(number, 3, side, 32, 0) for number, side in enumerate((28, 32, 40))]
    assert [node.samples for node in nodes] == [800, 800, 800]
    assert [next(iter(node.judged)).parts[0].shape[-1] for node in nodes] == [28, 32, 40]
    shares = []
    for number, node in enumerate(nodes):
        targets = torch.cat([batch.targets for batch in node.in_order])
        shares.append(float((targets % 3 == number).float().mean()))
    assert min(shares) > 0.55  # a third would be even
    judged = [torch.cat([batch.targets for batch in node.judged]) for node in nodes]
    assert torch.equal(judged[0], judged[2])


def test_a_folder_is_a_client_at_the_size_it_says(tmp_path: Path) -> None:
    for name, value in (("dark", 10), ("light", 240)):
        for number in range(5):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("L", (20, 16), value + number).save(tmp_path / name / f"{number}.png")
    architecture = Architecture(Call("convnet", (4,)), Call("Mean"), ("dark", "light"), InputSpec(24, (0.5,), (0.5,)))
    node = folder_node(str(tmp_path), architecture, 24, 4, 0)
    assert node.classes == ("dark", "light")
    assert node.samples == 8
    assert {batch.parts[0].shape[2:] for batch in node.training} == {(24, 24)}
    assert sum(len(batch) for batch in node.judged) == 2


def test_settings_are_read_as_they_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert FederationSettings().built() == SMALL
    assert main(["federate", "init", str(tmp_path)]) == 0
    assert read_config(tmp_path / "pyproject.toml") == FederationSettings()
    assert main(["federate", "init", str(tmp_path)]) == 2
    assert "expected a folder without pyproject.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"round": 3}, "run config: expected settings of a federation"),
        ({"rounds": "3"}, "rounds: expected a value of type int; got '3'."),
        ({"mode": "all"}, "mode: expected parameters or frozen or descriptors; got all."),
        ({"batch": 1}, "batch: expected 2 or more; got 1."),
    ],
)
def test_settings_that_cannot_be_are_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(FederatedError, match=re.escape(message)):
        FederationSettings.read(config)


def test_an_architecture_that_cannot_be_read_is_told() -> None:
    with pytest.raises(FederatedError, match="architecture: expected the JSON of an Architecture's record"):
        FederationSettings(architecture=json.dumps({"trunk": 1})).built()
