"""Small networks of timm and torchvision, one for each way a library ends its classifiers."""

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch.testing import assert_close

from globalpool.surgery import adopt
from tests.surgery.slow_graph import slow_evidence

MODELS = [
    ("timm", "test_resnet", 96, "linear", (3, 3)),
    ("timm", "test_convnext", 96, "gated", (3, 3)),
    ("timm", "test_vit", 160, "gated", (10, 10)),
    ("timm", "test_mambaout", 96, "gated", (3, 3)),
    ("torchvision", "squeezenet1_1", 96, "gated", (5, 5)),
    ("torchvision", "mobilenet_v3_small", 96, "gated", (3, 3)),
]


@pytest.mark.parametrize(("source", "name", "side", "kind", "positions"), MODELS, ids=lambda value: str(value))
def test_a_library_model_is_adopted(source: str, name: str, side: int, kind: str, positions: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model: Any = timm.create_model(name) if source == "timm" else torchvision.models.get_model(name)
    model.eval()
    classifier = adopt(model, torch.randn(1, 3, side, side))
    x = torch.randn(3, 3, side, side)
    with torch.no_grad():
        expected = model(x)
        assert_close(classifier(x), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
        evidence = classifier.evidence(x, "all").check()
        maps, offset = slow_evidence(classifier, x[:1])
    assert (evidence.kind, evidence.maps.shape[2:]) == (kind, positions)
    scale = float(maps.abs().sum(1).max())
    assert_close(evidence.maps[0].flatten(1).double(), maps, rtol=0, atol=1e-5 * scale)
    assert_close(evidence.offset[0].double(), offset, rtol=0, atol=1e-5 * max(scale, float(offset.abs().max())))
