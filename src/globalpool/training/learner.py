"""What changes during training beside the classifier: optimiser, schedule, loss scale and averaged weights."""

import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.errors import TrainingError
from globalpool.extras import need
from globalpool.training import processes
from globalpool.training.metrics import Counts
from globalpool.training.objectives.base import Objective
from globalpool.training.packed import Tree, pack, unpack
from globalpool.training.settings import TrainingSettings

HALVES = {"no": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Step(nn.Module):
    """The forward pass of one step as a module: what several processes share."""

    def __init__(self, classifier: PooledClassifier, objective: Objective) -> None:
        super().__init__()
        self.classifier, self.objective = classifier, objective

    def forward(self, batch: Batch, random: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Loss and logits."""
        loss = self.objective(self.classifier, batch, random)
        return loss.value, loss.logits


class Learner:
    """``updates``: of the whole run; ``done``: how many of them."""

    def __init__(
        self, classifier: PooledClassifier, objective: Objective, settings: TrainingSettings, updates: int
    ) -> None:
        self.classifier, self.settings, self.done = classifier, settings, 0
        self.device = processes.device_of(classifier)
        self.step = Step(classifier, objective)
        self.optimizer = _optimizer(self.step, settings)
        self.schedule = _schedule(self.optimizer, settings, updates)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.amp == "float16")
        self.average: Any = None
        if settings.ema is not None:
            average = need("timm.utils", "images", "train").ModelEmaV3
            self.average = average(classifier, decay=settings.ema, use_warmup=True)
        self.together = processes.together(self.step)

    @property
    def judged(self) -> PooledClassifier:
        """The classifier whose weights count: the averaged one, where there is one."""
        if self.average is None:
            return self.classifier
        averaged: PooledClassifier = self.average.module
        return averaged

    @property
    def learning_rate(self) -> float:
        """Of the next update, the largest over the groups of parameters."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def update(self, batches: Sequence[Batch], random: torch.Generator, counts: Counts) -> float:
        """One update from the gradients of some batches, each sample counting the same; the mean loss here."""
        own = sum(len(batch) for batch in batches)
        everywhere = int(processes.summed(torch.tensor(own, device=self.device)))
        # Gradients are averaged over processes, which may hold different numbers of samples.
        scale = processes.count() / everywhere
        total = 0.0
        for number, batch in enumerate(batches, 1):
            with _synchronised(self.together, number == len(batches)):
                value = self._forward(batch.to(self.device), random, counts)
                self.scaler.scale(value * (len(batch) * scale)).backward()
            total += float(value.detach()) * len(batch)
        if self.settings.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            parameters = itertools.chain.from_iterable(group["params"] for group in self.optimizer.param_groups)
            nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.done += 1
        if self.schedule is not None:
            self.schedule.step_update(self.done)
        if self.average is not None:
            self.average.update(self.classifier, self.done)
        return total / own

    def _forward(self, batch: Batch, random: torch.Generator, counts: Counts) -> Tensor:
        amp = self.settings.amp
        with torch.autocast(self.device.type, HALVES[amp] if amp != "no" else torch.bfloat16, enabled=amp != "no"):
            result: tuple[Tensor, Tensor | None] = self.together(batch, random)
        value, logits = result
        if not bool(value.isfinite()):
            hint = "Lower the learning rate, clip the gradient, or train without half precision."
            raise TrainingError("train", "a finite loss", f"{float(value.detach())} after {self.done} updates", hint)
        counts.add_loss(value, len(batch))
        if logits is not None:
            counts.add_logits(logits, batch.targets)
        return value

    def state(self) -> tuple[dict[str, Tensor], Tree]:
        """All of it: tensors by name, and the rest as what JSON can hold."""
        return pack(
            {
                "modules": dict(self.step.state_dict()),
                "average": {} if self.average is None else dict(self.average.module.state_dict()),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "done": self.done,
            }
        )

    def load(self, tensors: dict[str, Tensor], rest: Tree) -> None:
        """Take over what ``state`` gave."""
        known = unpack(tensors, rest)
        self.step.load_state_dict(known["modules"])
        if self.average is not None:
            self.average.module.load_state_dict(known["average"])
        self.optimizer.load_state_dict(known["optimizer"])
        self.scaler.load_state_dict(known["scaler"])
        self.done = known["done"]


def _optimizer(module: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    timm = need("timm.optim", "images", "train")
    try:
        optimizer: torch.optim.Optimizer = timm.create_optimizer_v2(
            module, opt=settings.optimizer, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
    except (ValueError, AssertionError, RuntimeError, TypeError) as error:
        hint = "timm.optim.list_optimizers() names them."
        raise TrainingError(
            "optimizer", "an optimiser timm can build", f"{settings.optimizer}: {error}", hint
        ) from error
    return optimizer


def _schedule(optimizer: torch.optim.Optimizer, settings: TrainingSettings, updates: int) -> Any:
    """The cosine of timm over updates; constant is a cosine that ends where it begins."""
    warmup = int(settings.warmup * updates)
    return need("timm.scheduler", "images", "train").CosineLRScheduler(
        optimizer,
        t_initial=updates,
        lr_min=0.0 if settings.schedule == "cosine" else settings.learning_rate,
        warmup_t=warmup,
        warmup_lr_init=settings.learning_rate / (warmup + 1),  # an update with a rate of zero would be lost
        t_in_epochs=False,
    )


def _synchronised(module: nn.Module, last: bool) -> AbstractContextManager[None]:
    """Gradients travel between processes once an update, with its last batch."""
    if last or not isinstance(module, nn.parallel.DistributedDataParallel):
        return nullcontext()
    held: AbstractContextManager[None] = module.no_sync()
    return held
