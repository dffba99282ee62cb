"""One of two processes of ``test_processes``; also that training alone. Writes what it found to a file."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, distributed

from globalpool.surgery import HeadStatistics
from globalpool.training import RunFolder, TrainingSettings, evaluate, train
from globalpool.training.frozen import train_head
from globalpool.training.reduced import reduced
from tests.training.tiny import Coloured, tiny


def rows_of_statistics() -> tuple[Tensor, Tensor]:
    """Vectors ``(40, 5)`` far from zero and targets ``(40, 2)``."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=random, dtype=torch.float64) + 1e4
    return x, torch.randn(40, 2, generator=random, dtype=torch.float64)


def main(rank: int, ranks: int, folder: Path) -> None:
    torch.set_num_threads(1)
    if ranks > 1:
        distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=ranks)
    found = {}
    judged = evaluate(tiny(), Coloured(33, seed=None, rank=rank, ranks=ranks, whole=True))
    found["judged"] = torch.tensor([judged.samples, judged.accuracy, judged.nll], dtype=torch.float64)
    for name, settings in {
        # The first update of plain descent at rate one is the gradient itself.
        "gradient": TrainingSettings(epochs=1, optimizer="momentum", learning_rate=1, weight_decay=0, warmup=0),
        "curve": TrainingSettings(epochs=2, accumulate=2, ema=0.5, clip_norm=1.0),
    }.items():
        classifier = tiny(norm=False, dropout=0.0)
        batches = (
            Coloured(11, 11, rank=rank, ranks=ranks) if name == "gradient" else Coloured(33, rank=rank, ranks=ranks)
        )
        path = folder / f"run-{name}-{ranks}"
        run = RunFolder.create(path, {}) if rank == 0 else RunFolder(path)
        result = train(classifier, batches, Coloured(18, rank=rank, ranks=ranks, whole=True), settings, run)
        found |= {f"{name}.{key}": value for key, value in classifier.state_dict().items()}
        rows = [
            [entry.train_loss, entry.train_nll, entry.train_accuracy, entry.validation_nll] for entry in result.epochs
        ]
        found[f"{name}.rows"] = torch.tensor(rows, dtype=torch.float64)
    for method, judged_on in (("ridge", True), ("ridge", False), ("logistic", True)):
        # The one batch that is held out is the first process's.
        classifier = tiny(dropout=0.5)
        own = Coloured(24, seed=None, rank=rank, ranks=ranks, whole=True)
        held_out = Coloured(6, seed=None, rank=rank, ranks=ranks, whole=True) if judged_on else None
        result, fit = train_head(classifier, own, held_out, None, "ridge" if method == "ridge" else "logistic")
        name = f"head {method} {judged_on}"
        found[f"{name}.weight"] = classifier.state_dict()["tail.weight"].double()
        entry = result.epochs[0]
        counted = [entry.train_accuracy, entry.train_nll, entry.validation_accuracy, float(fit.count)]
        found[f"{name}.counted"] = torch.tensor(counted, dtype=torch.float64).nan_to_num(-1)
    part = HeadStatistics.of(*(rows[rank::ranks] for rows in rows_of_statistics()))
    whole = reduced(part)
    found["statistics"] = torch.cat([whole.mean, whole.scatter.flatten(), whole.cross.flatten()])
    found["none"] = reduced(part if rank == 0 else None).mean
    save_file(found, folder / f"{rank}-of-{ranks}.safetensors")
    if ranks > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
