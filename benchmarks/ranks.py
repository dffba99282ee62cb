"""One process and several (torchrun, gloo) through the command line: the same head, the same metrics.

python benchmarks/ranks.py              two processes on packaged digits of three sizes
python benchmarks/ranks.py --ranks 4

Exit status 1 when a frozen trunk's metrics differ, or the full training's by more than BatchNorm's shares explain.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from globalpool.data.mnist import mnist_digits

#: Columns of metrics.csv that say how good a run is.
JUDGED = ("train_accuracy", "train_nll", "validation_accuracy", "validation_nll")
COMMON = ["--trunk", "convnet(8, 16, 32)", "--batch", "40", "--epochs", "3", "--device", "cpu"]


def write_digits(folder: Path, count: int = 600) -> None:
    """Digits at 16, 24 and 32 px, one subfolder a class."""
    pictures, classes = mnist_digits()
    for number in torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))[:count].tolist():
        own = folder / str(classes[number])
        own.mkdir(parents=True, exist_ok=True)
        side = (16, 24, 32)[number % 3]
        Image.fromarray(pictures[number]).resize((side, side)).save(own / f"{number}.png")


def trained(data: Path, out: Path, mode: str, ranks: int) -> tuple[dict[str, float], float]:
    """The last row of the curve, and seconds."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *launch, "-m", "globalpool.cli", "train", str(data), "--out", str(out)]
    start = time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "--mode", mode, *COMMON], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    with open(out / "metrics.csv", encoding="utf-8") as file:
        row = list(csv.DictReader(file))[-1]
    return {name: float(row[name]) for name in JUDGED}, time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    ranks = parser.parse_args().ranks
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_digits(folder / "digits")
        print("| mode | processes | seconds | " + " | ".join(JUDGED) + " |")
        print("| --- |" + " --- |" * (2 + len(JUDGED)))
        for mode, tolerance in (("frozen", 1e-6), ("full", 0.15)):
            rows = []
            for count in (1, ranks):
                row, seconds = trained(folder / "digits", folder / f"{mode}-{count}", mode, count)
                print(f"| {mode} | {count} | {seconds:.1f} | " + " | ".join(f"{row[one]:.6f}" for one in JUDGED) + " |")
                rows.append(row)
            # Accuracies count whole samples; the likelihood sees a head that was found along another path.
            accuracies = [one for one in JUDGED if one.endswith("accuracy")]
            failed |= any(abs(rows[0][one] - rows[1][one]) > tolerance for one in accuracies)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
