"""``globalpool check``: mistakes people make, each seeded, each answered with file, cause and next command."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from globalpool.data import check_data
from tests.cli.folders import run
from tests.data.pictures import folder_of, landscape, save

SIZE = (40, 48)
FIELDS = ("severity", "file", "cause", "command")
Maker = Callable[[Path], Path | None]


def good(root: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 20, first: int = 0) -> Path:
    """A folder without a finding."""
    for number, name in enumerate(classes):
        for i in range(count):
            save(root / name / f"{i:02}.png", first + 1000 * number + i, SIZE)
    return root


def in_parts(root: Path, count: int = 20) -> Path:
    for number, part in enumerate(("train", "val", "test")):
        good(root / part, count=count, first=100 * number)
    return root


def table(root: Path, rows: list[str], header: str = "path,label") -> Path:
    file = root / "t.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def rows(root: Path) -> list[str]:
    good(root)
    return [f"{name}/{i:02}.png,{name}" for name in ("cat", "dog") for i in range(20)]


def gone(root: Path) -> Path:
    return root / "cats"


def one_picture(root: Path) -> Path:
    return save(good(root) / "cat" / "00.png", 0)


def empty_folder(root: Path) -> None:
    root.mkdir()


def no_classes(root: Path) -> None:
    save(root / "0.png", 0)


def one_class_of_it(root: Path) -> Path:
    return good(root) / "cat"


def one_class(root: Path) -> None:
    good(root, ("cat",))


def deeper(root: Path) -> None:
    good(root / "images")


def swapped(root: Path) -> None:
    for name in ("cat", "dog"):
        good(root / name, ("train", "test"))


def class_beside_parts(root: Path) -> None:
    good(in_parts(root), ("eel",))


def two_validations(root: Path) -> None:
    good(in_parts(root) / "valid", first=500)


def not_trained_on(root: Path) -> None:
    good(in_parts(root) / "test", ("eel",), first=3000)


def not_judged_on(root: Path) -> None:
    shutil.rmtree(in_parts(root) / "val" / "dog")


def empty_class(root: Path) -> None:
    (good(root) / "eel").mkdir()


def no_picture_in_class(root: Path) -> None:
    (good(root) / "eel").mkdir()
    (root / "eel" / "a.heic").write_bytes(b"x")


def broken(root: Path) -> None:
    (good(root) / "cat" / "00.png").write_bytes(b"no picture")


def cut_short(root: Path) -> None:
    file = good(root) / "cat" / "00.png"
    file.write_bytes(file.read_bytes()[:-200])


def nothing_in_it(root: Path) -> None:
    (good(root) / "cat" / "my cat.png").write_bytes(b"")


def all_broken(root: Path) -> None:
    for file in (good(root) / "cat").iterdir():
        file.write_bytes(b"no picture")


def outside(root: Path) -> None:
    save(good(root) / "odd.png", 77, SIZE)


def hidden(root: Path) -> None:
    save(good(root) / "cat" / ".odd.png", 77, SIZE)


def hidden_folder(root: Path) -> None:
    save(good(root) / ".more" / "odd.png", 77, SIZE)


def no_suffix(root: Path) -> None:
    save(good(root) / "cat" / "odd.png", 77, SIZE).rename(root / "cat" / "odd")


def two_classes(root: Path) -> None:
    shutil.copy(good(root, count=21) / "cat" / "00.png", root / "dog" / "x.png")


def copy(root: Path) -> None:
    with Image.open(good(root) / "cat" / "00.png") as image:
        image.save(root / "cat" / "x.bmp")


def copy_across(root: Path) -> None:
    shutil.copy(in_parts(root) / "test" / "cat" / "00.png", root / "train" / "cat" / "x.png")


def near_across(root: Path) -> None:
    with Image.open(in_parts(root) / "test" / "cat" / "00.png") as image:
        image.resize((96, 80)).save(root / "train" / "cat" / "x.jpg", quality=80)


def grey(root: Path) -> None:
    save(good(root) / "cat" / "00.png", 0, SIZE, grey=True)


def grey_class(root: Path) -> None:
    good(root)
    for i in range(20):
        save(root / "cat" / f"{i:02}.png", i, SIZE, grey=True)


def tiny(root: Path) -> None:
    save(good(root) / "cat" / "x.png", 77, (40, 12))


def strip(root: Path) -> None:
    save(good(root) / "cat" / "x.png", 77, (40, 300))


def size_tells(root: Path) -> None:
    good(root)
    for i in range(20):
        save(root / "cat" / f"{i:02}.png", i, (48, 48))


def unbalanced(root: Path) -> None:
    good(root)
    for i in range(20, 221):
        save(root / "dog" / f"{i}.png", 1000 + i, SIZE)


def few(root: Path) -> None:
    good(root)
    for i in range(5, 20):
        (root / "cat" / f"{i:02}.png").unlink()


def too_few(root: Path) -> None:
    good(root)
    for i in range(2, 20):
        (root / "cat" / f"{i:02}.png").unlink()


def alike(root: Path) -> None:
    good(root, ("Cat", "cat", "dog"))


def digits(root: Path) -> None:
    good(root, ("1", "2", "10"))


def below_a_class(root: Path) -> None:
    good(good(root / "x", ("a",)).parent / "cat", ("tabby", "tiger"), first=300)
    (root / "x").rename(root / "dog")


def swapped_columns(root: Path) -> Path:
    good(root)
    return table(root, [f"{name},{name}/{i:02}.png" for name in ("cat", "dog") for i in range(3)])


def backslashes(root: Path) -> Path:
    return table(root, [row.replace("/", "\\") for row in rows(root)])


def another_machine(root: Path) -> Path:
    return table(root, [f"/nowhere/at/all/{row}" for row in rows(root)])


def missing_row(root: Path) -> Path:
    return table(root, [*rows(root), "cat/99.png,cat"])


def empty_label(root: Path) -> Path:
    return table(root, [*rows(root)[:-1], "dog/19.png, "])


def no_header(root: Path) -> Path:
    made = rows(root)
    return table(root, made[1:], made[0])


def torn_group(root: Path) -> Path:
    parts = ["train"] * 14 + ["val"] * 3 + ["test"] * 3
    made = [f"{row},{parts[i % 20]},{'p7' if i in (3, 19) else i}" for i, row in enumerate(rows(root))]
    return table(root, made, "path,label,split,group")


#: Who made the mistake; severity, file, cause and the next command, with ROOT for the folder and ... for anything.
MISTAKES: list[tuple[Maker, str, str, str, str]] = [
    (
        gone,
        "error",
        "ROOT/cats",
        "no such folder or file",
        "ls ROOT",
    ),
    (
        one_picture,
        "error",
        "ROOT/cat/00.png",
        "one picture, not a data set",
        "globalpool check ROOT",
    ),
    (
        empty_folder,
        "error",
        "ROOT",
        "is empty",
        "mkdir ROOT/first_class ROOT/second_class",
    ),
    (
        no_classes,
        "error",
        "ROOT",
        "holds 1 pictures but no subfolder a class",
        "mkdir ROOT/a_class && mv ROOT/0.png ROOT/a_class",
    ),
    (
        one_class_of_it,
        "error",
        "ROOT/cat",
        "holds pictures but no subfolder a class; it looks like one class of ROOT",
        "globalpool check ROOT",
    ),
    (
        one_class,
        "error",
        "ROOT",
        "holds one class only, cat; a classifier tells at least two apart",
        "mkdir ROOT/another_class",
    ),
    (
        deeper,
        "error",
        "ROOT",
        "holds one folder, images, and the classes lie below that",
        "globalpool check ROOT/images",
    ),
    (
        swapped,
        "error",
        "ROOT/cat/test",
        "folders for training and test lie below the classes; they belong above them",
        "mkdir -p ROOT/test && mv ROOT/cat/test ROOT/test/cat",
    ),
    (
        class_beside_parts,
        "error",
        "ROOT/eel",
        "lies beside test, train, val: a class, or part of the split?",
        "mv ROOT/eel ROOT/train",
    ),
    (
        two_validations,
        "error",
        "ROOT/valid",
        "means the same part of the split as val",
        "cp -r ROOT/valid/. ROOT/val",
    ),
    (
        not_trained_on,
        "error",
        "ROOT/test/eel",
        "class eel is in test but not among the pictures to train on",
        "mv ROOT/test/eel ROOT/train/eel",
    ),
    (
        not_judged_on,
        "warning",
        "ROOT/val",
        "has no pictures of class dog, which cannot be judged there",
        "mkdir ROOT/val/dog",
    ),
    (
        empty_class,
        "error",
        "ROOT/eel",
        "an empty class",
        "rmdir ROOT/eel",
    ),
    (
        no_picture_in_class,
        "error",
        "ROOT/eel",
        "holds no picture among 1 files (.heic)",
        "ls ROOT/eel",
    ),
    (
        broken,
        "warning",
        "ROOT/cat/00.png",
        "not used: expected one of AVIF, ...; got content of no such format",
        "rm ",
    ),
    (
        cut_short,
        "warning",
        "ROOT/cat/00.png",
        "not used: expected a picture that can be decoded whole; got ...",
        "rm ROOT",
    ),
    (
        nothing_in_it,
        "warning",
        "ROOT/cat/my cat.png",
        "not used: expected a picture; got an empty file (0 bytes)",
        "rm 'ROOT/cat/my cat.png'",
    ),
    (
        all_broken,
        "error",
        "ROOT/cat",
        "no picture of class cat can be used",
        "cp MORE/* ROOT/cat",
    ),
    (
        outside,
        "warning",
        "ROOT/odd.png",
        "a picture beside the folders of the classes is not used",
        "mv ROOT/odd.png ROOT/cat",
    ),
    (
        hidden,
        "warning",
        "ROOT/cat/.odd.png",
        "a hidden picture is not used",
        "mv ROOT/cat/.odd.png ROOT/cat/odd.png",
    ),
    (
        hidden_folder,
        "warning",
        "ROOT/.more",
        "a hidden folder with pictures is not used",
        "mv ROOT/.more ROOT/more",
    ),
    (
        no_suffix,
        "warning",
        "ROOT/cat/odd",
        "holds a PNG picture but has no suffix; it is not used",
        "mv ROOT/cat/odd ROOT/cat/odd.png",
    ),
    (
        two_classes,
        "warning",
        "ROOT/cat/00.png",
        "not used: the same picture in cat and dog",
        "rm ROOT/cat/00.png",
    ),
    (
        copy,
        "warning",
        "ROOT/cat/x.bmp",
        "a copy of 00.png, and counts once in the split",
        "rm ROOT/cat/x.bmp",
    ),
    (
        copy_across,
        "warning",
        "ROOT/train/cat/x.png",
        "a copy of ROOT/test/cat/00.png: the same picture in test and train",
        "rm ROOT/train/cat/x.png",
    ),
    (
        near_across,
        "warning",
        "ROOT/train/cat/x.jpg",
        "nearly the same as ROOT/test/cat/00.png: test and train share it",
        "rm ROOT/train/cat/x.jpg",
    ),
    (
        grey,
        "warning",
        "ROOT/cat/00.png",
        "1 of 40 pictures are grey, the others in colour",
        "globalpool explain ROOT/cat",
    ),
    (
        grey_class,
        "warning",
        "ROOT/cat/00.png",
        "all pictures of cat are grey and no others, so colour alone tells the class",
        "globalpool explain ROOT/cat/00.png",
    ),
    (
        tiny,
        "warning",
        "ROOT/cat/x.png",
        "12 x 40 pixels; below 32 most networks see a single position",
        "ls -l ROOT/cat/x",
    ),
    (
        strip,
        "warning",
        "ROOT/cat/x.png",
        "300 x 40 pixels, an aspect ratio of 7.5",
        "globalpool train ROOT --out RUN --size native",
    ),
    (
        size_tells,
        "warning",
        "ROOT/cat/00.png",
        "every class has a size of its own, so the size alone tells the class",
        "globalpool train ROOT --out RUN --size 224",
    ),
    (
        unbalanced,
        "warning",
        "ROOT/cat",
        "class cat has 20 pictures, dog 221; accuracy hides the smaller one",
        "cp MORE/* ROOT/cat",
    ),
    (
        few,
        "warning",
        "ROOT/cat",
        "class cat has 5 different pictures; figures on so few are uncertain",
        "cp MORE/* ROOT",
    ),
    (
        too_few,
        "error",
        "ROOT/cat",
        "class cat cannot be split: expected at least three different readable pictures; got 2",
        "cp",
    ),
    (
        alike,
        "warning",
        "ROOT/cat",
        "class 'cat' differs from 'Cat' by case, blanks or dashes alone",
        "mv ROOT/cat/* ROOT/Cat",
    ),
    (
        digits,
        "warning",
        "ROOT/1",
        "names of digits are sorted as text: 1, 10, 2, so class numbers are not the names",
        "mv ROOT/1 ROOT/01",
    ),
    (
        below_a_class,
        "warning",
        "ROOT/cat",
        "its subfolders tabby, tiger are read as one class, cat",
        "globalpool check ROOT/cat",
    ),
    (
        swapped_columns,
        "error",
        "ROOT/t.csv, line 1",
        "the columns path and label are swapped: a label is called like a picture",
        "globalpool check ROOT/t.csv",
    ),
    (
        backslashes,
        "error",
        "ROOT/t.csv, line 2",
        "paths are written with backslashes",
        "sed -i 's/",
    ),
    (
        another_machine,
        "error",
        "ROOT/t.csv, line 2",
        "no file of the table exists, such as /nowhere/at/all/cat/00.png (an absolute path of another machine?)",
        "ls ROOT, from where relative paths start",
    ),
    (
        missing_row,
        "warning",
        "ROOT/t.csv, line 42",
        "no such file, ROOT/cat/99.png",
        "ls ROOT/cat",
    ),
    (
        empty_label,
        "error",
        "ROOT/t.csv, line 41",
        "expected a label; got an empty cell",
        "globalpool check ROOT/t.csv",
    ),
    (
        no_header,
        "error",
        "ROOT/t.csv, line 1",
        "expected the columns path and either label or class; got cat/00.png, cat. The first line names the "
        "columns, as in path,label or path,label,split,group",
        "globalpool check ROOT/t.csv",
    ),
    (
        torn_group,
        "warning",
        "ROOT/t.csv, line 21",
        "group p7 lies in test, train",
        "globalpool check ROOT/t.csv, after giving all",
    ),
]


@pytest.mark.parametrize(("mistake", *FIELDS), MISTAKES, ids=[mistake[0].__name__ for mistake in MISTAKES])
def test_a_mistake_is_named_with_its_file_its_cause_and_what_to_do(
    mistake: Maker,
    severity: str,
    file: str,
    cause: str,
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "data"
    path = mistake(root) or root
    code, text, _ = run(capsys, "check", str(path), "--most", "3")
    found = [line for line in text.splitlines() if line.startswith(("error: ", "warning: "))]
    sentence = f"{severity}: {file}: {cause}. Next: {command}".replace("?. ", "? ")
    pattern = ".*".join(re.escape(part.replace("ROOT", str(root))) for part in sentence.split("..."))
    assert any(re.match(pattern, line) for line in found), text
    assert code == int(any(line.startswith("error: ") for line in found))
    assert len(found) <= 4, "one mistake, and what follows from it"


def test_there_are_thirty_mistakes() -> None:
    assert len({mistake for mistake, *_ in MISTAKES}) >= 30


def test_a_good_folder_has_no_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = good(tmp_path)
    code, text, _ = run(capsys, "check", str(root), "--seconds_per_picture", "0.5")
    assert code == 0
    lines = text.splitlines()
    assert lines[:2] == [
        "classes: 2 (cat 20, dog 20), 40 pictures",
        "sizes: 1 different; widths 48 to 48 (median 48), heights 40 to 40 (median 40) pixels",
    ]
    assert lines[2].startswith("split: 28 training, 6 validation, 6 test; by content: the smallest SHA-256")
    assert lines[3:] == [
        "time: 14 s an epoch at 0.5 s a picture",
        "0 errors, 0 warnings",
        f"next: globalpool train {root} --out RUN",
    ]
    assert "time: " not in run(capsys, "check", str(root))[1]


def test_findings_of_one_kind_are_cut_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = good(tmp_path)
    for i in range(15):
        (root / "cat" / f"b{i}.png").write_bytes(b"x")
    code, text, _ = run(capsys, "check", str(root), "--most", "4")
    assert code == 0
    assert text.count("warning: ") == 4
    assert "unreadable file: 11 more, printed with --most 15" in text
    assert "0 errors, 15 warnings" in text


def test_a_table_of_several_labels(tmp_path: Path) -> None:
    file = table(tmp_path, rows(tmp_path))
    assert check_data(file).findings == ()
    made = [row + (";small" if i % 2 else "") for i, row in enumerate(rows(tmp_path))]
    check = check_data(table(tmp_path, made))
    assert check.findings == ()
    assert check.summary[0] == "classes: 3 (cat 20, dog 20, small 20), 40 pictures, several labels a picture"


def test_settings_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, message in (
        (["--most", "0"], "--most: expected a positive number of findings; got 0."),
        (["--seconds_per_picture", "-1"], "--seconds_per_picture: expected a positive time in seconds; got -1.0."),
    ):
        code, _, error = run(capsys, "check", str(tmp_path), *more)
        assert code == 2
        assert message in error


def test_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_of(tmp_path, count=4)
    Image.fromarray(landscape(9)).save(root / "cat" / "x.png")
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    run(capsys, "check", str(root))
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before
