"""Small folders of pictures, one subfolder a class, and a way to run the command line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from globalpool.cli.main import main

COLOURS = {"blue": (40, 60, 220), "red": (220, 50, 40), "green": (60, 210, 50)}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def coloured_folder(folder: Path, names: tuple[str, ...] = ("blue", "red"), count: int = 10, seed: int = 0) -> Path:
    """``count`` noisy pictures of 24 x 24 pixels a class."""
    generator = np.random.default_rng(seed)
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise = np.array(COLOURS[name]) + generator.normal(0, 40, (24, 24, 3))
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder
