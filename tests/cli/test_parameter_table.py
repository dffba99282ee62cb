"""The table of docs/01-replace-fc-heads.md, cell by cell, from the networks themselves."""

import re
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from tests.cli.folders import run

PAGE = Path(__file__).parents[2] / "docs" / "01-replace-fc-heads.md"
NETS = {"AlexNet": ("alexnet", 256), "VGG-11": ("vgg11", 512), "VGG-16": ("vgg16", 512), "VGG-19": ("vgg19", 512)}


def rows() -> dict[str, list[str]]:
    """Cells by the first of each row."""
    lines = re.findall(r"^\| (.+) \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {cells[0]: cells[1:] for line in lines if len(cells := line.split(" | ")) >= 6}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("net", NETS)
def test_a_row_counts_the_network(net: str) -> None:
    name, channels = NETS[net]
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
        light = nn.Linear(channels, 1000)
    trunk, head = count(model.features), count(model.classifier)
    assert trunk + head == count(model)
    slim = trunk + count(light)
    cuts = [f"{100 * (1 - count(light) / head):.3f} %", f"{100 * (1 - slim / count(model)):.2f} %"]
    assert rows()[net] == [*(f"{n:,}" for n in (trunk, head, count(model), count(light), slim)), *cuts]


def test_googlenet_has_its_pool_already() -> None:
    with torch.device("meta"):
        model = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False)
        flat = nn.Linear(1024 * 49, 1000)
    assert rows()["GoogLeNet"][:4] == [f"{count(model) - 1_025_000:,}", "none", f"{count(model):,}", "1,025,000"]
    assert f"{count(flat):,}" in PAGE.read_text(encoding="utf-8")


def test_the_command_counts_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, "cost", "torchvision:alexnet", "--size", "96", "--runs", "0")
    assert code == 0
    numbers = {line.split()[0]: line.split()[1] for line in text.splitlines() if line.startswith(("t", "p", "w"))}
    assert numbers == {"trunk": "2,469,696", "pool": "0", "tail": "58,631,144", "whole": "61,100,840"}
