"""Recordings as inputs: planned by the training files, silence left out, one alone as in any batch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import globalpool as gp
from globalpool.data.kinds import kind_of, read_inputs
from globalpool.data.recordings import Recordings
from globalpool.errors import DataError
from globalpool.layout import Padded
from globalpool.models import convnet, framewise
from tests.data.sounds import save, tone


def noise(length: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


def folder(path: Path) -> list[Path]:
    """Two at 8,000 Hz, one at 16,000; the second has pauses."""
    paused = np.concatenate([np.zeros(800), tone(440, 0.2), np.zeros(400), tone(660, 0.1), np.zeros(1200)])
    return [
        save(path / "a" / "noise.wav", noise(4000)),
        save(path / "a" / "paused.flac", paused.astype(np.float32)),
        save(path / "b" / "high.wav", noise(16000, 1), 16000),
    ]


def test_the_plan_follows_the_files_and_the_statistics_are_those_of_frames_that_count(tmp_path: Path) -> None:
    files = folder(tmp_path)
    plan = Recordings.planned(files, {"bands": "40"})
    assert (plan.rate, plan.hop, plan.window, plan.lowest, plan.highest) == (8000, 80, 256, 0.0, 4000.0)
    columns = []
    for file in files:
        found = plan.spectrogram(plan.read(file))
        columns.append(found.decibels[:, found.levels >= found.levels.max() - 60])
    every = torch.cat(columns, 1).double()
    assert plan.mean == pytest.approx([float(every.mean())])
    assert plan.std == pytest.approx([float(every.std(correction=0))])
    own = Recordings.planned(files, {"bands": "40", "normalization": "band"})
    assert own.mean == pytest.approx(every.mean(1).tolist())
    assert own.std == pytest.approx(every.std(1, correction=0).tolist())
    assert kind_of(tmp_path) is Recordings
    assert read_inputs(json.loads(json.dumps(plan.record()))) == plan


def test_logarithmic_bands_and_what_the_user_says(tmp_path: Path) -> None:
    plan = Recordings.planned(folder(tmp_path), {"scale": "log", "silence": "none", "floor": "-90", "frames": "50"})
    assert (plan.scale, plan.silence, plan.floor, plan.frames) == ("log", None, -90.0, 50)
    (part,) = plan.collate([plan.prepare(plan.read(tmp_path / "a" / "noise.wav"))])
    assert part.measure is None
    assert part.values.shape == (1, 1, 64, 50)


def test_silent_ends_are_left_out_and_pauses_do_not_count(tmp_path: Path) -> None:
    files = folder(tmp_path)
    plan = Recordings.planned(files, {})
    sample = plan.prepare(plan.read(files[1]))
    # 10 frames of silence, 20 of sound, 5 of silence, 10 of sound, 15 of silence.
    assert plan.size(sample) == (64, 35)
    assert sample.measure is not None
    assert sample.measure[0, 0].tolist() == [1.0] * 20 + [0.0] * 5 + [1.0] * 10


def test_appended_silence_changes_nothing_with_the_mask_and_does_without(tmp_path: Path) -> None:
    wave = noise(4000 + 33)
    short = save(tmp_path / "short.wav", wave)
    longer = save(tmp_path / "longer.wav", np.concatenate([np.zeros(800), wave, np.zeros(9777)]).astype(np.float32))
    torch.manual_seed(0)
    for make in (framewise, lambda *given: convnet(2, *given)):
        network = make(1, 3, (4, 8)).eval()
        logits = {}
        for silence in ("60", "none"):
            plan = Recordings.planned([short], {"silence": silence})
            for file in (short, longer):
                logits[silence, file] = network(plan.collate([plan.prepare(plan.read(file))])[0])
        torch.testing.assert_close(logits["60", short], logits["60", longer], rtol=0, atol=1e-5)
        torch.testing.assert_close(logits["60", short], logits["none", short], rtol=0, atol=1e-5)
        assert float((logits["none", short] - logits["none", longer]).detach().abs().max()) > 0.05


def test_one_alone_is_one_in_a_batch(tmp_path: Path) -> None:
    files = folder(tmp_path)
    plan = Recordings.planned(files, {})
    torch.manual_seed(0)
    network = gp.models.convnet(2, 1, 3, (4, 8), depth=2).eval()
    samples = [plan.prepare(plan.read(file)) for file in files]
    (part,) = plan.collate(samples)
    assert isinstance(part, Padded)
    together = network(part)
    alone = torch.cat([network(plan.collate([sample])[0]) for sample in samples])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_augmentation_masks_with_the_mean_and_keeps_the_floor(tmp_path: Path) -> None:
    (file, *_) = folder(tmp_path)
    plan = Recordings.planned([file], {"gain": "12", "mask_bands": "8", "mask_frames": "5"})
    sample = plan.prepare(plan.read(file))
    floor = (plan.floor - plan.mean[0]) / plan.std[0]
    torch.manual_seed(3)
    changed = [plan.augmented(sample).values[0, 0] for _ in range(40)]
    blank = [(values == 0) for values in changed]
    assert max(int(mask.all(1).sum()) for mask in blank) == 8
    assert max(int(mask.all(0).sum()) for mask in blank) == 5
    assert min(float(values.min()) for values in changed) >= floor - 1e-4
    moves = [
        (values - sample.values[0, 0])[~mask].median() * plan.std[0]
        for values, mask in zip(changed, blank, strict=True)
    ]
    assert -12 <= min(moves) < -8
    assert 8 < max(moves) <= 12
    assert Recordings.planned([file], {}).augmented(sample).values.equal(sample.values)


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    files = folder(tmp_path)
    for settings, told in (
        ({"bandz": "3"}, "expected settings of recordings: rate, hop, window, bands, scale, lowest"),
        ({"scale": "bark"}, "expected scale=mel or scale=log; got scale=bark"),
        ({"bands": "many"}, "expected bands as a whole number of at least 1; got bands=many"),
        ({"silence": "0"}, "expected silence as a number of at least 1; got silence=0"),
        ({"highest": "5000"}, "expected `lowest` < `highest` <= 4000 Hz"),
        ({"bands": "400"}, "expected bands that each hold a frequency"),
    ):
        with pytest.raises(DataError, match=told):
            Recordings.planned(files, settings)


def test_facts_are_equal_for_copies_in_another_format(tmp_path: Path) -> None:
    wave = (np.round(noise(4000) * 2**15) / 2**15).astype(np.float32)
    first, second = save(tmp_path / "a.wav", wave), save(tmp_path / "b.flac", wave)
    assert Recordings.facts(first) == Recordings.facts(second)
    assert Recordings.facts(first).size == (4000,)
    assert Recordings.facts(save(tmp_path / "c.wav", wave, 16000)).content != Recordings.facts(first).content
