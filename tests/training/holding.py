"""A process that is at work in a run until it is killed: ``python -m tests.training.holding start|train FOLDER``.

``start`` stops before config.json is written, ``train`` after the first epoch; both say so in one line.
"""

import signal
import sys
from pathlib import Path

from globalpool.training import RunFolder, TrainingSettings, train
from tests.training.tiny import Coloured, tiny

SETTINGS = TrainingSettings(epochs=3)


def stop(*_: object) -> None:
    print("here", flush=True)
    signal.pause()


def main(stage: str, folder: Path) -> None:
    run = RunFolder.create(folder, {}, stop if stage == "start" else None)
    train(tiny(), Coloured(), Coloured(6), SETTINGS, run, on_epoch=stop)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
