"""Prepared batches: the pictures one by one, whatever the workers, the ranks or an interruption."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.data import (
    ArraySource,
    Augmentation,
    Batch,
    Buckets,
    FileSource,
    Fixed,
    Native,
    Rank,
    canvas_digits,
    evaluation_batches,
    prepare,
    read_folder,
    read_picture,
    read_table,
    training_batches,
)
from globalpool.data.parts import logits
from globalpool.errors import DataError
from globalpool.pools import Grid
from tests.data.pictures import folder_of, landscape, save

SPEC = InputSpec(32, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
SIZES = ((32, 40), (40, 32), (48, 24))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FileSource:
    root = tmp_path_factory.mktemp("data")
    for i in range(21):
        save(root / ("cat", "dog", "eel")[i % 3] / f"{i}.png", i, SIZES[i // 3 % 3])
    return FileSource(read_folder(root))


def samples(batches: Iterable[Batch]) -> dict[int, tuple[Tensor, Tensor]]:
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for batch in batches:
        rows = [x for part in batch.parts for x in part]
        assert len(rows) == len(batch)
        assert len({part.shape for part in batch.parts}) == len(batch.parts)
        found |= {int(i): (x, y) for i, x, y in zip(batch.indices, rows, batch.targets, strict=True)}
    return found


@pytest.mark.parametrize("sizes", [Native(), Fixed(24), Buckets(((32, 40), (40, 32)))], ids=repr)
def test_a_batch_is_its_pictures_one_by_one(source: FileSource, sizes: Fixed | Native | Buckets) -> None:
    chosen = range(2, 20)
    found = samples(evaluation_batches(source, chosen, SPEC, sizes, 4))
    assert sorted(found) == list(chosen)
    again = samples(training_batches(source, chosen, SPEC, sizes, 4))
    for i in chosen:
        expected = prepare(read_picture(source.files[i]), SPEC, sizes(source.sizes[i]))[0]
        assert torch.equal(found[i][0], expected)
        assert torch.equal(again[i][0], expected)
        assert int(found[i][1]) == ("cat", "dog", "eel").index(source.files[i].parent.name)


def test_logits_through_buckets_are_those_of_one_picture_at_a_time(source: FileSource) -> None:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 5, 3, 2))
    classifier = PooledClassifier(trunk, Grid(2, 2), nn.Linear(20, 3)).double().eval()
    mixed = 0
    for batch in evaluation_batches(source, range(21), SPEC, Native(), 4):
        mixed += len(batch.parts) > 1
        together = logits(classifier, [part.double() for part in batch.parts])
        for row, i in zip(together, batch.indices.tolist(), strict=True):
            alone = classifier(prepare(read_picture(source.files[i]), SPEC, None).double())[0]
            assert float((row - alone).detach().abs().max()) <= 1e-12
    assert mixed == 2


def test_workers_and_interruptions_change_nothing(source: FileSource) -> None:
    augment = Augmentation(shift=0.2, zoom=0.2, light=0.3)

    def epoch(workers: int, first_step: int = 0) -> list[Batch]:
        batches = training_batches(source, range(21), SPEC, Native(), 5, seed=4, augment=augment, workers=workers)
        batches.set_epoch(2, first_step)
        return list(batches)

    torch.manual_seed(1)
    state = torch.get_rng_state()
    whole = epoch(0)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    torch.manual_seed(2)
    for other, begin in ((epoch(2), 0), (epoch(0, 3), 3)):
        assert len(other) == len(whole) - begin
        for a, b in zip(whole[begin:], other, strict=True):
            assert torch.equal(a.indices, b.indices)
            assert torch.equal(a.targets, b.targets)
            assert all(torch.equal(x, y) for x, y in zip(a.parts, b.parts, strict=True))


def test_an_augmented_picture_depends_on_seed_epoch_and_number_alone(source: FileSource) -> None:
    augment = Augmentation(light=0.5)
    one = samples(training_batches(source, range(21), SPEC, Native(), 7, seed=1, augment=augment))
    other = samples(training_batches(source, [20, 3, 5], SPEC, Native(), 1, seed=1, augment=augment))
    for i in (3, 5, 20):
        assert torch.equal(one[i][0], other[i][0])
    later = training_batches(source, range(21), SPEC, Native(), 7, seed=1, augment=augment)
    later.set_epoch(1)
    seeded = training_batches(source, range(21), SPEC, Native(), 7, seed=2, augment=augment)
    for changed in (samples(later), samples(seeded)):
        assert sum(torch.equal(changed[i][0], one[i][0]) for i in one) <= 1


def test_flips_are_mirror_images_half_of_the_time(source: FileSource) -> None:
    plain = samples(evaluation_batches(source, range(21), SPEC, Native(), 7))
    mirrored = 0
    for epoch in range(10):
        batches = training_batches(source, range(21), SPEC, Native(), 7, augment=Augmentation())
        batches.set_epoch(epoch)
        for i, (x, _) in samples(batches).items():
            is_mirrored = torch.equal(x, plain[i][0].flip(-1))
            assert is_mirrored or torch.equal(x, plain[i][0])
            mirrored += is_mirrored
    assert 80 <= mirrored <= 130, "105 of 210 on average, deviation 7"


def test_ranks_share_the_batches(source: FileSource) -> None:
    alone = list(training_batches(source, range(20), SPEC, Fixed(16), 4, seed=1))
    pairs = [training_batches(source, range(20), SPEC, Fixed(16), 4, seed=1, rank=Rank(r, 2)) for r in (0, 1)]
    for batch, *both in zip(alone, *pairs, strict=True):
        assert torch.equal(batch.parts[0], torch.cat([half.parts[0] for half in both]))
        assert torch.equal(batch.indices, torch.cat([half.indices for half in both]))


def test_pictures_in_memory_go_the_same_way() -> None:
    digits = canvas_digits(0, count=12)
    spec = InputSpec(64, (0.25,), (0.5,))
    source = ArraySource(digits.pictures, digits.labels)
    assert source.classes == tuple("0123456789")[: digits.labels.max() + 1]
    found = samples(training_batches(source, range(12), spec, Native(), 4))
    for i, (x, y) in found.items():
        expected = (torch.from_numpy(digits.pictures[i]).float() / 255 - 0.25) / 0.5
        assert torch.equal(x, expected[None])
        assert int(y) == digits.labels[i]
    colour = ArraySource([landscape(0)], [0], ["a", "b"])
    (batch,) = evaluation_batches(colour, [0], SPEC, Native(), 1)
    assert batch.parts[0].shape == (1, 3, 32, 40)


def test_several_labels_are_rows_of_zeros_and_ones(tmp_path: Path) -> None:
    folder_of(tmp_path, count=2)
    (tmp_path / "t.csv").write_text("path,label\ncat/0.png,x;z\ncat/1.png,\ndog/0.png,y\n", encoding="utf-8")
    source = FileSource(read_table(tmp_path / "t.csv"))
    (batch,) = evaluation_batches(source, range(3), SPEC, Fixed(8), 3)
    assert batch.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_what_cannot_be_is_said(source: FileSource) -> None:
    batches = training_batches(source, range(9), SPEC, Fixed(16), 3, augment=lambda pixels: pixels[:, :8])
    with pytest.raises(
        DataError, match=re.escape("expected an augmentation that keeps uint8 (3, 16, 16); got uint8 (3,")
    ):
        next(iter(batches))
    with pytest.raises(DataError, match=r"Augmentation: expected `zoom` from 0 to 0\.99; got 1"):
        Augmentation(zoom=1)
    pixels = np.zeros((4, 4), dtype=np.uint8)
    for pictures, labels, message in (
        (
            [pixels.astype(np.float32)],
            [0],
            r"expected pictures as uint8 \(H, W\) or \(H, W, 3\); got float32 \(4, 4\) at 0",
        ),
        ([pixels], [0, 1], r"expected a class id for each of 1 pictures; got labels \(2,\)"),
        ([pixels], [2], "expected class ids from 0 to 1; got 2 to 2"),
    ):
        with pytest.raises(DataError, match=message):
            ArraySource(pictures, labels, ["a", "b"])  # type: ignore[arg-type]
