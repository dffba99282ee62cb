"""Samples with an object whose place is known, and a classifier that goes by it and by nothing else."""

import torch
from torch import Tensor, nn

import globalpool as gp
from globalpool.audits import AuditData

CLASSES, SIDE, STRIDE = 6, 32, 4


def objects(samples: int = 8, seed: int = 0) -> AuditData:
    """A bright square of one of six colours, 8 pixels wide, on noise; ``ids`` hold its corner as ``x,y``."""
    random = torch.Generator().manual_seed(seed)
    inputs, targets, ids = [], [], []
    for number in range(samples):
        x = 0.2 * torch.rand(1, CLASSES, SIDE, SIDE, generator=random)
        row, column = (STRIDE * torch.randint(0, 7, (2,), generator=random)).tolist()
        x[0, number % CLASSES, row : row + 8, column : column + 8] += 1
        inputs.append(x)
        targets.append(number % CLASSES)
        ids.append(f"{column},{row}")
    return AuditData(tuple(inputs), torch.tensor(targets), True, tuple(ids))


def looker(kind: type[gp.PooledClassifier] = gp.PooledClassifier, pool: gp.Pool | None = None) -> gp.PooledClassifier:
    """Means over 4 x 4 pixels through a 1 x 1 convolution that keeps colours; a class a colour."""
    colours = nn.Conv2d(CLASSES, CLASSES, 1, bias=False)
    tail = nn.Linear(CLASSES, CLASSES)
    with torch.no_grad():
        colours.weight.copy_(torch.eye(CLASSES)[:, :, None, None])
        tail.weight.copy_(60 * torch.eye(CLASSES))
        tail.bias.copy_(torch.linspace(-0.5, 0.5, CLASSES))
    trunk = nn.Sequential(nn.AvgPool2d(STRIDE), colours)
    return kind(trunk, gp.Mean() if pool is None else pool, tail).eval()


def snapshot(module: nn.Module) -> list[Tensor]:
    """Everything that an audit must leave as it was."""
    return [one.detach().clone() for one in module.state_dict().values()]
