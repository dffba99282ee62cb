"""Any input size: a sample gives the same logits alone, in a padded batch and in a ragged batch.

    python examples/02_any_size.py figure.png

Three photographs of different sizes go through one trained network at their own aspect. Their feature maps meet in
one batch, once padded and once ragged. A careless mean over the padded canvas dilutes every logit; the figure shows
how far, as the canvas grows; and what another resolution does, which no pool can undo: the audit of the same network.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

import globalpool as gp
from globalpool.audits import RESOLUTION
from globalpool.report.audit_figures import draw_chart

SIDES = (("chelsea.png", (224, 320)), ("coffee.png", (224, 352)), ("astronaut.png", (256, 256)))


def main(out: Path) -> None:
    classifier = gp.models.efficientnet_lite0()
    head = gp.PooledHead(classifier.pool, 1280, 1000)
    head.load_state_dict({f"tail.{name}": value for name, value in classifier.tail.state_dict().items()})
    assert classifier.input_spec is not None
    assert classifier.labels is not None
    paths = {path.name: path for path in gp.data.photographs()}
    with torch.inference_mode():
        maps = []
        for name, sides in SIDES:
            whole = gp.data.prepare(gp.data.read_picture(paths[name]), classifier.input_spec, None)
            picture = torch.nn.functional.interpolate(whole, sides, mode="bilinear", antialias=True)
            maps.append(classifier.features(picture)[0])
        alone = torch.cat([head(features[None]) for features in maps])

        sizes = torch.tensor([features.shape[1:] for features in maps])
        canvas = torch.full((3, 1280, *sizes.amax(0).tolist()), float("nan"))  # padding may hold anything
        for place, features in enumerate(maps):
            canvas[place, :, : features.shape[1], : features.shape[2]] = features
        padded = head(canvas, sizes=sizes)

        rows = torch.cat([features.flatten(1).T for features in maps])
        ptr = torch.cat([torch.zeros(1, dtype=torch.long), sizes.prod(1).cumsum(0)])
        ragged = head(rows, ptr=ptr)

        print(f"{'picture':15} {'positions':>9}  {'class':20} {'alone':>8} {'padded':>8} {'ragged':>8}")
        for place, (name, _) in enumerate(SIDES):
            k = int(alone[place].argmax())
            logits = "".join(f" {float(x[place, k]):8.4f}" for x in (alone, padded, ragged))
            print(f"{name:15} {int(sizes[place].prod()):9}  {classifier.labels[k]:20}{logits}")
        torch.testing.assert_close(padded, alone, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ragged, alone, rtol=1e-5, atol=1e-5)

        cat, k = maps[0], int(alone[0].argmax())
        high, wide = cat.shape[1:]
        growth = list(range(max(high, wide), 31))
        careless, careful = [], []
        for side in growth:
            batch = torch.nn.functional.pad(cat, (0, side - wide, 0, side - high))[None]
            careless.append(float(head(batch)[0, k]))
            careful.append(float(head(batch, sizes=torch.tensor([[high, wide]]))[0, k]))
        bias = float(head.tail.bias[k])
        predicted = [bias + (careful[0] - bias) * high * wide / side**2 for side in growth]

    (found,) = gp.audit(classifier, [paths[name] for name, _ in SIDES], audits=[RESOLUTION])
    print(found.advice)
    assert all(abs(float(growth or 0) - 1) < 1e-6 for growth in found.tables[1].column("count factor, measured"))

    figure = Figure((12, 3.6), layout="constrained")
    axes, sizes_of = figure.subplots(1, 2)
    draw_chart(sizes_of, found.charts[0])
    sizes_of.set_title("resized whole: confidence, and what the vectors' length predicts", fontsize=10)
    axes.plot(growth, careful, "o-", label="with sizes=: the sample's own extent")
    axes.plot(growth, careless, "s-", label="careless mean over the canvas")
    axes.plot(growth, predicted, "k:", label="predicted: evidence diluted by positions / canvas")
    axes.set_xlabel("side of the padded canvas, positions")
    axes.set_ylabel(f"logit of {classifier.labels[k]}")
    axes.set_ylim(0)
    axes.legend(frameon=False)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "02_any_size.png"))
