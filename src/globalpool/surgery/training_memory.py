"""How much memory a step of training will take, told before it begins."""

import os
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError

#: Largest activations held at once in the backward pass beside what autograd keeps: gradients of a layer's result and
#: input, and copies in the kernels' own order. Measured on the CPU with convnets of 64^3 to 96^3 voxels: 3.5 to 4.6.
PASSING = 4
#: Numbers that AdamW, the gradient and averaged weights keep for each parameter, beside the parameter.
COPIES = 5
#: Where control groups say how much a container may take and has taken: version 2, version 1.
CONTAINERS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


@dataclass(frozen=True)
class TrainingMemory:
    """One step on a batch ``input_shape`` (batch axis included), in bytes.

    ``activations``: all tensors that autograd keeps for the backward pass, each once; ``parameters``: parameters and
    buffers, their gradients, the two averages of AdamW, averaged weights; ``inputs``: the batch; ``passing``: four
    times the largest activation, for the gradients of one layer and what its kernels hold. ``needed`` is their sum,
    right to about a tenth on the CPU. ``available``: what the device has free now (of the container where that is
    less), None where nobody says.
    """

    input_shape: tuple[int, ...]
    activations: int
    parameters: int
    inputs: int
    passing: int
    available: int | None

    @property
    def needed(self) -> int:
        return self.activations + self.parameters + self.inputs + self.passing

    @property
    def fits(self) -> bool:
        """Whether it is known not to be too much."""
        return self.available is None or self.needed <= self.available

    def sentence(self) -> str:
        """What it comes to, and what to do where it is too much."""
        size = " x ".join(map(str, self.input_shape[1:]))
        text = f"memory: a step on {self.input_shape[0]} of {size} takes about {_bytes(self.needed)}"
        text += f", {_bytes(self.activations)} of it activations"
        if self.available is not None:
            text += f"; {_bytes(self.available)} are free"
        if not self.fits:
            text += ". Take a smaller batch, a coarser spacing or a first stride of 2"
        return f"{text}."


def training_memory(
    model: nn.Module, input_shape: tuple[int, ...], device: torch.device | str = "cpu"
) -> TrainingMemory:
    """Counts one forward pass in train mode on the meta device: nothing of that size is made.

    ``input_shape``: with the batch axis, ``(4, 1, 128, 128, 64)``. Activations are those of the model's own dtype. The
    model is copied without its values and stays as it is. Raises PoolError when it does not run on such an input.
    """
    twin = _without_values(model)
    dtype = next((p.dtype for p in twin.parameters() if p.is_floating_point()), torch.float32)
    x = torch.empty(input_shape, dtype=dtype, device="meta")
    kept: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[id(storage)] = storage  # held, so that no other storage gets its id
        return tensor

    for tensor in (*twin.parameters(), *twin.buffers(), x):
        keep(tensor)
    before = set(kept)
    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            result = twin.train()(x)
    except Exception as error:
        got = f"{type(error).__name__}: {error}".rstrip(".")
        raise PoolError("training_memory", f"a model that trains on an input {input_shape}", got) from error
    del result
    sizes = [storage.nbytes() for key, storage in kept.items() if key not in before]
    state = sum(p.numel() * p.element_size() for p in twin.parameters())
    buffers = sum(b.numel() * b.element_size() for b in twin.buffers())
    inputs = x.numel() * x.element_size()
    passing = PASSING * max(sizes, default=0)
    free = available_memory(device)
    return TrainingMemory(tuple(input_shape), sum(sizes), COPIES * state + buffers, inputs, passing, free)


def available_memory(device: torch.device | str = "cpu") -> int | None:
    """Free bytes of the device: of the machine, or what a container still allows where that is less."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit, used in CONTAINERS:
        try:
            allowed = int(Path(limit).read_text(encoding="ascii"))
            found.append(max(allowed - int(Path(used).read_text(encoding="ascii")), 0))
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    return min(found, default=None)


def _without_values(model: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers are on the meta device; none is copied on the way."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().to("meta")
    return deepcopy(model, memo)


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
