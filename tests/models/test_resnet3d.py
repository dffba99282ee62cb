"""The residual network for volumes."""

import pytest
import torch

import globalpool as gp
from globalpool.errors import TrainingError
from globalpool.layout import Features, Padded
from globalpool.pools import Mean
from globalpool.training import Architecture, Call


def test_parameters_are_those_of_its_layers() -> None:
    network = gp.models.resnet3d(2, 5, (4, 8), blocks=2)
    stem = 27 * 2 * 4 + 2 * 4
    plain = sum(2 * (27 * w * w + 2 * w) for w in (4, 4, 8))
    widening = 27 * 4 * 8 + 27 * 8 * 8 + 4 * 8 + 3 * 2 * 8  # two convolutions, the shortcut, three norms
    assert sum(p.numel() for p in network.parameters()) == stem + plain + widening + 8 * 5 + 5
    assert network.feature_size(torch.zeros(1, 2, 16, 24, 8)) == (8, 12, 4)


def test_a_block_is_its_branch_and_its_shortcut_added() -> None:
    block = gp.models.resnet3d(3, 2, (4, 8)).trunk[4].double().eval()  # type: ignore[index]
    for norm in block.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            assert norm.running_mean is not None
            torch.nn.init.normal_(norm.running_mean)
    x = torch.randn(2, 4, 6, 5, 7, dtype=torch.float64)
    convolution, first, _, second, last = block.branch
    inner = torch.nn.functional.conv3d(x, convolution.weight, stride=2, padding=1)
    inner = (inner - first.running_mean[:, None, None, None]) / (1 + first.eps) ** 0.5
    inner = torch.nn.functional.conv3d(inner.clamp(min=0), second.weight, padding=1)
    branch = (inner - last.running_mean[:, None, None, None]) / (1 + last.eps) ** 0.5
    weight, norm = block.shortcut
    straight = torch.nn.functional.conv3d(x[:, :, ::2, ::2, ::2], weight.weight)
    straight = (straight - norm.running_mean[:, None, None, None]) / (1 + norm.eps) ** 0.5
    assert torch.allclose(block(x), (branch + straight).clamp(min=0), atol=1e-12)


def test_a_volume_in_a_padded_batch_is_as_it_is_alone() -> None:
    torch.manual_seed(0)
    network = gp.models.resnet3d(1, 3, (4, 8), blocks=2).double().eval()
    for norm in network.trunk.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            torch.nn.init.normal_(norm.bias)  # what a norm makes of nothing must not reach the next layer
    samples = [torch.randn(1, *sides, dtype=torch.float64) for sides in ((9, 8, 7), (5, 12, 6), (12, 4, 11))]
    together = network(Padded.of(samples))
    for number, sample in enumerate(samples):
        assert torch.allclose(together[number], network(sample[None])[0], atol=1e-12)
    evidence = network.evidence(Padded.of(samples), "all").check()
    assert torch.allclose(evidence.logits, together)


def test_batch_statistics_are_those_of_real_voxels() -> None:
    torch.manual_seed(0)
    network = gp.models.resnet3d(1, 3, (4,)).double()
    x = torch.randn(1, 6, 6, 6, dtype=torch.float64)
    features = network.trunk(Padded.of([x, torch.zeros(1, 8, 9, 8, dtype=torch.float64)]))
    assert isinstance(features, Features)
    stem = network.trunk[1]  # type: ignore[index]
    count = 6**3 + 8 * 9 * 8
    filtered = torch.nn.functional.conv3d(x[None], network.trunk[0].weight, padding=1)  # type: ignore[index]
    assert torch.allclose(stem.running_mean, 0.1 * filtered.sum((0, 2, 3, 4)) / count, atol=1e-12)


def test_it_is_a_trunk_by_name_for_volumes_alone() -> None:
    from globalpool.classifier import InputSpec
    from globalpool.data.volumes import Volumes

    volumes = Volumes((0.0, 1.0), (1.0, 1.0))
    given = Architecture(Call("resnet3d", (4, 6)), Call("Mean"), ("a", "b"), volumes)
    assert Architecture.read(given.record()) == given
    built = given.build(seed=1)
    assert built.tail.in_features == 6
    assert isinstance(built.pool, Mean)
    pictures = Architecture(Call("resnet3d"), Call("Mean"), ("a", "b"), InputSpec(32, (0.5,) * 3, (0.5,) * 3))
    with pytest.raises(TrainingError, match="resnet3d: expected volumes; got inputs with 2 axes"):
        pictures.build()


def test_torchvisions_r3d_is_adopted() -> None:
    from torchvision.models.video import VideoResNet
    from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv3DSimple

    torch.manual_seed(0)
    model = VideoResNet(BasicBlock, [Conv3DSimple] * 4, [1, 1, 1, 1], BasicStem, num_classes=4).eval()
    x = torch.randn(2, 3, 8, 32, 32)
    adopted = gp.adopt(model, x)
    with torch.no_grad():
        assert torch.allclose(adopted(x), model(x), atol=1e-5)
        evidence = adopted.evidence(x, "all").check()
    assert evidence.kind == "linear"
    assert evidence.maps.shape == (2, 4, 1, 2, 2)
