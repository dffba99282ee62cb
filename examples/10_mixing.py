"""Mixing: feature maps interpolate exactly through an affine head, pictures do not.

    python examples/10_mixing.py figure.png

Two photographs are mixed at every share, once as pictures and once as feature maps; the logits of the feature mix lie
on the straight line between those of the two, the others do not. Then a box of one feature map is pasted into the
other: its logit is the bias plus the evidence of both, at every place of the box, and over all places (going round at
the edge) it averages to the mix by area. Last, the audit: the gap of mixes at every stage on the way.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

import globalpool as gp
from globalpool.audits import MIXING
from globalpool.report.audit_figures import draw_chart
from globalpool.training.boxes import every_box
from globalpool.training.interpolation_gap import interpolation_gap

SIDE, BOX = 224, (3, 4)


def main(out: Path) -> None:
    classifier = gp.models.efficientnet_lite0()
    assert classifier.input_spec is not None
    assert classifier.labels is not None
    paths = {path.name: path for path in gp.data.photographs()}
    pictures = [gp.data.read_picture(paths[name]) for name in ("coffee.png", "chelsea.png")]
    first, second = (gp.data.prepare(picture, classifier.input_spec, SIDE) for picture in pictures)
    shares = [step / 20 for step in range(21)]
    with torch.inference_mode():
        for at in ("features", "input"):
            gap = interpolation_gap(
                classifier, first, second, shares=shares, at="input" if at == "input" else "features"
            )
            print(f"mixed at the {at}: largest residual {gap.largest:.1e} of {float(gap.difference):.2f} logits")
            assert (gap.largest < 1e-4) == (at == "features")

        ends = [classifier(first), classifier(second)]
        names = [int(logits.argmax()) for logits in ends]
        features = [classifier.features(first), classifier.features(second)]
        by_input = torch.cat([classifier(s * first + (1 - s) * second) for s in shares])[:, names]
        by_features = torch.cat(
            [classifier.tail(classifier.pool(s * features[0] + (1 - s) * features[1])) for s in shares]
        )[:, names]

        size = features[0].shape[2:]
        masks = every_box(size, BOX, "wrap")
        pasted = classifier.tail(classifier.pool(torch.where(masks[:, None], features[1], features[0])))[:, names]
        own, other = (classifier.evidence(x, torch.tensor([names])) for x in (first, second))
        inside = masks[:, None].to(pasted)
        predicted = own.offset + (other.maps * inside).sum((2, 3)) + (own.maps * (1 - inside)).sum((2, 3))
        share = 1 - float(masks[0].double().mean())
        by_area = share * ends[0][:, names] + (1 - share) * ends[1][:, names]
        print(f"a pasted box: evidence is off by at most {float((pasted - predicted).abs().max()):.1e} logits")
        print(f"  one place is off the mix by area by up to {float((pasted - by_area).abs().max()):.2f},")
        print(f"  the mean of all {len(masks)} places by {float((pasted.mean(0) - by_area).abs().max()):.1e}")
        assert float((pasted - predicted).abs().max()) < 1e-4
        assert float((pasted.mean(0) - by_area).abs().max()) < 1e-4

    (found,) = gp.audit(classifier, [first, second], audits=[MIXING])
    print(found.advice)
    assert found.verdict == "pass"

    figure = Figure((15, 3.8), layout="constrained")
    along, boxes, stages = figure.subplots(1, 3)
    draw_chart(stages, found.charts[0])
    for column, name in enumerate(names):
        (line,) = along.plot(shares, by_features[:, column], label=f"{classifier.labels[name]}: feature maps mixed")
        along.plot(shares, by_input[:, column], "--", color=line.get_color(), label="pictures mixed")
    along.set_xlabel(f"share of {paths['coffee.png'].name}")
    along.set_ylabel("logit")
    along.set_ylim(top=16)  # room for the legend
    along.legend(frameon=False, fontsize=8)
    order = pasted[:, 0].argsort()
    boxes.plot(pasted[order, 0], "o", markersize=4, label="measured")
    boxes.plot(predicted[order, 0], "k-", linewidth=1, label="bias + evidence of both")
    boxes.axhline(float(by_area[0, 0]), linestyle=":", color="gray", label="mix by area = mean over places")
    boxes.set_xlabel(f"place of a {BOX[0]} x {BOX[1]} box of {size[0]} x {size[1]}, sorted")
    boxes.set_ylabel(f"logit of {classifier.labels[names[0]]}")
    boxes.legend(frameon=False, fontsize=8)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "10_mixing.png"))
