"""Evidence of a recording in seconds and hertz: it lies where the sound lies, and adds up."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import globalpool as gp
from globalpool.data.audio import Recording
from globalpool.data.recordings import Recordings
from globalpool.errors import EvidenceError
from globalpool.evidence import Evidence
from globalpool.models import PaddedSequential, WindowedClassifier, convnet, framewise
from globalpool.report.draw_audio import draw_recording, evidence_in_time, save_recording
from tests.data.sounds import tone

PLAN = Recordings(8000, 80, 256, bands=40, mean=(-50.0,), std=(20.0,))


def recording() -> Recording:
    """Silence to 0.2 s, 1,000 Hz to 0.5 s, silence to 0.6 s, 300 Hz to 0.7 s, silence to 1 s."""
    parts: list[np.ndarray] = [np.zeros(1600), tone(1000, 0.3), np.zeros(800), tone(300, 0.1), np.zeros(2400)]
    return Recording(Path("a.wav"), np.concatenate(parts).astype(np.float32)[None], 8000)


def explained(classifier: gp.PooledClassifier, plan: Recordings = PLAN) -> Evidence:
    (part,) = plan.collate([plan.prepare(recording())])
    return classifier.eval().requires_grad_(False).evidence(part, "all").check()


def loudness() -> gp.PooledClassifier:
    """Class 0: how far each position lies above the mean of -50 dB."""
    trunk = PaddedSequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU())
    nn.init.ones_(trunk[0].weight)  # type: ignore[arg-type]
    classifier = gp.PooledClassifier(trunk, gp.Mean(), nn.Linear(1, 2))
    classifier.tail.weight.data = torch.tensor([[1.0], [0.0]])
    return classifier


def test_evidence_lies_at_the_seconds_and_bands_of_the_sound() -> None:
    found = evidence_in_time(explained(loudness()).select(0), recording(), PLAN)
    assert found.edges[[0, -1]].tolist() == pytest.approx([0.2, 0.7])
    assert np.diff(found.edges) == pytest.approx(np.full(50, 0.01))
    middles = (found.edges[:-1] + found.edges[1:]) / 2
    pause = (middles > 0.5) & (middles < 0.6)
    assert not found.curve[pause].any()
    assert (found.curve[~pause] > 0).all()
    centres = PLAN.filters.centres
    for low, high, frequency in ((0.22, 0.48, 1000), (0.62, 0.68, 300)):
        steady = found.values[:, (middles > low) & (middles < high)].mean(1)
        assert abs(centres[steady.argmax()] - frequency) < 40


@pytest.mark.parametrize("make", ["convnet", "framewise", "windowed"])
def test_evidence_of_each_second_adds_up_to_the_logit(make: str) -> None:
    torch.manual_seed(0)
    plan = replace(PLAN, frames=16) if make == "windowed" else PLAN
    if make == "convnet":
        classifier = convnet(2, 1, 3, (4, 8), depth=2, first_stride=2)
    elif make == "framewise":
        classifier = framewise(1, 3, (4, 8), gp.Mean(dim=gp.TIME), kept=(40,))
    else:
        trunk, pool = convnet(2, 1, 3, (4, 8)).trunk, gp.Mean(dim=gp.FREQUENCY)
        classifier = WindowedClassifier(trunk, pool, nn.Linear(pool.out_features(8, (8,)), 3), 16)
    evidence = explained(classifier, plan).centered()
    for class_id in range(3):
        own = evidence.select(class_id)
        found = evidence_in_time(own, recording(), plan)
        area = float((found.per_second * np.diff(found.edges)).sum())
        assert area + float(own.offset) == pytest.approx(float(own.logits), abs=1e-5)
        assert found.edges[[0, -1]].tolist() == pytest.approx([0.2, 0.7])


def test_the_table_holds_the_curves_in_seconds(tmp_path: Path) -> None:
    evidence = explained(loudness())
    (file,) = save_recording(tmp_path / "00000", recording(), PLAN, evidence)
    with file.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream))
    assert header == ["begin (seconds)", "end (seconds)", "class 0", "class 1"]
    numbers = np.array(rows, dtype=np.float64)
    assert numbers[1:, 0].tolist() == numbers[:-1, 1].tolist()
    totals = numbers[:, 2:].sum(0) + evidence.offset[0].numpy()
    assert totals == pytest.approx(evidence.logits[0].numpy(), abs=1e-6)


def test_the_figure_has_axes_in_seconds_and_hertz(tmp_path: Path) -> None:
    evidence = explained(loudness()).centered()
    figure = draw_recording(recording(), PLAN, [(evidence.select(0), "loud\nlogit +1"), (evidence.select(1), "b")])
    panels = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    assert len(panels) == 5
    assert panels[-1].get_xlabel() == "seconds"
    assert panels[-1].get_xlim() == (0, 1)
    marks = [text.get_text() for text in panels[0].get_yticklabels()]
    assert marks == ["100", "500", "1000", "2000"]
    assert np.interp(1000, PLAN.filters.centres, np.arange(40)) == pytest.approx(panels[0].get_yticks()[2])
    assert panels[1].get_title().startswith("loud, logit +1 = area ")
    figure.savefig(tmp_path / "a.png")
    with pytest.raises(EvidenceError, match="expected evidence against something, with a meaning of zero; got raw"):
        draw_recording(recording(), PLAN, [(explained(loudness()).select(0), "raw")])
    with pytest.raises(EvidenceError, match="expected evidence of one recording for one class"):
        evidence_in_time(evidence, recording(), PLAN)
