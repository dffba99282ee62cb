"""Evidence beside Grad-CAM: what maps for 1, 10 and 100 classes cost beyond the forward pass, ResNet-50."""

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
#: The peer whose backward passes share one forward pass: the only one that is run for many classes.
SHARED = "torchcam GradCAM, one forward"


def rows(quick: bool, rounds: int, batch: int = 8, side: int = 224) -> list[dict[str, Any]]:
    """A line for each number of classes: milliseconds that evidence adds, what each peer adds, the ratio."""
    torch.manual_seed(0)
    model = torchvision.models.resnet50().eval()
    x = torch.randn(batch, 3, side, side)
    adopted = gp.adopt(model, x[:2])
    head = gp.PooledClassifier(nn.Identity(), adopted.pool, adopted.tail).eval()
    with torch.no_grad():
        features = adopted.features(x)
    peers = _peers(model)
    found = []
    for classes in (1,) if quick else (1, 10, 100):
        ids = torch.arange(classes)
        added = _added(head, features, ids)
        slow: dict[str, Callable[[int], object]] = {"forward": lambda turn: _without_gradients(model, x)}
        for name, cam in peers.items():
            if classes == 1 or name == SHARED:
                slow[name] = lambda turn, cam=cam, ids=ids: cam(x, ids)  # type: ignore[misc]
        times = medians(slow, 3 if quick or classes > 1 else rounds, 300.0)
        base = times.pop("forward")
        beyond = {name: seconds - base for name, seconds in times.items()}
        best = min((name for name in beyond if name != PLAIN), key=lambda name: beyond[name])
        found.append(
            {
                "classes": classes,
                "forward_ms": 1e3 * base,
                "evidence_ms": 1e3 * added,
                "added_ms": {name: 1e3 * seconds for name, seconds in beyond.items()},
                "cheapest": best,
                "ratio": beyond[best] / added,
                "bar": BARS.get(classes),
            }
        )
    return found


def _added(head: gp.PooledClassifier, features: Tensor, ids: Tensor) -> float:
    """What evidence takes beyond pooling and logits; apart from the trunk, whose time varies more than that."""
    wanted = ids.expand(features.shape[0], -1)

    @torch.no_grad()
    def evidence(turn: int) -> object:
        return head.evidence(features, wanted)

    times = medians({"head": lambda turn: _without_gradients(head, features), "evidence": evidence}, 200, 20.0)
    return times["evidence"] - times["head"]


@torch.no_grad()
def _without_gradients(module: nn.Module, x: Tensor) -> object:
    return module(x)


def _peers(model: Any) -> dict[str, Callable[[Tensor, Tensor], object]]:
    from captum.attr import LayerGradCam
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchcam.methods import CAM
    from torchcam.methods import GradCAM as TorchcamGradCAM

    layer = model.layer4[-1]
    grad_cam = GradCAM(model=model, target_layers=[layer])
    captum = LayerGradCam(model.forward, layer)
    gradient, plain = TorchcamGradCAM(model, target_layer=layer), CAM(model, target_layer=layer, fc_layer="fc")

    def shared(extractor: Any, **options: bool) -> Callable[[Tensor, Tensor], object]:
        def run(x: Tensor, ids: Tensor) -> object:
            scores = model(x.requires_grad_())
            return [extractor(int(k), scores, **options) for k in ids]

        return run

    def each(x: Tensor, ids: Tensor) -> object:
        targets = [[ClassifierOutputTarget(int(k))] * x.shape[0] for k in ids]
        return [grad_cam(input_tensor=x, targets=own) for own in targets]

    return {
        "pytorch-grad-cam": each,
        "captum LayerGradCam": lambda x, ids: [captum.attribute(x, target=int(k)) for k in ids],
        SHARED: shared(gradient, retain_graph=True),
        PLAIN: shared(plain),
    }
