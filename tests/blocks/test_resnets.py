"""Blocks in residual networks of torchvision and timm: exact counts, right places, no table of names."""

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from globalpool.blocks import insert_se
from tests.blocks.networks import blocks_of, count, timm_model, torchvision_resnet

#: Parameters of SE-ResNets with r = 16 and biases; 50 without biases 28,071,976. Hu, Shen, Sun (2018).
COUNTS = {18: 11_778_592, 34: 21_958_868, 50: 28_088_024, 101: 49_326_872, 152: 66_821_848}
#: Blocks of each depth by stage, and whether they are bottlenecks (four times as wide).
STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@pytest.mark.parametrize("depth", COUNTS)
def test_parameters_of_se_resnets_to_the_last_one(depth: int) -> None:
    network = insert_se(torchvision_resnet(depth))
    assert count(network) == COUNTS[depth]
    assert all(parameter.is_meta for parameter in network.parameters())
    assert count(insert_se(timm_model(f"resnet{depth}"))) == COUNTS[depth]


def test_a_bias_free_se_resnet50() -> None:
    assert count(insert_se(torchvision_resnet(50), bias=False)) == 28_071_976


@pytest.mark.parametrize("reduction", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("depth", COUNTS)
def test_extra_parameters_are_the_closed_form(depth: int, reduction: int) -> None:
    network = torchvision_resnet(depth)
    widths = [
        (64 << stage) * (4 if depth >= 50 else 1) for stage, number in enumerate(STAGES[depth]) for _ in range(number)
    ]
    weights = sum(2 * c * (c // reduction) for c in widths)
    extra = count(insert_se(network, reduction=reduction, bias=False)) - count(network)
    assert extra == weights
    extra = count(insert_se(network, reduction=reduction)) - count(network)
    assert extra == weights + sum(c + c // reduction for c in widths)


def test_blocks_stand_at_the_end_of_the_branch_before_the_addition() -> None:
    network = insert_se(torchvision_resnet(50))
    places = [f"layer{s + 1}.{n}.bn3.1" for s, number in enumerate((3, 4, 6, 3)) for n in range(number)]
    assert list(blocks_of(network)) == places
    assert [block.channels for block in blocks_of(network).values()] == [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    assert all(block.inplace for block in blocks_of(network).values())


@pytest.mark.parametrize(
    ("build", "blocks"),
    [
        (lambda: torchvision.models.resnext50_32x4d(), 16),
        (lambda: torchvision.models.wide_resnet50_2(), 16),
        (lambda: torchvision.models.mobilenet_v2(), 10),
        (lambda: timm.create_model("resnet50d", drop_path_rate=0.1), 16),
        (lambda: timm.create_model("resnetv2_50"), 16),
        (lambda: timm.create_model("regnetx_002"), 13),
    ],
)
def test_other_residual_networks_need_no_table_of_names(build: Any, blocks: int) -> None:
    with torch.device("meta"):
        network: nn.Module = build()
    inserted = insert_se(network)
    assert len(blocks_of(inserted)) == blocks
    assert inserted.training


def test_frozen_norms_are_not_taken_for_branches() -> None:
    """torchvision's FrozenBatchNorm2d ends in an addition of its own, of constants."""
    with torch.device("meta"):
        network: nn.Module = torchvision.models.resnet18(norm_layer=torchvision.ops.FrozenBatchNorm2d)
    inserted = insert_se(network)
    assert list(blocks_of(inserted)) == [f"layer{s}.{n}.bn2.1" for s in range(1, 5) for n in range(2)]
    assert [block.channels for block in blocks_of(inserted).values()] == [64, 64, 128, 128, 256, 256, 512, 512]
