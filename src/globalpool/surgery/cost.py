"""What a model costs: parameters, multiply-adds, memory, time, by part."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.evidence import evaluating
from globalpool.surgery.count import count
from globalpool.surgery.latency import Latency, measure
from globalpool.surgery.rows import ITSELF, homes


@dataclass(frozen=True)
class CostRow:
    """The cost of one part of a model, or of the whole; the words of Cost. ``latency`` None: not measured."""

    name: str
    parameters: int
    multiply_adds: int
    peak_memory: int
    latency: Latency | None


@dataclass(frozen=True)
class Cost:
    """One forward pass in eval mode without gradients, on a batch ``input_shape`` (batch axis included).

    ``rows``: the children of the model in order (trunk, pool and tail of a PooledClassifier), then "(itself)" for what
    it does between them, if anything. ``cost["trunk"]`` is a row; ``whole`` is their sum, except where said otherwise.

    - ``parameters``: numbers in parameters, buffers not included; one that several rows share counts in the first.
    - ``multiply_adds``: of the whole batch, half the operations of ``torch.utils.flop_counter``: convolutions, matrix
      products, attention; and matrix-vector and dot products. Biases, norms, activations, averages, maxima: none.
      Operations that multiply inside and are not counted (fused recurrent layers) are named in ``uncounted``.
    - ``peak_memory``: bytes of all tensors the pass has made and not yet freed, at their highest while the row runs;
      for the whole, the highest of all rows. Views and results written in place share their bytes. Not counted:
      parameters, buffers, the input, what kernels use inside and the allocator's rounding. Devices differ by what
      their kernels return beside the result (statistics of a norm, logarithms of attention); nn.MultiheadAttention is
      counted without its fused kernel.
    - ``latency``: seconds, see ``latency.measure``; the rows add up to a little more than the whole, by the clock.
      None on the meta device, or for no runs.
    """

    whole: CostRow
    rows: tuple[CostRow, ...]
    input_shape: tuple[int, ...]
    device: str
    uncounted: tuple[str, ...]

    def __getitem__(self, name: str) -> CostRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise PoolError("Cost", f"a row out of {[row.name for row in self.rows]}", repr(name))

    def __str__(self) -> str:
        titles = ("", "parameters", "multiply-adds", "peak memory", "latency")
        cells = [titles, *(_cells(row) for row in (*self.rows, self.whole))]
        widths = [max(len(line[column]) for line in cells) for column in range(len(titles))]
        lines = [f"one pass of {self.input_shape} on {self.device}"]
        for name, *numbers in cells:
            right = "".join(f"  {number:>{width}}" for number, width in zip(numbers, widths[1:], strict=True))
            lines.append(f"{name:<{widths[0]}}{right}")
        if self.uncounted:
            lines.append(f"multiply-adds without those of {', '.join(self.uncounted)}")
        return "\n".join(lines)


def cost(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    batch_size: int = 1,
    dtype: torch.dtype | None = None,
    runs: int = 10,
) -> Cost:
    """Counts one forward pass of any module and times ``runs`` of them.

    ``input_shape``: of one input, without the batch axis, ``(3, 224, 224)``. The input's values run from -1 to 1 (zeros
    for integers); it lies on the device of the model's first parameter, in its dtype unless ``dtype`` is given. A model
    on the meta device (``with torch.device("meta"): ...``) is counted without memory or time. Modes are given back. Not
    while other threads run the same model: the hooks that follow the pass see all of them.
    Raises PoolError when the model does not run on such an input.
    """
    if not all(isinstance(side, int) and side > 0 for side in (*input_shape, batch_size)) or runs < 0:
        got = f"{tuple(input_shape)}, batch_size {batch_size}, runs {runs}"
        raise PoolError("cost", "`input_shape` and `batch_size` as positive whole numbers and `runs` from 0", got)
    x = _input(model, (batch_size, *input_shape), dtype)
    with evaluating(model):
        try:
            counted = count(model, x)
        except Exception as error:
            hint = "input_shape is without the batch axis; batch_size gives that."
            got = f"{type(error).__name__}: {error}".rstrip(".")
            raise PoolError("cost", f"a model that runs on an input {tuple(x.shape)}", got, hint) from error
        whole, by_row = (None, {}) if x.is_meta or not runs else measure(model, x, runs)
    parameters = _parameters(model)
    names = [name for name, _ in model.named_children()]
    if parameters.get(ITSELF) or ITSELF in counted.peak_memory or not names:
        names.append(ITSELF)
    idle = None if whole is None else Latency(0.0, 0.0)
    rows = tuple(
        CostRow(
            name,
            parameters.get(name, 0),
            counted.multiply_adds.get(name, 0),
            counted.peak_memory.get(name, 0),
            by_row.get(name, idle),
        )
        for name in names
    )
    total = CostRow(
        "whole",
        sum(row.parameters for row in rows),
        sum(row.multiply_adds for row in rows),
        max(row.peak_memory for row in rows),
        whole,
    )
    return Cost(total, rows, tuple(x.shape), str(x.device), counted.uncounted)


def _input(model: nn.Module, shape: tuple[int, ...], dtype: torch.dtype | None) -> Tensor:
    first = next((tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()), None)
    device = torch.device("cpu") if first is None else first.device
    dtype = dtype or (torch.float32 if first is None else first.dtype)
    if not dtype.is_floating_point:
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.linspace(-1, 1, int(torch.Size(shape).numel()), device=device).to(dtype).reshape(shape)


def _parameters(model: nn.Module) -> dict[str, int]:
    found: dict[str, int] = {}
    seen: set[nn.Parameter] = set()
    for module, row in homes(model).items():
        for parameter in module.parameters(recurse=False):
            if parameter not in seen:
                seen.add(parameter)
                found[row] = found.get(row, 0) + parameter.numel()
    return found


def _cells(row: CostRow) -> tuple[str, ...]:
    time = "-" if row.latency is None else f"{1e3 * row.latency.median:.2f} ms ± {1e3 * row.latency.spread:.2f}"
    return row.name, f"{row.parameters:,}", f"{row.multiply_adds:,}", f"{row.peak_memory / 1e6:,.2f} MB", time
