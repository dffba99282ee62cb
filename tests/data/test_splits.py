"""Splits that leak nothing, and do not depend on names, order or machine."""

import hashlib
import json
import random
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from globalpool.data import Example, Examples, Split, read_folder, read_split, split_examples, write_split
from globalpool.data.examples import Part
from globalpool.errors import DataError
from tests.data.pictures import folder_of, landscape, save

PARTS: tuple[Part, ...] = ("train", "validation", "test")


def example(number: int, *labels: int, group: str | None = None, content: int | None = None) -> Example:
    digest = hashlib.sha256(str(number if content is None else content).encode()).hexdigest()
    return Example(Path(f"root/{number}.png"), labels, (8, 8), digest, group)


def examples(entries: list[Example], classes: int, *, multi_label: bool = False) -> Examples:
    return Examples(Path("root"), tuple("abcdefgh"[:classes]), tuple(entries), multi_label=multi_label)


def check(data: Examples, split: Split) -> None:
    """Every example in one part, nothing that belongs together in two."""
    place = {i: name for name in PARTS for i in split.part(name)}
    assert sorted(place) == list(range(len(data)))
    assert sum(len(split.part(name)) for name in PARTS) == len(data)
    for key in ("content", "group"):
        parts: dict[str, set[str]] = {}
        for i, one in enumerate(data.examples):
            if getattr(one, key) is not None:
                parts.setdefault(getattr(one, key), set()).add(place[i])
        assert all(len(found) == 1 for found in parts.values()), key


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_nothing_leaks_and_order_does_not_matter(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 4))
    entries = [example(10_000 + 10 * label + i, label) for label in range(classes) for i in range(5)]
    for number in range(data.draw(st.integers(0, 40))):
        label = data.draw(st.integers(0, classes - 1))
        group = data.draw(st.sampled_from([None, None, "p", "q", "r"]))
        content = 1000 * label + data.draw(st.integers(0, 12))
        entries.append(example(number, label, group=group, content=content))
    folder = examples(entries, classes)
    split = split_examples(folder)
    check(folder, split)
    for name in PARTS:
        labels = {folder.examples[i].labels[0] for i in split.part(name)}
        assert labels == set(range(classes)), name
    order = list(range(len(entries)))
    random.Random(data.draw(st.integers(0, 9))).shuffle(order)
    shuffled = split_examples(examples([entries[i] for i in order], classes))
    for name in PARTS:
        assert sorted(order[i] for i in shuffled.part(name)) == list(split.part(name))


def test_shares_of_each_class() -> None:
    data = examples([example(i, int(i >= 200)) for i in range(240)], 2)
    split = split_examples(data, validation=0.1, test=0.2)
    counts = {name: Counter(data.examples[i].labels[0] for i in split.part(name)) for name in PARTS}
    assert counts == {"train": {0: 140, 1: 28}, "validation": {0: 20, 1: 4}, "test": {0: 40, 1: 8}}
    assert split.rule.startswith("by content: the smallest SHA-256 of the content in each class; copies, near copies")
    assert split.rule.endswith("0.1 validation, 0.2 test")
    smallest = sorted(one.content for one in data.examples[:200])[:40]
    assert sorted(data.examples[i].content for i in split.test if i < 200) == smallest
    everything = split_examples(data, validation=0, test=0)
    assert len(everything.train) == 240
    small = split_examples(examples([example(i, i % 2) for i in range(6)], 2))
    assert [len(small.part(name)) for name in PARTS] == [2, 2, 2]


def test_one_picture_more_moves_few() -> None:
    entries = [example(i, i % 2) for i in range(200)]
    before, after = (split_examples(examples(entries[:n], 2)) for n in (199, 200))
    moved = sum(len(set(before.part(name)) ^ set(after.part(name))) for name in PARTS)
    assert moved <= 5


def test_large_groups_come_as_near_to_the_share_as_they_can() -> None:
    entries = [example(i, 0, group=f"g{i % 12}") for i in range(120)] + [example(1000 + i, 1) for i in range(20)]
    split = split_examples(examples(entries, 2), validation=0.2, test=0.2)
    check(examples(entries, 2), split)
    sizes = [sum(i < 120 for i in split.part(name)) for name in PARTS]
    assert sizes == [80, 20, 20] or sizes == [60, 30, 30]
    assert all(20 <= size <= 30 for size in sizes[1:])


def test_the_rarest_label_is_dealt_first() -> None:
    random_ = random.Random(0)
    entries = []
    for i in range(300):
        labels = {k for k, share in enumerate((0.7, 0.3, 0.03)) if random_.random() < share} or {0}
        entries.append(example(i, *sorted(labels)))
    data = examples(entries, 3, multi_label=True)
    split = split_examples(data, validation=0.2, test=0.2)
    check(data, split)
    for label in range(3):
        count = sum(label in one.labels for one in entries)
        for name in ("validation", "test"):
            mine = sum(label in entries[i].labels for i in split.test if name == "test") or sum(
                label in entries[i].labels for i in split.validation
            )
            assert abs(mine - 0.2 * count) <= max(1, 0.05 * count), (label, name)
    few = examples([*entries, example(999, 3)], 4, multi_label=True)
    assert 300 in split_examples(few).train, "a label with one picture is trained on"


