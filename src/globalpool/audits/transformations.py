"""Changes of an input that leave most classes as they are: of pictures by Pillow, of other grids, of graphs."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, interpolate

from globalpool.classifier import InputSpec
from globalpool.data.prepare import normalized

#: The sides of a crop and the share of a graph's edges that stay.
CROP, EDGES = 7 / 8, 0.95
AVERAGES = {3: avg_pool1d, 4: avg_pool2d, 5: avg_pool3d}


@dataclass(frozen=True)
class Transformation:
    """``apply`` gives one changed input; ``mild``: whether a class that it changes is a fault whatever the task.

    A mirrored letter may be another letter; a darker one is not. ``exact``: whether theory says that no logit moves.
    ``moves``: whether it puts positions elsewhere, so that a measure of the input goes with them.
    """

    name: str
    apply: Callable[[Any], Any]
    mild: bool = True
    exact: bool = False
    moves: bool = False


def of_grid(dims: int) -> list[Transformation]:
    """Of inputs ``(1, C, *S)`` of ``dims`` spatial axes: mirrored where they have two or more, cropped, smoothed."""
    names = {2: ("top to bottom", "left to right"), 3: ("front to back", "top to bottom", "left to right")}.get(
        dims, ()
    )
    mirrored = [
        Transformation(f"mirrored {name}", _flip(2 + axis), False, moves=True) for axis, name in enumerate(names)
    ]
    return [*mirrored, Transformation("cropped to 7/8", cropped, moves=True), Transformation("smoothed", smoothed)]


def of_values() -> list[Transformation]:
    """Of numbers without a stated range."""
    return [Transformation("values x 0.8", lambda x: 0.8 * x), Transformation("values x 1.25", lambda x: 1.25 * x)]


def of_pictures(spec: InputSpec) -> list[Transformation]:
    """Of pictures ``(1, C, H, W)`` prepared by ``spec``: light, colour, blur and JPEG at the input's own size."""
    changes: list[tuple[str, bool, Callable[[Image.Image], Image.Image]]] = [
        ("darker by 1/5", True, lambda image: ImageEnhance.Brightness(image).enhance(0.8)),
        ("brighter by 1/5", True, lambda image: ImageEnhance.Brightness(image).enhance(1.2)),
        ("contrast x 0.7", True, lambda image: ImageEnhance.Contrast(image).enhance(0.7)),
        ("colour x 0.5", True, lambda image: ImageEnhance.Color(image).enhance(0.5)),
        ("grey", False, lambda image: ImageEnhance.Color(image).enhance(0.0)),
        ("blurred, 1 pixel", True, lambda image: image.filter(ImageFilter.GaussianBlur(1))),
        ("blurred, 2 pixels", False, lambda image: image.filter(ImageFilter.GaussianBlur(2))),
        ("JPEG, quality 75", True, lambda image: jpeg(image, 75)),
        ("JPEG, quality 20", False, lambda image: jpeg(image, 20)),
    ]
    if len(spec.mean) == 1:
        changes = [change for change in changes if change[0] not in ("colour x 0.5", "grey")]
    return [Transformation(name, _painted(change, spec), mild) for name, mild, change in changes]


def of_graphs(generator: torch.Generator) -> list[Transformation]:
    """Of one graph of PyTorch Geometric: its nodes in another order, which no readout may see; a twentieth cut."""
    return [
        Transformation("nodes in another order", lambda graph: relabelled(graph, generator), exact=True),
        Transformation("a 20th of the edges cut", lambda graph: cut(graph, generator)),
    ]


def cropped(x: Tensor) -> Tensor:
    """The middle 7/8 of every axis, at the old size for two axes and more; a signal stays shorter, at its pitch."""
    for axis, side in enumerate(x.shape[2:]):
        length = max(1, round(side * CROP))
        x = x.narrow(2 + axis, (side - length) // 2, length) if length < side else x
    return x


def resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Linear, half-pixel; for inputs of two and three axes."""
    return interpolate(x, size, mode="bilinear" if len(size) == 2 else "trilinear", align_corners=False)


def smoothed(x: Tensor) -> Tensor:
    """The mean of three neighbours along every axis, fewer at the border."""
    found: Tensor = AVERAGES[x.ndim](x, 3, 1, 1, count_include_pad=False)
    return found


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Written and read again."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def pixels(x: Tensor, spec: InputSpec) -> np.ndarray:
    """The picture of an input ``(1, C, H, W)``, uint8 ``(H, W, 3)``: the inverse of ``normalized``."""
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (spec.mean, spec.std))
    scaled = (x[0].float().cpu() * std + mean) * 255
    own = scaled.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    return own.expand(*own.shape[:2], 3).contiguous().numpy()


def is_picture(x: Tensor, spec: InputSpec) -> bool:
    """Whether ``x`` can have been prepared by ``spec``: two axes, its channels, and within [0, 1] before."""
    if x.ndim != 4 or x.shape[1] != len(spec.mean):
        return False
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (spec.mean, spec.std))
    scaled = x[0].float().cpu() * std + mean
    return bool(((scaled > -0.01) & (scaled < 1.01)).all())


def relabelled(graph: Any, generator: torch.Generator) -> Any:
    """A copy with its nodes in a random order."""
    order = torch.randperm(graph.num_nodes, generator=generator)
    place, found = order.argsort(), graph.clone()
    for name, value in graph.to_dict().items():
        if name == "edge_index":
            found[name] = place.to(value.device)[value]
        elif isinstance(value, Tensor) and graph.is_node_attr(name):
            found[name] = value[order.to(value.device)]
    return found


def cut(graph: Any, generator: torch.Generator) -> Any:
    """A copy without a random twentieth of its edges, both directions of each."""
    ends = graph.edge_index.cpu().sort(0).values
    _, pair = torch.unique(ends, dim=1, return_inverse=True)
    count = int(pair.max()) + 1 if pair.numel() else 0
    stays = torch.rand(count, generator=generator) < EDGES
    found = graph.clone()
    for name, value in graph.to_dict().items():
        if name == "edge_index":
            found[name] = value[:, stays[pair].to(value.device)]
        elif isinstance(value, Tensor) and graph.is_edge_attr(name):
            found[name] = value[stays[pair].to(value.device)]
    return found


def _flip(axis: int) -> Callable[[Tensor], Tensor]:
    return lambda x: x.flip(axis)


def _painted(change: Callable[[Image.Image], Image.Image], spec: InputSpec) -> Callable[[Tensor], Tensor]:
    def apply(x: Tensor) -> Tensor:
        painted = np.asarray(change(Image.fromarray(pixels(x, spec))))
        return normalized(painted, spec).unsqueeze(0).to(x)

    return apply
