"""Squeeze-and-excitation: what the whole sample holds decides how much each channel counts."""

from typing import Unpack

from torch import Tensor, nn

from globalpool import kernels
from globalpool.errors import PoolError
from globalpool.layout import Layout, LayoutArguments
from globalpool.pools import Mean, Pool
from globalpool.pools.base import check_pool_type
from globalpool.pools.scores import check_channels


class SqueezeExcite(nn.Module):
    """``y[c, p] = g[c] x[c, p]`` with ``g = gate(expand(activation(reduce(squeeze(x)))))``, one number a channel.

    Shape and layout of the result are those of ``x``: dense ``(N, C, *S)`` with one to three spatial axes, channels
    last, padded, ragged ``(T, C)``. What is absent comes out as zeros and gets no gradient; NaN there has no effect.
    A measure weighs positions in the squeeze and does not multiply the result.

    ``squeeze``: any pool that reduces all axes; None is ``Mean``. ``Attention(channels)`` makes it a global-context
    block (Cao et al. 2019, with a gate in the place of the addition). ``reduction``, ``minimum``: the hidden width is
    ``max(channels // reduction, minimum)`` exactly; timm rounds it to multiples of 8. ``activation``, ``gate``: None
    is ReLU, Sigmoid. Parameters: ``2 C^2 / r + C + C / r`` with biases, under ``Mean``. Both layers start with the
    deviation of He et al. (2015). They compute in their own dtype; the gates are then cast to that of ``x``.

    ``inplace``: where autograd records nothing, the product is written into the memory of ``x`` (with a mask, into
    the zeroed copy of it that the mask asks for anyway); where it records, never.

    Not affine: a product of two functions of ``x``, so evidence and mixtures do not pass through it. With a zero
    ``expand`` it is ``x / 2`` exactly, and a fresh block stands near that: without a norm after it, it halves the
    signal. A circular shift of ``x`` shifts the result where the squeeze does not ask for positions.
    Hu, Shen, Sun, Squeeze-and-Excitation Networks (2018), section 3.
    """

    def __init__(
        self,
        channels: int,
        *,
        squeeze: Pool | None = None,
        reduction: int = 16,
        minimum: int = 1,
        bias: bool = True,
        activation: nn.Module | None = None,
        gate: nn.Module | None = None,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        for name, number in (("channels", channels), ("reduction", reduction), ("minimum", minimum)):
            if not isinstance(number, int) or number < 1:
                raise PoolError("SqueezeExcite", f"`{name}` as a whole number of at least 1", repr(number))
        squeeze = Mean() if squeeze is None else squeeze
        check_pool_type("SqueezeExcite", squeeze)
        if squeeze.dim is not None:
            hint = "A channel has one gate for all positions: leave `dim` out."
            raise PoolError("SqueezeExcite", "a squeeze that reduces every axis", f"dim={squeeze.dim}", hint)
        self.channels, self.inplace, self.squeeze = channels, inplace, squeeze
        hidden = max(channels // reduction, minimum)
        self.reduce = nn.Linear(squeeze.out_features(channels), hidden, bias=bias)
        self.activation = nn.ReLU() if activation is None else activation
        self.expand = nn.Linear(hidden, channels, bias=bias)
        self.gate = nn.Sigmoid() if gate is None else gate
        for layer in (self.reduce, self.expand):
            # torch's own start is smaller: with it, half of the learned test's networks never left the plateau.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def gates(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """What each channel of each sample is multiplied by: ``(N, C)`` in the dtype of ``x``."""
        return self._gates(*self._arrange(x, **layout))

    def forward(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """``x`` with every channel of every sample scaled by its gate, in the shape and dtype of ``x``."""
        features, arranged = self._arrange(x, **layout)
        gates = self._gates(features, arranged)
        scale = arranged.spread(gates)
        recorded = kernels.differentiating(features, gates)
        if recorded:
            scaled = features * scale
        else:
            scaled = features.mul_(scale) if self.inplace else kernels.product(features, scale)
        return scaled.movedim(1, layout.get("channel_dim", 1))

    def _arrange(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> tuple[Tensor, Layout]:
        features, arranged = self.squeeze.arrange(x, **layout)
        check_channels("SqueezeExcite", self.channels, features)
        return features, arranged

    def _gates(self, features: Tensor, arranged: Layout) -> Tensor:
        squeezed = self.squeeze.pooled(features, arranged).flatten(1)
        hidden = self.activation(self.reduce(squeezed.to(self.reduce.weight.dtype)))
        gates: Tensor = self.gate(self.expand(hidden))
        return gates.to(features.dtype)

    def extra_repr(self) -> str:
        """Channels and hidden width, for ``repr``."""
        return f"{self.channels}, hidden={self.reduce.out_features}" + (", inplace=True" if self.inplace else "")
