"""Maps of mixed sizes against those of each picture alone."""

import numpy as np
import torch

import globalpool as gp
from globalpool.classifier import InputSpec
from globalpool.data import ArraySource, Native, evaluation_batches
from globalpool.localize.predicted import runner_up_maps


def test_maps_are_those_of_each_picture_alone_in_their_order() -> None:
    torch.manual_seed(0)
    classifier = gp.models.convnet(2, 1, 4, (4, 6)).eval()
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, side, dtype=np.uint8) for side in ((12, 9), (8, 8), (12, 9), (10, 14), (8, 8))]
    source = ArraySource(pictures, [0, 1, 2, 3, 0])
    maps = runner_up_maps(classifier, evaluation_batches(source, range(5), InputSpec(8, (0.0,), (1.0,)), Native(), 3))
    assert maps.view == "contrast"
    for pixels, values in zip(pictures, maps.values, strict=True):
        x = torch.from_numpy(pixels)[None, None] / 255
        with torch.no_grad():
            features, logits = classifier.features(x), classifier(x)[0]
        first, second = logits.topk(2).indices
        weights = classifier.tail.weight
        assert isinstance(weights, torch.Tensor)
        own = (
            torch.einsum("c,chw->hw", (weights[first] - weights[second]).detach(), features[0]) / features[0, 0].numel()
        )
        big = torch.nn.functional.interpolate(own[None, None], pixels.shape, mode="bilinear")[0, 0]
        bias = (logits[first] - logits[second] - own.sum()) / own.numel()
        spread = values - big.numpy()
        assert np.abs(spread - spread.mean()).max() < 1e-5, "up to a share of the offset, the same everywhere"
        assert abs(spread.mean()) <= abs(float(bias)) + 1e-5
