"""Who is mixed with whom, and what that makes of the labels."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Pairing:
    """Sample ``i`` of ``n`` is mixed with ``partner[i]``.

    ``own``, ``other``: the weights of its own and its partner's labels, ``(n, 1)``, or ``(n, K)`` where they differ by
    class. By area they add up to 1; by evidence they need not, as in SnapMix: a box may take the object and bring
    background.
    """

    partner: Tensor
    own: Tensor
    other: Tensor

    def targets(self, shares: Tensor) -> Tensor:
        """Labels ``(n, K)`` of the mixed samples from those of the samples before, ``shares (n, K)``."""
        return self.own * shares + self.other * shares[self.partner]


def by_area(partner: Tensor, mask: Tensor) -> Pairing:
    """Labels by how much of the grid a box takes; ``mask (*S)``, True where the partner's positions are."""
    # Counted in whole positions, so that the two weights add up to one exactly.
    taken = mask.double().mean().to(torch.get_default_dtype()).to(partner.device)
    weight = taken.expand(len(partner), 1)
    return Pairing(partner, 1 - weight, weight)


def evidence_mass(maps: Tensor) -> Tensor:
    """``(n, K', *S)``: each map's rise above its least value, scaled to the sum 1; the same everywhere for a flat map.

    The mass that SnapMix hands labels out by (Huang, Wang, Tao 2021, section 3.2), for maps that are signed.
    """
    flat = maps.flatten(2)
    risen = flat - flat.amin(2, keepdim=True)
    total = risen.sum(2, keepdim=True)
    return torch.where(total > 0, risen / torch.where(total > 0, total, 1), 1 / flat.shape[2]).reshape(maps.shape)


def by_evidence(partner: Tensor, mask: Tensor, maps: Tensor) -> Pairing:
    """Labels by how much of the evidence stays and comes.

    ``maps (n, 1 or K, *S)``: evidence for each sample's own class, or for all; ``mask (*S)`` as for ``by_area``.
    """
    mass = evidence_mass(maps)
    inside = (mass * mask.to(mass)).flatten(2).sum(2)
    return Pairing(partner, (mass * (~mask).to(mass)).flatten(2).sum(2), inside[partner])
