"""Maps of one class a picture, from a classifier: which view of the evidence, and at which sizes of the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from globalpool.classifier import PooledClassifier
from globalpool.errors import LocalizationError
from globalpool.evidence import Evidence, evaluating
from globalpool.localize.heatmaps import Heatmaps

Array = NDArray[Any]


@dataclass(frozen=True)
class MapRecipe:
    """How a class's map is made.

    - ``view``: "raw", evidence for the class, with Mean the class activation map (Zhou et al., 2016); "contrast",
      for it over the strongest other class; "centered", for it over the mean of all classes. The last two have a zero;
    - ``scales``: factors of the picture's sides at which it goes through the classifier. Each gives a map in logit
      units, spread over the picture's pixels with its sum kept, and their mean is taken: it still adds up, with the
      mean offset, to the mean logit.
    """

    view: Literal["raw", "contrast", "centered"] = "raw"
    scales: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        if self.view not in ("raw", "contrast", "centered"):
            raise LocalizationError("MapRecipe", '`view` "raw", "contrast" or "centered"', repr(self.view))
        if not self.scales or not all(0 < scale < float("inf") for scale in self.scales):
            raise LocalizationError("MapRecipe", "`scales` above 0, one or more", str(self.scales))


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """``maps``: one a picture, of class ``classes (N,)``; ``logits (N, K)``: of the pictures at their own size."""

    maps: Heatmaps
    classes: Tensor
    logits: Tensor


def class_maps(
    classifier: PooledClassifier,
    x: Tensor,
    size: Sequence[int] | None = None,
    *,
    classes: Tensor | None = None,
    recipe: MapRecipe | None = None,
) -> ClassMaps:
    """Maps of one class for inputs ``x (N, C, *S)`` in eval mode, at ``size`` (default: that of ``x``).

    ``classes (N,)``: ids; None takes the class with the highest logit at the inputs' own size. ``recipe`` None: raw
    evidence at that size. LocalizationError for a classifier of one class where another is needed.
    """
    recipe = MapRecipe() if recipe is None else recipe
    shape = tuple(x.shape[2:] if size is None else size)
    with torch.no_grad(), evaluating(classifier):
        logits = classifier(x)
        if recipe.view != "raw" and logits.shape[1] < 2:
            raise LocalizationError("class_maps", f"two classes or more for {recipe.view} evidence", "one")
        own = logits.argmax(1) if classes is None else classes.to(logits.device)
        other = logits.scatter(1, own[:, None], -torch.inf).argmax(1)
        total: Tensor | None = None
        for scale in recipe.scales:
            evidence = _viewed(classifier, scaled_input(x, scale), own, other, recipe)
            spread = evidence.upsample(shape)
            assert isinstance(spread, Tensor), "inputs of one size give dense maps"
            total = spread if total is None else total + spread
    assert total is not None, "a recipe has a scale"
    values = (total[:, 0] / len(recipe.scales)).cpu().numpy()
    return ClassMaps(Heatmaps(tuple(np.asarray(one) for one in values), recipe.view), own, logits)


def scaled_input(x: Tensor, scale: float) -> Tensor:
    """``x (N, C, *S)`` with sides ``scale`` times as long (rounded, at least 1), by linear interpolation."""
    shape = [max(1, round(side * scale)) for side in x.shape[2:]]
    if shape == list(x.shape[2:]):
        return x
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(shape)]
    smooth = scale < 1 and mode == "bilinear"
    return interpolate(x, shape, mode=mode, align_corners=False, antialias=smooth)


def _viewed(classifier: PooledClassifier, x: Tensor, own: Tensor, other: Tensor, recipe: MapRecipe) -> Evidence:
    if recipe.view == "centered":
        return classifier.evidence(x, "all").centered().select(own)
    if recipe.view == "contrast":
        return classifier.evidence(x, torch.stack([own, other], 1)).contrast(own, other)
    return classifier.evidence(x, own)
