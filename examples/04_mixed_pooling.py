"""Mean or Sum: what happens at another resolution to a proportion, and to a count.

    python examples/04_mixed_pooling.py figure.png

A head is fitted, in closed form, on feature maps of 16 x 16 and asked at other sizes. The class of a texture does not
grow with the map: the Sum's weights must be multiplied by N_trained / N, which the likelihood shows and accuracy does
not. The number of dots does grow: the Mean cannot count, and a rescaled Sum cannot either.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import globalpool as gp
from globalpool.surgery import fit_head

SIDE, SIDES = 16, (8, 12, 16, 24, 32)


def textures(count: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Channel 0 is 1 with probability q, else -1; the class is 1 with probability sigmoid(6 q - 3)."""
    random = torch.Generator().manual_seed(seed)
    q = torch.rand(count, 1, 1, generator=random)
    x = torch.randn(count, 3, side, side, generator=random)
    x[:, 0] = 2 * (torch.rand(count, side, side, generator=random) < q).float() - 1
    return x, (torch.rand(count, generator=random) < (6 * q.flatten() - 3).sigmoid()).long()


def dots(count: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Up to one dot in 50 cells adds 1 to a cell of channel 0; every cell has noise of 0.003."""
    random = torch.Generator().manual_seed(seed)
    x = 0.003 * torch.randn(count, 3, side, side, generator=random)
    number = torch.randint(0, side**2 // 50 + 1, (count,), generator=random)
    for picture, many in zip(x, number.tolist(), strict=True):
        picture[0].view(-1).index_add_(0, torch.randint(0, side**2, (many,), generator=random), torch.ones(many))
    return x, number.float()[:, None]


def fitted(pool: gp.Pool, data: tuple[Tensor, Tensor]) -> gp.PooledClassifier:
    classes = data[1].ndim == 1
    tail = nn.Linear(3, 2 if classes else 1, bias=not classes)
    classifier = gp.PooledClassifier(nn.Identity(), pool, tail)
    fit_head(classifier, [data], "logistic" if classes else "ridge", 1e-2 if classes else 1e-4)
    return classifier


def main(out: Path) -> None:
    training = {textures: textures(2000, SIDE, 0), dots: dots(400, SIDE, 0)}
    curves: dict[str, dict[str, list[float]]] = {"nll": {}, "accuracy": {}, "error": {}}
    for task, data in training.items():
        by_sum, by_mean = fitted(gp.Sum(), data), fitted(gp.Mean(), data)
        for side in SIDES:
            x, y = task(2000 if task is textures else 300, side, 1)
            rescaled = by_sum.at_resolution((side, side), trained_at=(SIDE, SIDE))
            for name, classifier in (("Mean", by_mean), ("Sum", by_sum), ("Sum, rescaled", rescaled)):
                with torch.no_grad():
                    logits = classifier(x)
                if task is dots:
                    curves["error"].setdefault(name, []).append(float((logits - y).abs().mean()))
                    continue
                curves["nll"].setdefault(name, []).append(float(nn.functional.cross_entropy(logits, y)))
                curves["accuracy"].setdefault(name, []).append(float((logits.argmax(1) == y).float().mean()))
    for what, of in curves.items():
        for name, values in of.items():
            print(f"{what:9} {name:14}" + "".join(f"{value:8.3f}" for value in values))
    nll, error = curves["nll"], curves["error"]
    assert nll["Sum"][-1] > 1.5 * nll["Sum, rescaled"][-1]
    assert abs(nll["Sum, rescaled"][-1] - nll["Mean"][-1]) < 0.01
    assert curves["accuracy"]["Sum"] == curves["accuracy"]["Sum, rescaled"]  # no bias: accuracy is blind
    assert max(error["Sum"]) < 0.5
    assert min(error[name][-1] for name in ("Mean", "Sum, rescaled")) > 3 * error["Sum"][-1]

    figure = Figure((11, 3.4), layout="constrained")
    titles = ("texture: NLL, nats", "texture: accuracy", "dots: mean error of the count")
    for panel, title, of in zip(figure.subplots(1, 3), titles, curves.values(), strict=True):
        for (name, values), style in zip(of.items(), ("o-", "s-", "^:"), strict=True):
            panel.plot(SIDES, values, style, label=name, markersize=5)
        panel.axvline(SIDE, color="gray", linewidth=0.8, linestyle="--")
        panel.set_title(title)
        panel.set_xlabel(f"side of the feature map (fitted at {SIDE})")
    figure.axes[1].set_ylim(0.5, 1)
    figure.axes[0].legend(frameon=False)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "04_mixed_pooling.png"))