def test_near_copies_stay_together(tmp_path: Path) -> None:
    folder_of(tmp_path, count=20)
    for name in ("cat", "dog"):
        for i in range(20):
            with Image.open(tmp_path / name / f"{i}.png") as image:
                image.resize((30, 24)).save(tmp_path / name / f"small {i}.jpg", quality=60)
    data = read_folder(tmp_path)
    split = split_examples(data)
    for name in PARTS:
        own = [data.examples[i] for i in split.part(name)]
        stems = Counter((one.labels, one.path.stem.split()[-1]) for one in own)
        assert set(stems.values()) == {2}
    assert [len(split.part(name)) for name in PARTS] == [56, 12, 12]


def test_a_given_split_is_kept_without_leaks(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "val", "test")):
        folder_of(tmp_path / part, count=3, first=100 * number)
    shutil.copy(tmp_path / "test/cat/0.png", tmp_path / "train/cat/leak.png")
    shutil.copy(tmp_path / "test/dog/1.png", tmp_path / "val/dog/leak.png")
    data = read_folder(tmp_path)
    split = split_examples(data)
    assert [len(split.part(name)) for name in PARTS] == [6, 6, 6]
    assert split.left_out == (
        ("train/cat/leak.png", "its copy is in the test part"),
        ("val/dog/leak.png", "its copy is in the test part"),
    )
    for name in PARTS:
        assert {data.examples[i].part for i in split.part(name)} == {name}
    assert split.rule == "as given by the data; training pictures that validation or test hold too are not used"
    shutil.rmtree(tmp_path / "val")
    data = read_folder(tmp_path)
    split = split_examples(data, validation=0.3)
    assert [len(split.part(name)) for name in PARTS] == [4, 2, 6]
    assert {data.examples[i].part for i in split.validation} == {"train"}
    assert "0.3 of training for validation by content" in split.rule
    shutil.rmtree(tmp_path / "test")
    (tmp_path / "train").rename(tmp_path / "training")
    folder_of(tmp_path / "val", count=1, first=300)
    split = split_examples(read_folder(tmp_path))
    assert split.test == ()
    shutil.rmtree(tmp_path / "training/cat")
    shutil.copytree(tmp_path / "val/cat", tmp_path / "training/cat")
    with pytest.raises(DataError, match=r"cat: expected at least one readable picture to fit; got none\. Add pictures"):
        split_examples(read_folder(tmp_path))


@pytest.mark.parametrize(
    ("entries", "got"),
    [
        (
            [0, 0, 0, 1, 1],
            "b: expected at least three different readable pictures; got 2. Add pictures of other",
        ),
        (
            ["g", "g", "g", "h", "g"],
            "got 4 in 1 group or sets of near copies, which stay together. Add pictures",
        ),
    ],
)
def test_too_few_pictures_that_may_part(entries: list[int | str], got: str) -> None:
    if isinstance(entries[0], int):
        made = [example(i, int(label)) for i, label in enumerate(entries)]
    else:
        made = [example(i, int(g == "g"), group=str(g)) for i, g in enumerate(entries)]
        made += [example(100 + i, 0) for i in range(5)]
    with pytest.raises(DataError, match=re.escape(got)):
        split_examples(examples(made, 2))


@pytest.mark.parametrize(
    ("shares", "got"),
    [((-0.1, 0.1), "got -0.1. 0.15 holds out"), ((0.5, 0.5), "both together below 1; got 0.5 + 0.5 = 1.")],
)
def test_shares_that_cannot_be(shares: tuple[float, float], got: str) -> None:
    with pytest.raises(DataError, match=re.escape(got)):
        split_examples(examples([example(i, i % 2) for i in range(10)], 2), validation=shares[0], test=shares[1])


def test_a_written_split_is_read_again_anywhere(tmp_path: Path) -> None:
    folder_of(tmp_path / "a", count=8)
    data = read_folder(tmp_path / "a")
    split = split_examples(data)
    file = tmp_path / "split.json"
    write_split(file, data, split)
    assert str(tmp_path) not in file.read_text(), "a split that is passed on names no machine"
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert read_split(file, read_folder(tmp_path / "b")) == split
    assert list(json.loads(file.read_text())["test"]) == [
        f"{('cat', 'dog')[data.examples[i].labels[0]]}/{data.examples[i].path.name}" for i in split.test
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "split.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "remove",
            "expected the pictures of ROOT; got cat/0.png gone or unreadable. Restore the pictures, or make",
        ),
        ("add", "expected the pictures of ROOT; got dog/new.png new. Restore the pictures"),
        ("edit", "expected the pictures of ROOT; got cat/1.png, cat/2.png, cat/3.png and 1 more changed. Restore"),
        ("class", "expected the classes of ROOT; got a difference in eel. Restore the pictures"),
        ("damage", "split.json: expected a split that globalpool wrote; got JSONDecodeError: "),
        (
            "format",
            "expected a split that globalpool wrote; got ValueError: a file that does not say 'globalpool",
        ),
    ],
)
def test_a_changed_folder_is_noticed(tmp_path: Path, change: str, message: str) -> None:
    root, file = folder_of(tmp_path / "data", count=5), tmp_path / "split.json"
    data = read_folder(root)
    write_split(file, data, split_examples(data))
    if change == "remove":
        (root / "cat" / "0.png").unlink()
    elif change == "add":
        save(root / "dog" / "new.png", 500)
    elif change == "edit":
        for i in range(1, 5):
            Image.fromarray(255 - landscape(i)).save(root / "cat" / f"{i}.png")
    elif change == "class":
        save(root / "eel" / "0.png", 500)
    elif change == "damage":
        file.write_text(file.read_text()[:-20])
    else:
        file.write_text(file.read_text().replace("split 1", "split 2"))
    with pytest.raises(DataError, match=re.escape(message.replace("ROOT", str(root)))):
        read_split(file, read_folder(root))
