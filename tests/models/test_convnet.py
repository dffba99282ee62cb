"""The small trunk in one, two and three dimensions."""

import pytest
import torch

import globalpool as gp


@pytest.mark.parametrize(
    ("dims", "weights"), [(1, 3 * 4 * 8 + 3 * 8 * 16), (2, 9 * 4 * 8 + 9 * 8 * 16), (3, 27 * 4 * 8 + 27 * 8 * 16)]
)
def test_parameters_are_those_of_its_layers(dims: int, weights: int) -> None:
    network = gp.models.convnet(dims, in_channels=4, num_classes=5, widths=(8, 16))  # type: ignore[arg-type]
    norms, tail = 2 * (8 + 16), 16 * 5 + 5
    assert sum(parameter.numel() for parameter in network.parameters()) == weights + norms + tail


def test_depth_repeats_each_width_and_the_first_stride_divides_once() -> None:
    network = gp.models.convnet(2, in_channels=1, widths=(4, 8), depth=2, first_stride=2)
    weights = 9 * (1 * 4 + 4 * 4 + 4 * 8 + 8 * 8)
    assert sum(p.numel() for p in network.trunk.parameters()) == weights + 2 * (4 + 4 + 8 + 8)
    assert network.feature_size(torch.zeros(1, 1, 48, 64)) == (12, 16)
    # One pixel reaches as far as its layers: 1 + 2 (1 + 2 + 2 + 4) = 19 pixels wide.
    network.eval()
    x = torch.zeros(1, 1, 64, 64, requires_grad=True)
    network.features(x)[0, :, 8, 8].square().sum().add(network.features(x)[0, :, 8, 8].sum()).backward()
    assert x.grad is not None
    assert x.grad[0, 0].abs().sum(0).count_nonzero() <= 19


def test_it_learns_where_it_should() -> None:
    """Bright squares on noise, anywhere on the canvas: 30 steps suffice; the evidence lies on the square."""
    torch.manual_seed(0)
    network = gp.models.convnet(2, in_channels=1, num_classes=2, widths=(8, 16))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)

    def batch(samples: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x, labels = torch.randn(samples, 1, 24, 24) * 0.3, torch.randint(0, 2, (samples,))
        corners = torch.randint(0, 17, (samples, 2))
        for picture, label, (row, column) in zip(x, labels.tolist(), corners.tolist(), strict=True):
            picture[0, row : row + 8, column : column + 8] += 2 if label else -2
        return x, labels, corners

    for _ in range(30):
        x, labels, _ = batch(32)
        loss = torch.nn.functional.cross_entropy(network(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    x, labels, corners = batch(100)
    with torch.inference_mode():
        evidence = network.evidence(x, "all").check()
    assert (evidence.logits.argmax(1) == labels).float().mean() > 0.95
    maps = evidence.contrast(labels, 1 - labels).upsample(24)
    assert isinstance(maps, torch.Tensor)
    peaks = maps.flatten(1).argmax(1)
    inside = [
        row - 2 <= peak // 24 < row + 10 and column - 2 <= peak % 24 < column + 10
        for peak, (row, column) in zip(peaks.tolist(), corners.tolist(), strict=True)
    ]
    assert sum(inside) > 90
