"""The memory of a step, against the sum over its layers."""

import pytest
import torch
from torch import nn

import globalpool as gp
from globalpool.errors import PoolError
from globalpool.surgery import training_memory as module
from globalpool.surgery.training_memory import available_memory, training_memory


def test_activations_are_what_each_layer_keeps() -> None:
    network = gp.models.convnet(3, 1, 3, (8, 16))
    found = training_memory(network, (2, 1, 64, 32, 32))
    voxels = 2 * 64 * 32 * 32
    # Of each convolution its result, and of each ReLU, which is in place: the norm's. Norms keep 2 numbers a channel.
    maps = 4 * (8 * voxels * 2 + 16 * (voxels // 8) * 2)
    small = 4 * (2 * 8 + 2 * 16) + 4 * 2 * 16  # norms, pooled vectors
    assert maps <= found.activations <= maps + 2 * small + 64
    assert found.inputs == 4 * voxels
    assert found.passing == 4 * 4 * 8 * voxels
    parameters = sum(p.numel() for p in network.parameters())
    buffers = sum(b.numel() * b.element_size() for b in network.buffers())
    assert found.parameters == 5 * 4 * parameters + buffers
    assert found.needed == found.activations + found.inputs + found.passing + found.parameters


def test_it_grows_with_voxels_and_not_with_time_or_memory() -> None:
    """A volume of 2,048 voxels a side, a hundred times what a machine has, is only counted."""
    network = gp.models.resnet3d(1, 2, (16, 32))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    small, large = (training_memory(network, (1, 1, side, side, side)) for side in (128, 2048))
    assert large.activations / small.activations == pytest.approx(16**3, rel=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert not large.fits
    assert "Take a smaller batch, a coarser spacing or a first stride of 2." in large.sentence()
    assert "a step on 1 of 1 x 2048 x 2048 x 2048 takes about" in large.sentence()


def test_what_cannot_run_is_told() -> None:
    with pytest.raises(PoolError, match=r"a model that trains on an input \(1, 2, 8, 8, 8\); got RuntimeError"):
        training_memory(gp.models.convnet(3, 1, 3, (8, 16)), (1, 2, 8, 8, 8))


def test_the_free_memory_is_the_smaller_of_machine_and_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cgroup")
    monkeypatch.setattr(module, "CONTAINERS", ((str(folder / "max"), str(folder / "current")),))
    machine = available_memory()
    assert machine is not None
    assert machine > 1e6
    (folder / "max").write_text("3000000\n")
    (folder / "current").write_text("1000000\n")
    assert available_memory() == 2_000_000
    (folder / "max").write_text("max\n")
    free = available_memory()
    assert free is not None
    assert free > 2_000_000
    assert available_memory("meta") is None
    assert training_memory(nn.Sequential(nn.Conv3d(1, 1, 1)), (1, 1, 2, 2, 2), "meta").fits
