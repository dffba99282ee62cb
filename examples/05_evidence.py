"""Every logit is a map: evidence that adds up, and what removing positions does to the logit.

    python examples/05_evidence.py figure.png

The evidence for one class over another is drawn on the photograph. Then positions of the feature map are removed,
those that speak most for the class first; for a linear head the evidence predicts every logit on the way exactly.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

import globalpool as gp


def main(out: Path) -> None:
    classifier = gp.models.efficientnet_lite0()
    assert classifier.input_spec is not None
    assert classifier.labels is not None
    path = next(path for path in gp.data.photographs() if path.name == "coffee.png")
    picture = gp.data.read_picture(path)
    x = gp.data.prepare(picture, classifier.input_spec, 448)  # 14 x 14 positions
    with torch.inference_mode():
        evidence = classifier.evidence(x, "all").check()
        best, second = evidence.logits[0].topk(2).indices.tolist()
        contrast = evidence.contrast(best, second)
        names = classifier.labels[best], classifier.labels[second]
        print(f"evidence is {evidence.kind}; largest residual {float(evidence.residual().max()):.1e} logits")
        print(f"{names[0]} over {names[1]}: logit difference {float(contrast.logits):+.3f}")
        print(f"  sum of the map {float(contrast.maps.sum()):+.3f}, offset {float(contrast.offset):+.3f}")

        features = classifier.features(x)
        given = contrast.maps.flatten()
        curves = {}
        for name, order in (
            ("most for it first", given.argsort(descending=True)),
            ("random order", torch.randperm(given.numel(), generator=torch.Generator().manual_seed(0))),
            ("most against it first", given.argsort()),
        ):
            measured, predicted = [float(contrast.logits)], [float(contrast.logits)]
            gone = torch.zeros(given.numel(), dtype=torch.bool)
            for position in order.tolist():
                gone[position] = True
                left = torch.where(gone.reshape(features.shape[2:]), 0.0, features)
                logits = classifier.tail(classifier.pool(left))[0]
                measured.append(float(logits[best] - logits[second]))
                predicted.append(predicted[-1] - float(given[position]))
            curves[name] = measured, predicted
        error = max(abs(m - p) for both in curves.values() for m, p in zip(*both, strict=True))
        print(f"removing positions one by one: prediction off by at most {error:.1e} logits")
        assert error < 1e-4

        map_ = contrast.interpolate(picture.pixels.shape[:2])
        assert isinstance(map_, torch.Tensor)
    limit = float(contrast.maps.abs().max())
    figure = Figure((11, 3.4), layout="constrained")
    photograph, overlay, deletion = figure.subplots(1, 3)
    photograph.imshow(picture.pixels)
    photograph.set_title(path.name)
    shown = overlay.imshow(map_[0, 0].numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
    overlay.set_title(f"{names[0]} over {names[1]}")
    figure.colorbar(shown, ax=overlay, label="logits per position")
    for panel in (photograph, overlay):
        panel.set_axis_off()
    for name, (measured, predicted) in curves.items():
        (line,) = deletion.plot(measured, label=name)
        deletion.plot(predicted, ":", color="black", linewidth=1)
    line.set_zorder(1)
    deletion.set_xlabel("positions removed (dotted: predicted)")
    deletion.set_ylabel("logit difference")
    deletion.legend(frameon=False, loc="lower left")
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "05_evidence.png"))
