"""The sufficient statistics of a head over all processes."""

import functools
import operator
from collections.abc import Sequence

from globalpool.errors import DataError
from globalpool.surgery import HeadStatistics
from globalpool.training.processes import gathered


def reduced(statistics: HeadStatistics | None) -> HeadStatistics:
    """The statistics of the samples of all processes, bit for bit the same in each of them.

    None: this process has no sample. All parts travel and are added in the order of the processes: a sum on the way
    (all_reduce) would leave out what the centred products need, and its order is nobody's promise. DataError where no
    process has a sample. With one process: the statistics as they are.
    """
    parts: Sequence[HeadStatistics | None] = gathered(None if statistics is None else statistics.to("cpu"))
    found = [part for part in parts if part is not None]
    if not found:
        raise DataError("reduced", "samples in at least one process", "none")
    total = functools.reduce(operator.add, found)
    return total if statistics is None else total.to(statistics.mean.device)
