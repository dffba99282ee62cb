"""Evidence: what each position gave each logit, signed, in logit units, and the proof that it adds up."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from globalpool.errors import EvidenceError
from globalpool.evidence.spread import Size, spread
from globalpool.layout import Layout
from globalpool.layout.check import INTEGERS, check_integers, describe, require

Kind = Literal["linear", "weighted", "gated"]

#: Allowed residual relative to what was added up, by the weakest dtype in the chain: a few roundings.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 8e-2}


@dataclass(frozen=True, eq=False)
class Evidence:
    """``sum over positions of maps, + offset == logits``, for every sample and chosen class.

    - ``maps``: dense ``(N, K', *S)`` or ragged ``(T, K')``, logit units; 0 at absent positions;
    - ``classes (N, K')``: the class ids, ``logits (N, K')``, ``offset (N, K')``: what no position gave;
    - ``layout``: where the positions are;
    - ``kind``: "linear" (pool and tail affine: removing a position removes exactly its evidence), "weighted" (the
      weights depend on the features: adds up, but is no counterfactual) or "gated" (the tail is held linear);
    - ``view``: "raw", or what ``contrast`` and ``centered`` made of it; ``against (N,)`` the other class of a contrast;
    - ``num_classes``: K of the head;
    - ``tolerance``: the relative residual that rounding explains, by the weakest dtype of features, tail and logits;
    - ``magnitude (N, K')``: ``size()`` where it is not that of maps, offset and logit: of the raw numbers that a
      contrast or centred view was made of, of the terms of a tail of several layers.

    Exact over the positions of the last feature map, in eval mode; it does not say what the trunk did before.
    """

    maps: Tensor
    classes: Tensor
    logits: Tensor
    offset: Tensor
    layout: Layout
    kind: Kind
    num_classes: int
    tolerance: float
    view: Literal["raw", "contrast", "centered"] = "raw"
    against: Tensor | None = None
    magnitude: Tensor | None = None

    def residual(self) -> Tensor:
        """``|sum of maps + offset - logits|``, ``(N, K')``, logit units; a measurement, without gradient."""
        return (self.layout.sum_samples(self.maps) + self.offset - self.logits).abs().detach()

    def check(self, rtol: float | None = None) -> Self:
        """Itself, or EvidenceError where the residual exceeds ``rtol * max(1, sum |maps|, |offset|, |logit|)``.

        ``rtol`` None is ``tolerance``: 1e-12 in float64, 1e-5 in float32, 1e-2 in float16, 8e-2 in bfloat16. Views
        are held to the raw numbers they are differences of. NaN fails.
        """
        rtol = self.tolerance if rtol is None else rtol
        residual = self.residual()
        allowed = rtol * self.size().clamp(min=1)
        if not bool(self.logits.isfinite().all()):
            hint = "NaN or Inf came with the features or grew in the tail."
            raise EvidenceError("Evidence.check", "finite logits", "NaN or Inf", hint)
        if not bool((residual <= allowed).all()):
            worst = int(torch.where(residual.isnan(), float("inf"), residual / allowed).argmax())
            sample, column = divmod(worst, residual.shape[1])
            raise EvidenceError(
                "Evidence.check",
                f"a residual of at most {float(allowed[sample, column]):.3g} (rtol {rtol:g})",
                f"{float(residual[sample, column]):.3g} for sample {sample}, class {int(self.classes[sample, column])}",
                "The maps do not add up to this logit; a weaker dtype or overflow is the usual cause.",
            )
        return self

    def detach(self) -> "Evidence":
        """The same evidence without an autograd graph."""
        tensors = {name: getattr(self, name).detach() for name in ("maps", "logits", "offset")}
        return replace(self, **tensors)

    def select(self, classes: int | Tensor) -> "Evidence":
        """The same evidence for fewer classes: an id, or ids ``(N,)`` or ``(N, k)`` that must be present."""
        classes = self._ids(classes) if isinstance(classes, int) else classes
        ids = check_integers("Evidence.select", "classes", classes, (None,) * max(classes.ndim, 1), "class ids")
        columns = self._columns(ids if ids.ndim == 2 else ids.unsqueeze(1))
        pick = {name: getattr(self, name).gather(1, columns) for name in ("classes", "logits", "offset")}
        if self.magnitude is not None:
            pick["magnitude"] = self.magnitude.gather(1, columns)
        return replace(self, maps=self._take(columns), **pick)

    def contrast(self, i: int | Tensor, j: int | Tensor) -> "Evidence":
        """Evidence for class ``i`` over class ``j``; sums to the difference of their logits.

        Ids, or one a sample ``(N,)``; both must be present. Returns K' = 1 with ``classes`` = i, ``against`` = j.
        Unlike raw maps it does not change when one vector is added to every row of the tail.
        """
        first, second = self.select(self._ids(i)), self.select(self._ids(j))
        return replace(
            first,
            maps=first.maps - second.maps,
            logits=first.logits - second.logits,
            offset=first.offset - second.offset,
            magnitude=torch.maximum(first.size(), second.size()),
            view="contrast",
            against=second.classes[:, 0],
        )

    def centered(self) -> "Evidence":
        """Evidence against the mean of all classes, which must all be present; sums to logit minus mean logit."""
        if self.maps.shape[1] != self.num_classes or self.view != "raw":
            raise EvidenceError(
                "Evidence.centered",
                f"raw evidence for all {self.num_classes} classes",
                f"{self.view} evidence for {self.maps.shape[1]}",
                'Ask for classes="all", center, then select.',
            )
        return replace(
            self,
            maps=self.maps - self.maps.mean(1, keepdim=True),
            logits=self.logits - self.logits.mean(1, keepdim=True),
            offset=self.offset - self.offset.mean(1, keepdim=True),
            magnitude=torch.maximum(self.size(), self.size().mean(1, keepdim=True)),
            view="centered",
        )

    def offset_share(self) -> Tensor:
        """``(K',)``: how much of each logit's variation between samples the offset carries; see ``offset_share``."""
        if not bool((self.classes == self.classes[:1]).all()):
            raise EvidenceError("Evidence.offset_share", "the same classes in every sample", "different ones")
        return offset_share(self.offset, self.logits)

    def upsample(self, size: Size, sizes: Tensor | None = None) -> Tensor | list[Tensor]:
        """Maps at another resolution with the same sums: each cell hands out exactly its own evidence.

        Bilinear (half-pixel) where an axis grows, by area where it shrinks; only to the sample's own real pixels.
        Dense: ``(N, K', *size)``, ``size`` being the canvas, ``sizes (N, D)`` each sample's own pixels (default: in
        proportion to its extent). Ragged with shapes: a list of ``(K', *size)``, or one size a sample by ``sizes``.
        """
        return spread(self.maps, self.layout, size, sizes, conserve=True)

    def interpolate(self, size: Size, sizes: Tensor | None = None) -> Tensor | list[Tensor]:
        """Maps at another resolution with the same values, for display only: the sums change."""
        return spread(self.maps, self.layout, size, sizes, conserve=False)

    def size(self) -> Tensor:
        """How large the numbers are that were added up, ``(N, K')``, which roundings are relative to; detached."""
        if self.magnitude is not None:
            return self.magnitude
        given = self.layout.sum_samples(self.maps.detach().abs())
        return torch.stack([given, self.offset.detach().abs().to(given), self.logits.detach().abs().to(given)]).amax(0)

    def _ids(self, classes: int | Tensor) -> Tensor:
        samples = self.classes.shape[0]
        if isinstance(classes, int) and not isinstance(classes, bool):
            return torch.full((samples,), classes, device=self.classes.device)
        if isinstance(classes, Tensor) and classes.dtype in INTEGERS and classes.shape in ((), (samples,)):
            return classes.to(self.classes.device).expand(samples)
        expected = f"an id, or one a sample as integers ({samples},)"
        raise EvidenceError("Evidence.contrast", expected, describe(classes))

    def _columns(self, wanted: Tensor) -> Tensor:
        found = self.classes.unsqueeze(1) == wanted.unsqueeze(2)
        require(
            found.any(2).all(),
            lambda: EvidenceError(
                "Evidence",
                "classes that are present",
                f"classes {wanted[~found.any(2)].unique().tolist()[:8]} absent in samples "
                f"{(~found.any(2)).any(1).nonzero().flatten().tolist()[:8]}",
                'Ask for them: evidence(x, classes="all") or their ids.',
            ),
        )
        return found.to(torch.uint8).argmax(2)

    def _take(self, columns: Tensor) -> Tensor:
        maps = self.layout.to_last(self.maps)
        place = self.layout.of_sample(columns).expand(*maps.shape[:-1], columns.shape[1])
        return self.layout.from_last(maps.gather(-1, place))


def offset_share(offset: Tensor, logits: Tensor) -> Tensor:
    """``cov(offset, logit) / var(logit)`` between samples: how much of a logit's variation the offset carries.

    Both ``(N, K)``; returns ``(K,)``. The offset's and the maps' shares add up to 1; 0 for a linear head, whose
    offset is the same everywhere. NaN where the logit does not vary (N = 1).
    """
    logits, offset = logits.double(), offset.double()
    spread_ = logits - logits.mean(0)
    return ((offset - offset.mean(0)) * spread_).mean(0) / spread_.square().mean(0)
