"""Transformers of timm as trunks: patch tokens are positions, prefix tokens are none."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from globalpool.errors import LayoutError
from globalpool.layout import Features, Padded
from globalpool.models.patches import Patches, to_multiples

#: How tokens of several pictures come: one after the other, or padded with a mask.
Form = Literal["ragged", "mask"]


class TokenTrunk(nn.Module):
    """The patch tokens of a vision transformer as a map ``(N, C, h, w)`` over the picture, row-major.

    ``network``: of timm, made with ``num_classes=0, global_pool=""``, so that it gives tokens ``(N, prefix + h*w, C)``.
    Its ``prefix`` tokens (class, registers) take part inside; they lie nowhere in the picture and are left out. Sides
    that are no multiple of the patch are resized to the nearest one. LayoutError for networks whose tokens are not the
    patches of a grid.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        named = getattr(network, "patch_embed", None) or getattr(network, "embeds", None)
        patch, prefix = getattr(named, "patch_size", None), getattr(network, "num_prefix_tokens", None)
        name = type(network).__name__
        if patch is None or not isinstance(prefix, int):
            expected = "a transformer of timm that says its patch size and its number of prefix tokens"
            raise LayoutError("TokenTrunk", expected, name)
        if isinstance(getattr(network, "patch_drop", None), nn.Module) and not isinstance(
            network.patch_drop, nn.Identity
        ):
            hint = "Build it with patch_drop_rate=0."
            raise LayoutError("TokenTrunk", "a network that keeps its patches", f"{name} that drops some", hint)
        self.network, self.prefix = network, prefix
        self.patch: tuple[int, int] = (patch, patch) if isinstance(patch, int) else (int(patch[0]), int(patch[1]))

    @property
    def note(self) -> str:
        """What a user should know."""
        high, wide = self.patch
        note = f"the pool reads the tokens of patches of {high} x {wide} pixels"
        if not self.prefix:
            return note
        which = "prefix token is" if self.prefix == 1 else f"{self.prefix} prefix tokens are"
        return f"{note}; the {which} left out of it (class, registers), having no place in the picture"

    def forward(self, x: Any) -> Any:
        """``(N, C, h, w)`` of pictures ``(N, channels, H, W)``."""
        x = to_multiples(x, self.patch)
        height, width = x.shape[2] // self.patch[0], x.shape[3] // self.patch[1]
        return self._patches(self.network(x), height * width).transpose(1, 2).unflatten(2, (height, width))

    def _patches(self, tokens: Tensor, count: int) -> Tensor:
        if tokens.ndim != 3 or tokens.shape[1] != self.prefix + count:
            expected = f"{self.prefix} prefix tokens and {count} of patches, (N, {self.prefix + count}, C)"
            hint = 'Make the network with num_classes=0, global_pool=""; networks that merge tokens have no such grid.'
            raise LayoutError("TokenTrunk", expected, f"{tuple(tokens.shape)}", hint)
        return tokens[:, self.prefix :]


class NaFlexTrunk(TokenTrunk):
    """A NaFlex transformer of timm: pictures of any sizes and aspects in one batch, each as it would be alone.

    Of a tensor it gives a map, as ``TokenTrunk``. Of ``Patches``, of a dictionary of timm's NaFlex loader or of
    ``Padded`` pictures it gives ``Features``: "ragged" rows ``(T, C)`` with the shapes of the grids (with the patches'
    row and column as ``pos`` where some are missing), or tokens ``(N, P, C)`` with a "mask". Padding has no effect,
    not even NaN. ``most``: patches of a padded picture at most; larger ones are made smaller at their aspect.
    """

    def __init__(self, network: nn.Module, form: Form = "ragged", most: int | None = None) -> None:
        super().__init__(network)
        if form not in ("ragged", "mask"):
            raise LayoutError("NaFlexTrunk", '`form` "ragged" or "mask"', repr(form))
        embeds: Any = getattr(network, "embeds", None)
        if embeds is None or not getattr(embeds, "is_linear", False):
            expected = "a NaFlex transformer of timm whose patches are read by a linear layer"
            raise LayoutError("NaFlexTrunk", expected, type(network).__name__, "Take timm's naflexvit networks.")
        self.form, self.most = form, most
        self._last = bool(embeds.channels_last)
        # Their position embedding goes by a patch's place in the sequence, not by its coordinates.
        learned = embeds.pos_embed_type in ("learned", "factorized")
        self._in_order = learned and not embeds.pos_embed_use_grid_sample

    def forward(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            return super().forward(x)
        if isinstance(x, Padded):
            x = Patches.of(x, self.patch, self.most, self._last)
        elif isinstance(x, Mapping):
            x = Patches.from_timm(x)
        if not isinstance(x, Patches):
            expected = "pictures (N, C, H, W), Padded pictures, Patches or a dictionary of timm's NaFlex loader"
            raise LayoutError("NaFlexTrunk", expected, type(x).__name__)
        shapes = x.shapes()
        if shapes is None and self._in_order:
            hint = "Give whole pictures, or build it with pos_embed_use_grid_sample=True."
            expected = "all patches of each picture, row-major, padding behind them"
            raise LayoutError("NaFlexTrunk", expected, "others, which this position embedding would misplace", hint)
        # Padding is masked in attention by a large number, which NaN would survive.
        values = x.values.masked_fill(~x.valid[..., None], 0)
        coord = x.coord.masked_fill(~x.valid[..., None], 0)
        tokens = self._patches(self.network(values, patch_coord=coord, patch_valid=x.valid), values.shape[1])
        if self.form == "mask":
            return Features(tokens, {"mask": x.valid, "channel_dim": -1})
        counts = x.valid.sum(1)
        ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        if shapes is None:
            return Features(tokens[x.valid], {"ptr": ptr, "pos": x.coord[x.valid].to(tokens.dtype)})
        return Features(tokens[x.valid], {"ptr": ptr, "shapes": shapes})


class ChannelsFirst(nn.Module):
    """A network whose map is ``(N, h, w, C)``, as timm's Swin has it, as a trunk with the map ``(N, C, h, w)``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(N, C, h, w)``."""
        features: Tensor = self.network(x)
        return features.permute(0, 3, 1, 2).contiguous()
