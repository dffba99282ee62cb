"""Audio: a pool over time knows the spectrum, a pool over frequency knows the order of events, and both add up.

    python examples/12_audio.py figure.png

Notes of four instruments at random pitches and moments, beats in four rhythms at random pitches, on constant-Q bands.
Networks that look along frequency alone are pooled over time, those that look along time alone over frequency: each
tells its own task and not the other. A shift of the frames changes no logit of the first. Evidence lies at the seconds
and hertz of the sound; evidence a second is a curve whose area and offset are the logit.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import globalpool as gp
from globalpool.data.rhythm import Beats, rhythm_beats
from globalpool.data.spectrograms import Bands, spectrogram
from globalpool.data.timbre import Notes, timbre_notes
from globalpool.models import bandwise, framewise

BANDS = Bands(8000, hop=160, window=1, count=60, scale="log", lowest=110.0, highest=3300.0, floor=-60.0)
FRAMES, STEP = 50, 160 / 8000
TASKS: dict[str, Callable[[int, int], Notes | Beats]] = {"timbre": timbre_notes, "rhythm": rhythm_beats}


def recordings(task: str, seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Spectrograms ``(N, 1, 60, 50)`` and classes."""
    made = TASKS[task](seed, count)
    found = [spectrogram(torch.from_numpy(samples)[None], BANDS).decibels for samples in made.samples]
    return (torch.stack(found)[:, None] - BANDS.floor) / 20 - 1, torch.from_numpy(made.labels)


def trained(pool: str, x: Tensor, y: Tensor) -> gp.PooledClassifier:
    if pool == "time":
        network = framewise(1, 4, (8, 16), gp.Mean(dim=gp.TIME), kept=(BANDS.count,))
    else:
        network = bandwise(1, 4, (8, 16), gp.Mean(dim=gp.FREQUENCY), kept=(FRAMES,))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        rows = torch.randint(0, len(x), (16,))
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        optimiser.step()
    return network.eval().requires_grad_(False)


def main(out: Path) -> None:
    torch.manual_seed(0)
    held = {task: recordings(task, 1, 160) for task in TASKS}
    networks, right = {}, {}
    for task in TASKS:
        x, y = recordings(task, 0, 240)
        for pool in ("time", "frequency"):
            networks[task, pool] = trained(pool, x, y)
            right[task, pool] = float((networks[task, pool](held[task][0]).argmax(1) == held[task][1]).float().mean())
    print("accuracy:", {" by ".join(key): round(value, 3) for key, value in right.items()})
    fitting = {"timbre": "time", "rhythm": "frequency"}
    assert all(right[task, pool] > 0.8 if pool == fitting[task] else right[task, pool] < 0.4 for task, pool in right)
    for pool in ("time", "frequency"):
        x, network = held["timbre"][0], networks["timbre", pool]
        change = float((network(x) - network(x.roll(9, 3))).abs().max())
        print(f"shifted by 9 frames, logits pooled over {pool} move by {change:.1e}")
        assert change <= 1e-5 if pool == "time" else change > 0.1

    figure = Figure((13, 5.2), layout="constrained")
    grid = figure.subplot_mosaic("abc;ade", width_ratios=[1.1, 1.5, 1.5], height_ratios=[1.6, 1])
    for shift, (pool, colour) in zip((-0.2, 0.2), (("time", "tab:blue"), ("frequency", "tab:orange")), strict=True):
        grid["a"].bar(np.arange(2) + shift, [right[t, pool] for t in TASKS], 0.4, color=colour, label=f"over {pool}")
    grid["a"].axhline(0.25, linestyle=":", color="black")
    grid["a"].set(title="held-out accuracy", ylim=(0, 1.3), xticks=[0, 1], xticklabels=list(TASKS))
    grid["a"].legend(loc="upper center", frameon=False)
    edges, marks = np.arange(FRAMES + 1) * STEP, (125, 250, 500, 1000, 2000)
    for above, below, task in (("b", "d", "timbre"), ("c", "e", "rhythm")):
        evidence = networks[task, fitting[task]].evidence(held[task][0][:1], "all").check().centered()
        own = evidence.select(int(held[task][1][0]))
        why = torch.as_tensor(own.interpolate((BANDS.count, FRAMES)))[0, 0].numpy()
        limit, sound, box = float(abs(why).max()), held[task][0][0, 0].numpy(), (0, 1, -0.5, 59.5)
        grid[above].imshow(sound, "Greys", aspect="auto", origin="lower", extent=box)
        grid[above].imshow(why, "RdBu_r", vmin=-limit, vmax=limit, alpha=0.6, aspect="auto", origin="lower", extent=box)
        grid[above].set_yticks(np.interp(marks, BANDS.centres, np.arange(BANDS.count)), list(map(str, marks)))
        grid[above].set(ylabel="Hz", title=f"{task}, pooled over {fitting[task]}: evidence")
        each = FRAMES // own.maps.shape[3]  # frames under a position
        density = (own.maps[0, 0].sum(0).repeat_interleave(each) / each / STEP).numpy()
        area = float(density.sum() * STEP)
        grid[below].stairs(density, edges, fill=True, color="tab:red")
        assert abs(area + float(own.offset) - float(own.logits)) < 1e-4
        grid[below].set(xlabel="seconds", ylabel="logits a second", xlim=(0, 1))
        grid[below].set_title(f"area {area:+.2f}, offset {float(own.offset):+.2f}, logit {float(own.logits):+.2f}")
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "12_audio.png"))
