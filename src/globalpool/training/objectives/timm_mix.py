"""timm's Mixup on one part of a batch: the mixed inputs, who was mixed with whom, and where."""

from dataclasses import dataclass

import torch
from torch import Tensor

from globalpool.extras import need
from globalpool.training.draws import global_numpy


@dataclass(frozen=True, eq=False)
class TimmMix:
    """``inputs (n, C, *S)``; ``partner (n,)``; ``share ()``: of its own in each; ``mask (*S)``: the partner's."""

    inputs: Tensor
    partner: Tensor
    share: Tensor
    mask: Tensor


def timm_mix(where: str, inputs: Tensor, mixup: float, cutmix: float, random: torch.Generator) -> TimmMix:
    """``timm.data.Mixup`` in its mode "batch" with the given alphas, 0 for "not this one"; ``inputs`` stay as they are.

    timm pairs the first sample with the last and wants their number even: an odd part is completed with its middle
    sample, whose mixed twin is dropped. A channel of sample numbers goes with the pictures and comes back with the
    box in it; the labels are the samples themselves, so that their mixed form says who is in whom.
    """
    count, space = inputs.shape[0], inputs.shape[2:]
    order = torch.arange(count)
    if count % 2:
        order = torch.cat([order, order[count // 2, None]])
    places = torch.arange(len(order))
    number = places.to(inputs).reshape(-1, *(1 for _ in inputs.shape[1:])).expand(-1, 1, *space)
    mixer = need("timm.data", "images", where).Mixup(mixup, cutmix, label_smoothing=0.0, num_classes=len(order))
    with global_numpy(random):
        mixed, shares = mixer(torch.cat([inputs[order], number], 1), places)
    partner = order.flip(0)[:count]
    return TimmMix(mixed[:count, :-1], partner, shares[0, 0], mixed[0, -1] == len(order) - 1)
