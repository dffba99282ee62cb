"""A classifier for a folder of 1,000 photographs: packaged trunk as it is, head fitted, by the command line.

    python benchmarks/frozen_trunk.py [--threads 2]

Ten photographs packaged with scikit-image, one a class. Pictures are crops of 64 to 224 pixels a side, half of them
mirrored; those to train on come from the left 60 % of a photograph, those to choose the penalty by from the next 20 %,
those held out from the right 20 %: no pixel is on two sides. So it is judged whether a place in a photograph tells
which photograph it is, which is easier than most folders; what is measured here is the time. Writes
benchmarks/results/frozen_trunk.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from PIL import Image

RESULT = Path(__file__).parent / "results" / "frozen_trunk.md"
NAMES = (
    *("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png"),
    *("gravel.png", "grass.png", "hubble_deep_field.jpg", "motorcycle_left.png", "rocket.jpg"),
)
#: Share of the width where a part begins and ends, and crops of each photograph.
PARTS = {"train": (0.0, 0.6, 70), "val": (0.6, 0.8, 10), "test": (0.8, 1.0, 20)}
SMALLEST, LARGEST, BAR = 64, 224, 300


def write_crops(folder: Path) -> int:
    random = np.random.default_rng(0)
    written = 0
    for name in NAMES:
        photograph = Image.open(Path(str(resources.files("skimage.data").joinpath(name)))).convert("RGB")
        for part, (begin, end, count) in PARTS.items():
            left, right = (round(share * photograph.width) for share in (begin, end))
            own = folder / part / Path(name).stem
            own.mkdir(parents=True)
            for number in range(count):
                limits = (min(right - left, LARGEST), min(photograph.height, LARGEST))
                width, height = (int(random.integers(SMALLEST, most + 1)) for most in limits)
                x, y = (
                    int(random.integers(left, right - width + 1)),
                    int(random.integers(photograph.height - height + 1)),
                )
                crop = photograph.crop((x, y, x + width, y + height))
                if random.random() < 0.5:
                    crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                crop.save(own / f"{number:03d}.png")
                written += 1
    return written


def main(threads: int) -> str:
    with tempfile.TemporaryDirectory() as place:
        folder, run = Path(place) / "photographs", Path(place) / "run"
        count = write_crops(folder)
        options = ["--trunk", "efficientnet_lite0", "--mode", "frozen", "--out", str(run)]
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "globalpool.cli", "train", str(folder), *options],
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        seconds = time.perf_counter() - start
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    right = report["accuracy"]
    lines = [
        "# A frozen trunk and a fitted head",
        "",
        f"`globalpool train FOLDER --trunk efficientnet_lite0 --mode frozen --out RUN` on {count:,} crops of "
        f"{SMALLEST} to {LARGEST} pixels of ten photographs: **{seconds:.0f} s** from the command to the report, on "
        f"{threads} threads ({platform.machine()}, torch {torch.__version__.partition('+')[0]}); the bar is {BAR} s. "
        f"{report['seconds']:.0f} s of them are trunk and fit.",
        "",
        f"Held out: {right['right']} of {right['count']} right ({100 * right['low']:.1f} to "
        f"{100 * right['high']:.1f} %), from regions that nothing was trained on. Which photograph a "
        "place belongs to is an easier question than most.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    table = main(parser.parse_args().threads)
    RESULT.write_text(table, encoding="utf-8")
    print(table)
