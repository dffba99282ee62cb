"""SIGKILL at random moments: every weights file loads, and the run that goes on is the one never killed, bit for bit.

    python benchmarks/kill_and_resume.py [--kills 20] [--seed 0]

Trains ``globalpool train`` on packaged digits once undisturbed, and once killed ``--kills`` times: every fourth time up
to two seconds after it has read its data, otherwise up to 0.4 seconds after its first epoch there, which falls into
steps, evaluations and the writing of files alike. After each kill every file of weights is read with its SHA-256; in
the end curve and weights are compared byte by byte.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from globalpool.data import canvas_digits
from globalpool.training.files import read_tensors

AFTER_DATA, AFTER_EPOCH = 2.0, 0.4
OPTIONS = ("--trunk", "convnet(8, 16)", "--epochs", "60", "--batch", "60", "--ema", "0.9", "--clip_norm", "1")


def write_digits(folder: Path) -> None:
    digits = canvas_digits(0, (48, 64), count=300)
    for number, (picture, label) in enumerate(zip(digits.pictures, digits.labels, strict=True)):
        own = folder / str(label)
        own.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(own / f"{number}.png")


def start(line: str, *arguments: str) -> "subprocess.Popen[str]":
    """The command; returns when it has printed a line that begins so."""
    command = [sys.executable, "-m", "globalpool.cli", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while not process.stdout.readline().startswith(line):
        assert process.poll() is None, f"ended before it printed {line}"
    return process


def epochs(run: Path) -> int:
    return len((run / "metrics.csv").read_text().splitlines()) - 1 if (run / "metrics.csv").exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        data, whole, cut = (Path(folder, name) for name in ("digits", "whole", "cut"))
        write_digits(data)
        begin = time.perf_counter()
        start("data:", "train", str(data), "--out", str(whole), *OPTIONS).communicate()
        print(f"undisturbed: {epochs(whole)} epochs, {time.perf_counter() - begin:.1f} s")
        at, halves = [], 0
        for number in range(options.kills):
            known = (cut / "config.json").exists()
            line, longest = ("data:", AFTER_DATA) if number % 4 == 0 else ("epoch", AFTER_EPOCH)
            what = ("resume", str(cut)) if known else ("train", str(data), "--out", str(cut), *OPTIONS)
            process = start(line, *what)
            time.sleep(moments.uniform(0, longest))
            process.kill()
            process.communicate()
            for file in cut.rglob("[!.]*.safetensors"):
                read_tensors(file)
            halves += bool(list(cut.rglob(".*.part")))
            at.append(epochs(cut))
            if not (cut / "config.json").exists() and cut.exists():
                shutil.rmtree(cut)  # killed before it was a run
        process = start("data:", "resume", str(cut))
        process.communicate()
        assert process.returncode == 0
        same = {
            name: (whole / name).read_bytes() == (cut / name).read_bytes()
            for name in ("metrics.csv", "best.safetensors", "last.safetensors", "predictions.csv")
        }
        print(f"killed {options.kills} times, after epochs {at}; {halves} times in the middle of writing a file")
        print("every file of weights loaded after every kill")
        print("byte for byte as undisturbed: " + ", ".join(f"{name} {answer}" for name, answer in same.items()))
        assert all(same.values())


if __name__ == "__main__":
    main()
