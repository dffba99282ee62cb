"""Training with objectives that have state or parameters: one of two processes of ``test_state``, or resumed."""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, distributed, nn

from globalpool.classifier import PooledClassifier
from globalpool.training import RunFolder, TrainingResult, TrainingSettings, train
from globalpool.training.objectives import MeanTeacher, VICReg
from globalpool.training.unlabelled import UnlabelledPictures
from tests.training.tiny import Coloured, tiny

SETTINGS = TrainingSettings(epochs=3, learning_rate=0.01)


def noisy(picture: Tensor) -> Tensor:
    return picture + 0.1 * torch.randn(picture.shape)


def made(name: str, classifier: PooledClassifier) -> Any:
    """The objective, beginning alike each time."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        if name == "VICReg":
            return VICReg(6, (8, 8), view=noisy)
        pictures = torch.randn(20, 3, 8, 8)
        return MeanTeacher(classifier, UnlabelledPictures((pictures,), 4), decay=0.9, ramp=4, view=noisy)


def run(name: str, folder: Path, rank: int = 0, ranks: int = 1) -> tuple[PooledClassifier, nn.Module, TrainingResult]:
    """Train, or go on, in ``folder``."""
    there = (folder / "config.json").exists()
    run = RunFolder.open(folder) if there or rank else RunFolder.create(folder, {})
    classifier = tiny(norm=False)
    objective = made(name, classifier)
    batches = Coloured(24, 12, rank=rank, ranks=ranks)
    judged = Coloured(12, rank=rank, ranks=ranks, whole=True)
    return classifier, objective, train(classifier, batches, judged, SETTINGS, run, objective)


def main(name: str, rank: int, ranks: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=ranks)
    if rank == 0:
        RunFolder.create(folder / "run", {})
    distributed.barrier()
    classifier, objective, result = run(name, folder / "run", rank, ranks)
    found = {f"classifier.{key}": value for key, value in classifier.state_dict().items()}
    found |= {f"objective.{key}": value.contiguous().clone() for key, value in objective.state_dict().items()}
    found["validation"] = torch.tensor([row.validation_nll for row in result.epochs], dtype=torch.float64)
    save_file(found, folder / f"{rank}.safetensors")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
