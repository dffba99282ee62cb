"""How to train: plain values, the same for the command line and for Python."""

from dataclasses import dataclass
from typing import Literal

from globalpool.errors import TrainingError


@dataclass(frozen=True)
class TrainingSettings:
    """What the loop is told.

    Args:
        epochs: passes over the training samples
        optimizer: a name of timm.optim.list_optimizers(), such as adamw, sgd or lamb
        learning_rate: the largest of the schedule
        weight_decay: of weights; biases and norms are left out
        schedule: cosine (down to zero over all updates) or constant, after the warm-up
        warmup: share of all updates over which the learning rate rises to its largest
        ema: decay of an exponential moving average of the weights, which is then what is judged and kept (default: no
            average)
        smoothing: share of each target that is spread over all classes
        amp: half precision for the forward pass, or no
        accumulate: batches whose gradients make one update
        clip_norm: largest norm of the gradient (default: not clipped)
        seed: of every random number in training
        tensorboard: also write the curve for TensorBoard, into the run's folder tensorboard
    """

    epochs: int = 20
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.05
    ema: float | None = None
    smoothing: float = 0.0
    amp: Literal["no", "bfloat16", "float16"] = "no"
    accumulate: int = 1
    clip_norm: float | None = None
    seed: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name, holds, expected in (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("learning_rate", self.learning_rate > 0, "a positive number"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("warmup", 0 <= self.warmup < 1, "a share from 0 to below 1"),
            ("ema", self.ema is None or 0 < self.ema < 1, "a decay between 0 and 1, as 0.999"),
            ("smoothing", 0 <= self.smoothing < 1, "a share from 0 to below 1"),
            ("accumulate", self.accumulate >= 1, "1 or more"),
            ("clip_norm", self.clip_norm is None or self.clip_norm > 0, "a positive number"),
            ("seed", self.seed >= 0, "0 or more"),
        ):
            if not holds:
                raise TrainingError(name, expected, str(getattr(self, name)))
