"""Evidence beside Grad-CAM: what maps for 1, 10 and 100 classes cost beyond the forward pass, ResNet-18."""

from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

import globalpool as gp
from speed.timing import medians

BARS = {1: 20.0, 100: 100.0}
#: Needs no gradient, and the pool to be a mean before one linear layer: listed, but no Grad-CAM.
PLAIN = "torchcam CAM"


def rows(quick: bool, rounds: int, batch: int = 4, side: int = 128) -> list[dict[str, Any]]:
    """A line for each number of classes: milliseconds of evidence, what each peer adds, ratio to the cheapest."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18().eval()
    x = torch.randn(batch, 3, side, side)
    adopted = gp.adopt(model, x[:2])
    head = gp.PooledClassifier(nn.Identity(), adopted.pool, adopted.tail).eval()
    with torch.no_grad():
        features = adopted.features(x)
    peers = _peers(model)
    found = []
    for classes in (1, 10) if quick else (1, 10, 100):
        ids = torch.arange(classes)

        @torch.no_grad()
        def ours(turn: int, ids: Tensor = ids) -> object:
            return head.evidence(features, ids.expand(batch, -1))

        @torch.no_grad()
        def forward(turn: int) -> object:
            return model(x)

        work: dict[str, Callable[[int], object]] = {"forward": forward, "evidence": ours}
        for name, cam in peers.items():
            work[name] = lambda turn, cam=cam, ids=ids: [cam(x, int(k)) for k in ids]  # type: ignore[misc]
        times = medians(work, 3 if classes == 100 else rounds, 240.0)
        base = times.pop("forward")
        step = times.pop("evidence")  # the whole step: pooling and logits, which the forward has too, are in it
        added = {name: seconds - base for name, seconds in times.items()}
        best = min((name for name in added if name != PLAIN), key=lambda name: added[name])
        found.append(
            {
                "classes": classes,
                "forward_ms": 1e3 * base,
                "evidence_ms": 1e3 * step,
                "added_ms": {name: 1e3 * seconds for name, seconds in added.items()},
                "cheapest": best,
                "ratio": added[best] / step,
                "bar": BARS.get(classes),
            }
        )
    return found


def _peers(model: Any) -> dict[str, Callable[[Tensor, int], object]]:
    from captum.attr import LayerGradCam
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchcam.methods import CAM
    from torchcam.methods import GradCAM as TorchcamGradCAM

    layer = model.layer4[-1]
    grad_cam = GradCAM(model=model, target_layers=[layer])
    captum = LayerGradCam(model.forward, layer)
    gradient, plain = TorchcamGradCAM(model, target_layer=layer), CAM(model, target_layer=layer, fc_layer="fc")

    def torchcam(extractor: Any) -> Callable[[Tensor, int], object]:
        def run(x: Tensor, k: int) -> object:
            scores = model(x.requires_grad_())
            return extractor(k, scores)

        return run

    return {
        "pytorch-grad-cam": lambda x, k: grad_cam(input_tensor=x, targets=[ClassifierOutputTarget(k)] * x.shape[0]),
        "captum LayerGradCam": lambda x, k: captum.attribute(x, target=k),
        "torchcam GradCAM": torchcam(gradient),
        PLAIN: torchcam(plain),
    }
