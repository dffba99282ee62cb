"""Transformers and any aspect: patches of pictures of many sizes in one batch, and the evidence back on each picture.

    python examples/02_tokens.py figure.png

A small NaFlex transformer of timm learns which colour a square has, in noise of any height and width. All pictures of
a step go through it at once, as sequences of patches, padded to the longest. The figure shows what each patch gave the
class that is said over the other: without attention the square's patches speak loudest; behind two blocks of
attention all patches know the answer, and the map, exact as it is, hardly says where the square is.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from matplotlib.figure import Figure

import globalpool as gp
from globalpool.models import NaFlexTrunk, Patches

PATCH, SQUARE, STEPS, BATCH = 8, 16, 60, 16
SHOWN = ((32, 96), (48, 48), (80, 40), (24, 64))


def picture(size: Sequence[int] | np.ndarray, colour: int, random: np.random.Generator) -> torch.Tensor:
    """``(3, *size)``: noise with a square, red (0) or blue (1), anywhere."""
    height, width = size
    found = random.normal(0, 0.4, (3, height, width))
    top, left = int(random.integers(height - SQUARE + 1)), int(random.integers(width - SQUARE + 1))
    found[2 * colour, top : top + SQUARE, left : left + SQUARE] += 1.2
    return torch.from_numpy(found).float()


def trained(blocks: int) -> gp.PooledClassifier:
    """A classifier with so many blocks of attention, after ``STEPS`` steps."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    small: dict[str, Any] = {"embed_dim": 32, "depth": blocks, "num_heads": 2, "patch_size": PATCH, "init_values": None}
    network = timm.create_model("naflexvit_base_patch16_gap", num_classes=0, global_pool="", reg_tokens=2, **small)
    classifier = gp.PooledClassifier(NaFlexTrunk(network), gp.Mean(), torch.nn.Linear(32, 2))
    optimiser = torch.optim.AdamW(classifier.parameters(), 3e-3)
    for _ in range(STEPS):
        colours = random.integers(2, size=BATCH)
        batch = [picture(PATCH * random.integers(3, 10, 2), int(colour), random) for colour in colours]
        logits = classifier(Patches.of(batch, (PATCH, PATCH)))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(colours))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"{blocks} blocks of attention: loss {float(loss.detach()):.4f} after {STEPS} steps")
    return classifier.eval()


def main(out: Path) -> None:
    random = np.random.default_rng(1)
    shown = [picture(size, number % 2, random) for number, size in enumerate(SHOWN)]
    patches = Patches.of(shown, (PATCH, PATCH))
    figure = Figure((8, 6), layout="constrained")
    panels = figure.subplots(3, 4)
    for axes, one in zip(panels[0], shown, strict=True):
        axes.imshow((one.permute(1, 2, 0) * 0.35 + 0.4).clamp(0, 1).numpy())
        axes.set_title(f"{one.shape[2]} x {one.shape[1]}", fontsize=9)
    for row, blocks in zip(panels[1:], (0, 2), strict=True):
        classifier = trained(blocks)
        with torch.inference_mode():
            together = classifier(patches)
            alone = torch.cat([classifier(one[None]) for one in shown])
            evidence = classifier.evidence(patches, "all")
        evidence.check(1e-5)
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
        said = together.argmax(1)
        maps = evidence.contrast(said, 1 - said).upsample(1, sizes=torch.tensor(SHOWN))
        for axes, own, k in zip(row, maps, said.tolist(), strict=True):
            limit = float(own.abs().max())
            axes.imshow(own[0].numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes.set_title(f"{blocks} blocks: {('red', 'blue')[k]} by {float(own.sum()):.1f} logits", fontsize=9)
    for axes in panels.flat:
        axes.set_axis_off()
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "02_tokens.png"))
