"""``globalpool::sum_and_scores`` as a torch operator, which nobody differentiates."""

import torch
from torch import Tensor

from globalpool.kernels import operators_pooled as run
from globalpool.kernels import pages


@torch.library.custom_op("globalpool::sum_and_scores", mutates_args=(), device_types="cpu")
def sum_and_scores(
    x: Tensor, ptr: Tensor | None, measure: Tensor | None, matrix: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums under the measure ``(N, C)`` and the totals ``(N,)``, float64; measure times ``matrix @ x`` at each one.

    ``x``: ragged ``(T, C)`` with ``ptr (N + 1,)``, or dense ``(N, C, P)``; ``measure (T,)`` or ``(N, P)``; ``matrix
    (N, K, C)`` or, for all samples, ``(1, K, C)``. Products: ``(T, K)`` or ``(N, K, P)`` in the accumulation dtype.
    """
    from globalpool.kernels import loops_evidence as loops

    samples, classes = run.samples(x, ptr), matrix.shape[1]
    sums, totals = x.new_empty((samples, x.shape[1]), dtype=torch.float64), x.new_empty(samples, dtype=torch.float64)
    scores, lines = _scores(x, ptr, classes)
    held, rows = run.held(measure, x), matrix.detach().to(run.accumulated(x)).contiguous().numpy()
    given = sums.numpy(), totals.numpy(), scores.numpy()
    run.forward(
        x,
        ptr,
        (1, x.shape[1]),
        lambda *place: loops.sum_score_rows(*place[:-2], held, rows, *given, *place[-2:]),
        lambda slices, pieces, counts: loops.join_sums_of_scores(slices, pieces, counts, *given[:2]),
        lambda *place: loops.sum_score_lines(*place, held, rows, *given),
        samples=True,
    )
    if ptr is None and not lines:
        scores = scores.unflatten(0, (samples, x.shape[2])).transpose(1, 2).contiguous()
    return sums, totals, scores


def _scores(x: Tensor, ptr: Tensor | None, classes: int) -> tuple[Tensor, bool]:
    """Memory for the products as the loops write them, and whether that is by lines."""
    from globalpool.kernels import memory

    lines = memory.in_lines(memory.readable(x))
    rows = x.shape[0] if ptr is not None else x.shape[0] * x.shape[2]
    shape = (x.shape[0], classes, x.shape[2]) if lines else (rows, classes)
    return pages.empty(shape, run.accumulated(x), x), lines


@sum_and_scores.register_fake
def _(x: Tensor, ptr: Tensor | None, measure: Tensor | None, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    samples, positions = run.samples(x, ptr), x.shape[2:]
    shape = (x.shape[0], matrix.shape[1]) if ptr is not None else (samples, matrix.shape[1], *positions)
    sums = x.new_empty((samples, x.shape[1]), dtype=torch.float64)
    return sums, sums.new_empty(samples), x.new_empty(shape, dtype=run.accumulated(x))
