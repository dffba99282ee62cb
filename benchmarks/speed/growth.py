"""How time and memory grow with the number of rows: linear time, and extra memory of the result's size only."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
GROUPS, CHANNELS = 1000, 32
POOLS = ("Mean", "Max", "Statistics", "Attention")


def rows(quick: bool) -> list[dict[str, Any]]:
    """Every pool at every size, each in a process of its own, whose peak memory is read afterwards."""
    found = []
    for pool in POOLS:
        for count in ROWS[:-1] if quick else ROWS:
            command = [sys.executable, "-m", "speed.growth", pool, str(count)]
            result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
            found.append(json.loads(result.stdout.splitlines()[-1]))
    return found


def one(pool: str, rows: int) -> dict[str, Any]:
    """Median seconds of five passes, and megabytes that they took beyond the features."""
    import statistics

    import torch

    import globalpool as gp
    from speed.ragged import Given, lengths

    length = lengths(GROUPS, rows, skewed=False)
    ptr = torch.cat([length.new_zeros(1), length.cumsum(0)])
    made: dict[str, Any] = {"Mean": gp.Mean, "Max": gp.Max, "Statistics": gp.Statistics}
    module = gp.Attention(CHANNELS, Given(torch.randn(rows, 1))).eval() if pool == "Attention" else made[pool]()
    small = torch.rand(5000, CHANNELS)
    x = torch.rand(rows, CHANNELS)
    with torch.no_grad():
        if pool != "Attention":
            module(small.repeat(20, 1), ptr=torch.tensor([0, 100_000]))  # compiled before memory is read
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times = []
        for _ in range(5):
            start = time.perf_counter()
            module(x, ptr=ptr)
            times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = statistics.median(times)
    return {
        "pool": pool,
        "rows": rows,
        "ms": 1e3 * seconds,
        "ns_per_row": 1e9 * seconds / rows,
        "features_mb": rows * CHANNELS * 4 / 1e6,
        "extra_mb": (peak - before) / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(one(sys.argv[1], int(sys.argv[2]))))
