"""Folders of classes become examples."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from globalpool.data import read_examples, read_folder
from globalpool.errors import DataError
from tests.data.pictures import folder_of, landscape, save


def test_every_file_is_an_example_with_what_was_decoded(tmp_path: Path) -> None:
    folder_of(tmp_path, count=2)
    save(tmp_path / "cat" / "deep" / "tall.png", 7, (50, 20), grey=True)
    data = read_folder(tmp_path)
    assert data.classes == ("cat", "dog")
    rows = [(example.path.name, example.labels, example.size, example.grey) for example in data.examples]
    assert rows == [
        ("0.png", (0,), (32, 40), False),
        ("1.png", (0,), (32, 40), False),
        ("tall.png", (0,), (50, 20), True),
        ("0.png", (1,), (32, 40), False),
        ("1.png", (1,), (32, 40), False),
    ]
    assert all(example.part is None and example.group is None for example in data.examples)
    assert len({example.content for example in data.examples}) == 5
    assert read_examples(tmp_path) == data


def test_content_is_that_of_the_decoded_pixels_and_shape(tmp_path: Path) -> None:
    folder_of(tmp_path, count=1)
    Image.fromarray(landscape(0)).save(tmp_path / "cat" / "again.bmp")
    Image.fromarray(landscape(0).reshape(40, 32, 3)).save(tmp_path / "cat" / "turned.png")
    contents = {
        example.path.name: example.content for example in read_folder(tmp_path).examples if not example.labels[0]
    }
    assert contents["0.png"] == contents["again.bmp"] != contents["turned.png"]


def test_what_is_left_out_says_why(tmp_path: Path) -> None:
    folder_of(tmp_path)
    (tmp_path / "cat" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "list.csv").write_text("x")
    shutil.copy(tmp_path / "cat" / "3.png", tmp_path / "dog" / "copy.png")
    data = read_folder(tmp_path)
    reasons = dict(data.left_out)
    assert reasons.pop("cat/broken.png").startswith("expected one of AVIF")
    assert reasons == {
        "list.csv": "not in the subfolder of a class",
        "cat/notes.txt": "not a picture's suffix",
        "cat/3.png": "the same picture in cat and dog",
        "dog/copy.png": "the same picture in cat and dog",
    }
    assert len(data) == 11


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid"), ("train", "TEST")])
def test_a_given_split_is_kept(tmp_path: Path, names: tuple[str, ...]) -> None:
    for number, name in enumerate(names):
        folder_of(tmp_path / name, count=2, first=100 * number)
    shutil.rmtree(tmp_path / names[1] / "cat")
    data = read_folder(tmp_path)
    words = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "test": "test"}
    assert data.classes == ("cat", "dog")
    parts = [(words[example.path.parts[-3].lower()], example.path.parts[-2]) for example in data.examples]
    assert [(example.part, data.classes[example.labels[0]]) for example in data.examples] == parts
    assert len(data) == 4 * len(names) - 2


def test_classes_named_like_parts_are_classes_where_no_train_is(tmp_path: Path) -> None:
    assert read_folder(folder_of(tmp_path, ("test", "valid"), 1)).classes == ("test", "valid")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            ("train/cat", "train/dog", "val/cat", "cat"),
            "expected either classes or one folder each of train, val and test; got train, val beside cat. Move every",
        ),
        (
            ("train/a", "train/b", "val/a", "valid/a"),
            "got train, val, valid. Move every class into train, val and test",
        ),
        (("train/a", "test/a"), "expected subfolders of at least two classes; got 1, a. Put the pictures of each"),
        (
            ("train/a", "train/b", "test/c"),
            "c: expected every class among the pictures to train on; got no c. Add pictures to train on",
        ),
    ],
)
def test_folders_that_contradict_each_other(tmp_path: Path, folders: tuple[str, ...], message: str) -> None:
    for number, name in enumerate(folders):
        save(tmp_path / name / "0.png", number)
    with pytest.raises(DataError, match=re.escape(message)):
        read_folder(tmp_path)


def test_a_class_must_have_a_picture_to_train_on(tmp_path: Path) -> None:
    folder_of(tmp_path / "train", count=1)
    folder_of(tmp_path / "val", count=1, first=50)
    (tmp_path / "train" / "cat" / "0.png").rename(tmp_path / "train" / "cat" / "0.txt")
    with pytest.raises(DataError, match=r"train/cat: expected at least one picture; got none among 1 files\. Add"):
        read_folder(tmp_path)
