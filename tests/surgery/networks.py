"""Small networks with every kind of end a classifier may have; float64, random weights, 3 x 24 x 24 pictures."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, CLASSES = 8, 5


def trunk() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, WIDTH, 3, 2, 1), nn.SiLU()
    )


class Network(nn.Module):
    """A convolutional trunk and a function for the end, which may use the modules given."""

    def __init__(self, end: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk()
        self.end = end
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self, self.trunk(x))


class Tokens(nn.Module):
    """A small transformer: patches of 4 pixels, ``extra`` tokens in front, attention written out or torch's own."""

    def __init__(self, end: Callable[[Any, Tensor], Tensor], extra: int = 1, own: bool = True, **modules: nn.Module):
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, 4, 4)
        self.extra = nn.Parameter(torch.randn(1, extra, WIDTH))
        self.place = nn.Parameter(torch.randn(1, 36 + extra, WIDTH))
        self.blocks = nn.ModuleList(Block() if own else layer() for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.end = end
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.extra.expand(x.shape[0], -1, -1), x], 1) + self.place
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.end(self, self.norm(x))
        return logits


def layer() -> nn.Module:
    return nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.1, "gelu", batch_first=True, norm_first=True)


class Block(nn.Module):
    """Attention written with softmax and matrix products, then an MLP; both residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 16), nn.GELU(), nn.Linear(16, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        samples, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(samples, tokens, 3, 2, width // 2).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * (width // 2) ** -0.5).softmax(-1)
        x = x + self.proj((weights @ v).transpose(1, 2).reshape(samples, tokens, width))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


def bordered(x: Tensor) -> Tensor:
    """One inside, two at the border; written into parts of a table, as shifted windows write their masks."""
    table = x.new_ones(x.shape[2:])
    table[:1] = 2
    table[:, -1] = 2
    return table


def linear(width: int = WIDTH) -> nn.Linear:
    return nn.Linear(width, CLASSES)


def mlp(width: int = WIDTH) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 12), nn.GELU(), nn.Dropout(0.2), nn.Linear(12, CLASSES))


class LatentPool(nn.Module):
    """One learned query, torch's attention, then a projection and the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.kv, self.proj, self.head = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH), linear()

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)
        samples = x.shape[0]
        k, v = self.kv(x).reshape(samples, -1, 2, 2, WIDTH // 2).permute(2, 0, 3, 1, 4).unbind(0)
        q = self.query.expand(samples, -1, -1).reshape(samples, 1, 2, WIDTH // 2).transpose(1, 2)
        pooled = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(samples, WIDTH)
        logits: Tensor = self.head(self.proj(pooled))
        return logits


def networks() -> dict[str, tuple[Callable[[], nn.Module], str, str]]:
    """Name: (how to build it, the kind its evidence must have, the pool's name)."""
    mean: Any = lambda x: x.mean((2, 3))  # noqa: E731
    return {
        "mean, linear": (lambda: Network(lambda m, x: m.fc(mean(x)), fc=linear()), "linear", "Mean"),
        "log-probabilities": (
            lambda: Network(lambda m, x: functional.log_softmax(m.fc(mean(x)), dim=-1), fc=linear()),
            "gated",
            "Mean",
        ),
        "adaptive, 1x1 convolution": (
            lambda: Network(
                lambda m, x: m.fc(functional.adaptive_avg_pool2d(x, 1)).flatten(1), fc=nn.Conv2d(WIDTH, CLASSES, 1)
            ),
            "linear",
            "Mean",
        ),
        "channels last": (
            lambda: Network(lambda m, x: m.fc(x.permute(0, 2, 3, 1).mean((1, 2))), fc=linear()),
            "linear",
            "Mean",
        ),
        "window as large as the map": (
            lambda: Network(lambda m, x: m.fc(functional.avg_pool2d(x, 6).flatten(1)), fc=linear()),
            "linear",
            "Mean",
        ),
        "batch norm, two heads": (
            lambda: Network(
                lambda m, x: (m.a(mean(x)) + m.b(mean(x))) / 2,
                a=nn.Sequential(nn.BatchNorm1d(WIDTH), linear()),
                b=linear(),
            ),
            "linear",
            "Mean",
        ),
        "stacked heads": (
            lambda: Network(lambda m, x: torch.stack([m.a(mean(x)), m.b(mean(x))]).mean(0), a=linear(), b=linear()),
            "linear",
            "Mean",
        ),
        "norm, mlp": (lambda: Network(lambda m, x: m.fc(mean(x)), fc=mlp()), "gated", "Mean"),
        "unit length": (
            lambda: Network(lambda m, x: m.fc(functional.normalize(mean(x))), fc=nn.Linear(WIDTH, CLASSES, bias=False)),
            "gated",
            "Mean",
        ),
        "own gate": (
            lambda: Network(
                lambda m, x: m.fc(mean(x) * torch.sigmoid(m.gate(mean(x)))), gate=nn.Linear(WIDTH, WIDTH), fc=linear()
            ),
            "gated",
            "Mean",
        ),
        "hidden residual": (
            lambda: Network(
                lambda m, x: m.fc(mean(x) + m.hidden(mean(x))),
                hidden=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Hardswish()),
                fc=linear(),
            ),
            "gated",
            "Mean",
        ),
        "maximum": (lambda: Network(lambda m, x: m.fc(x.amax((2, 3))), fc=linear()), "weighted", "Max"),
        "mean and maximum side by side": (
            lambda: Network(lambda m, x: m.fc(torch.cat([mean(x), x.amax((2, 3))], 1)), fc=linear(2 * WIDTH)),
            "weighted",
            "Concat",
        ),
        "mean and maximum averaged": (
            lambda: Network(
                lambda m, x: m.fc(
                    0.5 * (functional.adaptive_avg_pool2d(x, 1) + functional.adaptive_max_pool2d(x, 1)).flatten(1)
                ),
                fc=linear(),
            ),
            "weighted",
            "Concat",
        ),
        "sum": (lambda: Network(lambda m, x: m.fc(x.sum((-1, -2))), fc=linear()), "linear", "Sum"),
        "regions, flat": (
            lambda: Network(
                lambda m, x: m.fc(functional.adaptive_avg_pool2d(x, (4, 3)).flatten(1)), fc=mlp(12 * WIDTH)
            ),
            "gated",
            "Grid",
        ),
        "flat": (lambda: Network(lambda m, x: m.fc(x.flatten(1)), fc=linear(36 * WIDTH)), "linear", "Grid"),
        "a convolution as large as the map": (
            lambda: Network(
                lambda m, x: m.fc(m.conv(x).relu().mean((2, 3))), conv=nn.Conv2d(WIDTH, 10, 6), fc=linear(10)
            ),
            "gated",
            "Grid",
        ),
        "tokens, mean without the first": (
            lambda: Tokens(lambda m, x: m.fc(x[:, 1:].mean(1)), fc=linear()),
            "linear",
            "Mean",
        ),
        "class token": (lambda: Tokens(lambda m, x: m.fc(x[:, 0]), fc=linear()), "gated", "Carried"),
        "two tokens, two heads": (
            lambda: Tokens(lambda m, x: (m.a(x[:, 0]) + m.b(x[:, 1])) / 2, extra=2, a=linear(), b=linear()),
            "gated",
            "Carried",
        ),
        "a token behind slices": (
            lambda: Tokens(lambda m, x: m.fc(x[:, 1:4][:, 0]), extra=2, fc=linear()),
            "gated",
            "Carried",
        ),
        "class token, torch's layers": (
            lambda: Tokens(lambda m, x: m.fc(x[:, 0]), own=False, fc=linear()),
            "gated",
            "Carried",
        ),
        "a table filled in place": (
            lambda: Network(lambda m, x: m.fc((x * bordered(x)).mean((2, 3))), fc=linear()),
            "weighted",  # the tracer cannot know that the table is the same for every picture
            "Carried",
        ),
        "fixed weights": (
            lambda: Network(
                lambda m, x: m.fc((m.rows.weight[None] @ x.flatten(2).mT).flatten(1)),
                rows=nn.Linear(36, 2),
                fc=linear(2 * WIDTH),
            ),
            "linear",
            "Carried",
        ),
        "latent query": (lambda: Network(lambda m, x: m.pool(x), pool=LatentPool()), "weighted", "Carried"),
    }


def traps() -> dict[str, tuple[Callable[[], nn.Module], str]]:
    """Ends that look like pool and linear layer and are not: (how to build it, the honest kind)."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.rand(6, 6) + 0.5)

        def forward(self, x: Tensor, start: int = 0) -> Tensor:
            return (x * self.scale)[:, :, :, start:].mean((2, 3))

    return {
        "relu between class maps and pool": (
            lambda: Network(lambda m, x: m.maps(x).relu().mean((2, 3)), maps=nn.Conv2d(WIDTH, CLASSES, 1)),
            "gated",
        ),
        "relu between class maps and pool, as in SqueezeNet": (
            lambda: Network(
                lambda m, x: m.last(x),
                last=nn.Sequential(
                    nn.Dropout(0.5),
                    nn.Conv2d(WIDTH, CLASSES, 1),
                    nn.ReLU(inplace=True),
                    nn.AdaptiveAvgPool2d((1, 1)),
                    nn.Flatten(),
                ),
            ),
            "gated",
        ),
        "pool over a subset": (
            lambda: Network(lambda m, x: m.fc(x[:, :, 1:, :4].mean((2, 3))), fc=linear()),
            "weighted",
        ),
        "adaptive pool over a subset": (
            lambda: Network(lambda m, x: m.fc(functional.adaptive_avg_pool2d(x[..., 1:-2], 1).flatten(1)), fc=linear()),
            "weighted",
        ),
        "scale of each position": (
            lambda: Network(lambda m, x: m.fc(m.scaled(x)), scaled=Scaled(), fc=linear()),
            "weighted",
        ),
        "scale of each position, then a subset": (
            lambda: Network(lambda m, x: m.fc(m.scaled(x, -4)), scaled=Scaled(), fc=linear()),
            "weighted",
        ),
        "scale of a subset": (
            lambda: Network(
                lambda m, x: m.fc((x[:, :, 1:5] * m.scaled.scale[1:5]).sum((2, 3))), scaled=Scaled(), fc=linear()
            ),
            "weighted",
        ),
        "activation after the pool": (lambda: Network(lambda m, x: m.fc(x.mean((2, 3)).tanh()), fc=linear()), "gated"),
        "activation after the logits": (
            lambda: Network(lambda m, x: m.fc(x.mean((2, 3))).relu(), fc=linear()),
            "gated",
        ),
        "weights from the features": (
            lambda: Network(
                lambda m, x: m.fc((x * m.score(x).flatten(2).softmax(2).unflatten(2, x.shape[2:])).sum((2, 3))),
                score=nn.Conv2d(WIDTH, 1, 1),
                fc=linear(),
            ),
            "weighted",
        ),
        "a second branch": (
            lambda: Network(lambda m, x: m.fc(x.mean((2, 3))) + m.other(x.std((2, 3))), fc=linear(), other=linear()),
            "gated",
        ),
    }


def build(make: Callable[[], nn.Module]) -> nn.Module:
    """The network in float64 and eval mode, with statistics and weights that are not the initial ones."""
    torch.manual_seed(0)
    network = make().double()
    for module in network.modules():
        norm: Any = module
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            nn.init.normal_(norm.weight, 1, 0.3)
            nn.init.normal_(norm.bias)
    return network.eval()
