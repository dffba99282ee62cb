"""A network of timm by name as a trunk: a convolutional one as it is, a transformer with its tokens as a map."""

from typing import Any

import torch
from torch import Tensor, nn

from globalpool.errors import GlobalPoolError, TrainingError
from globalpool.evidence import evaluating
from globalpool.extras import need
from globalpool.models.tokens import ChannelsFirst, NaFlexTrunk, TokenTrunk


def timm_trunk(name: str, example: Tensor, **settings: Any) -> nn.Module:
    """The trunk, with random weights from torch's global generator; where it is wrapped, ``.network`` is timm's own.

    ``example``: pictures ``(N, C, H, W)`` that it must take. TrainingError for a network that cannot take them, or
    whose features are neither a map nor patch tokens.
    """
    create = need("timm", "images", "train").create_model
    plain = {"pretrained": False, "num_classes": 0, "global_pool": ""}
    network: nn.Module | None = None
    try:
        network = create(name, **plain, **settings)
        if getattr(network, "dynamic_img_size", None) is False:
            network = create(name, **plain, dynamic_img_size=True, **settings)
        trunk = _wrapped(network)
        with evaluating(trunk), torch.no_grad():
            shape = tuple(trunk(example).shape)
    except GlobalPoolError as error:
        hint = "Convolutional networks, timm:vit_..., timm:eva02_..., timm:naflexvit_... and timm:swin_... have one."
        raise TrainingError(f"timm:{name}", "a trunk with a feature map or patch tokens", error.got, hint) from error
    except (AssertionError, RuntimeError, ValueError) as error:
        own = getattr(network, "default_cfg", {}).get("input_size", (0, 0, 0))[-1]
        high, wide = example.shape[2:]
        hint = f"Give --size {own}." if own and own not in (high, wide) else ""
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise TrainingError(
            f"timm:{name}", f"a network that takes pictures of {high} x {wide}", reason, hint
        ) from error
    width = getattr(network, "num_features", None)
    if trunk is network and len(shape) == 4 and shape[1] != width and shape[3] == width:
        return ChannelsFirst(network)
    return trunk


def _wrapped(network: nn.Module) -> nn.Module:
    if getattr(getattr(network, "embeds", None), "is_linear", False):
        return NaFlexTrunk(network)
    return TokenTrunk(network) if isinstance(getattr(network, "num_prefix_tokens", None), int) else network
