"""Descriptors of all clients become one vector a class, and those a linear head: no weight of a trunk travels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from globalpool.errors import FederatedError
from globalpool.federated.descriptors import ClassDescriptors
from globalpool.federated.weights import best_linear_unbiased, between_variance, per_client, per_position, weighted

#: Who counts how much: see ``federated.weights`` for what each assumes.
Rule = Literal["per_client", "per_position", "best_linear_unbiased"]


@dataclass(frozen=True, eq=False)
class Prototypes:
    """``means (K, C)``, float64: one pooled vector a class."""

    means: Tensor

    def write(self, layer: nn.Linear) -> None:
        """Make ``layer`` the classifier by the nearest mean: ``logit_k = m_k . z - |m_k|^2 / 2``, in place.

        Its largest logit is the class of the smallest Euclidean distance, for every vector z.
        """
        classes, features = self.means.shape
        if (layer.out_features, layer.in_features) != (classes, features) or layer.bias is None:
            got = f"({layer.out_features}, {layer.in_features})" + ("" if layer.bias is not None else " without one")
            raise FederatedError("Prototypes", f"a linear layer ({classes}, {features}) with a bias", got)
        with torch.no_grad():
            layer.weight.copy_(self.means)
            layer.bias.copy_(-self.means.square().sum(1) / 2)


def aggregate(uploads: Sequence[ClassDescriptors], rule: Rule) -> Prototypes:
    """The mean of each class over the clients that have it, under one of three rules (Tan et al., FedProto, 2022).

    FederatedError for a class that no client has, and, for "best_linear_unbiased", where no client tells its noise.
    """
    if rule not in get_args(Rule):
        raise FederatedError("aggregate", f"`rule` as one of {', '.join(get_args(Rule))}", repr(rule))
    if not uploads or len({upload.means.shape for upload in uploads}) != 1:
        shapes = [tuple(upload.means.shape) for upload in uploads]
        raise FederatedError("aggregate", "descriptors (K, C) of one shape from a client or more", f"{shapes}")
    rows = []
    for number in range(len(uploads[0].means)):
        own = [upload for upload in uploads if int(upload.samples[number]) > 0]
        if not own:
            hint = "Ask a client with that class to take part, or leave the class out everywhere."
            raise FederatedError("aggregate", "samples of every class", f"none of class {number}", hint)
        rows.append(_mean(own, number, rule))
    return Prototypes(torch.stack(rows))


def _mean(uploads: Sequence[ClassDescriptors], number: int, rule: Rule) -> Tensor:
    means = torch.stack([upload.means[number] for upload in uploads])
    if rule == "per_client" or len(uploads) == 1:
        return weighted(means, per_client(len(uploads)))
    if rule == "per_position":
        return weighted(means, per_position([float(upload.positions[number]) for upload in uploads]))
    noise = torch.stack([upload.noise[number] for upload in uploads])
    told = (noise > 0).all(0)  # a channel that some client has constant (a ReLU that never opens) tells no noise
    if not bool(told.any()):
        hint = 'Each client needs two samples of a class; or take "per_client".'
        raise FederatedError("aggregate", "clients that tell their noise", "variances of 0", hint)
    result = weighted(means, per_client(len(uploads)))
    between = between_variance(means[:, told], noise[:, told])
    result[told] = weighted(means[:, told], best_linear_unbiased(noise[:, told], between))
    return result
