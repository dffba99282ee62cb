"""A small training that ``test_kill`` kills and starts again: ``python -m tests.training.killed FOLDER``."""

import sys
from pathlib import Path

import torch

from globalpool.training import RunFolder, TrainingSettings, train
from tests.training.tiny import Coloured, tiny

SETTINGS = TrainingSettings(epochs=60, ema=0.9)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    run = RunFolder.open(folder) if (folder / "config.json").exists() else RunFolder.create(folder, {})
    train(tiny(), Coloured(12, 4), Coloured(6), SETTINGS, run, on_epoch=lambda row: print(row.epoch, flush=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
