"""Tables of pictures become examples, or a sentence with the line."""

import re
from pathlib import Path

import pytest

from globalpool.data import read_examples, read_table
from globalpool.errors import DataError
from tests.data.pictures import folder_of, save


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "data", count=3)


def table(root: Path, text: str, encoding: str = "utf-8") -> Path:
    file = root / "table.csv"
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_any_delimiter_and_a_byte_order_mark(root: Path, mark: str, encoding: str) -> None:
    rows = [["Path", " Label ", "split", "group"], ["cat/0.png", "a b", "train", "p"], ["dog/0.png", " c", "val", ""]]
    rows.append(["dog/1.png", "c", "train", ""])
    data = read_table(table(root, "\r\n".join(mark.join(row) for row in rows), encoding))
    assert data.classes == ("a b", "c")
    assert [(example.path.name, example.labels, example.part, example.group) for example in data.examples] == [
        ("0.png", (0,), "train", "p"),
        ("0.png", (1,), "validation", None),
        ("1.png", (1,), "train", None),
    ]
    assert not data.multi_label
    assert data.root == root


def test_several_labels_in_one_cell(root: Path) -> None:
    data = read_table(table(root, "path,class\ncat/0.png,x; y\ncat/1.png,y|z|y\ncat/2.png,\n"))
    assert data.multi_label
    assert data.classes == ("x", "y", "z")
    assert [example.labels for example in data.examples] == [(0, 1), (1, 2), ()]
    quoted = read_table(table(root, 'path;label\ncat/0.png;"x;y"\ncat/1.png;"y"\n'))
    assert [example.labels for example in quoted.examples] == [(0, 1), (1,)]


def test_paths_start_at_the_tables_folder_or_are_absolute(root: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other" / "a.png", 77)
    data = read_examples(
        table(root, f"label,path\na,cat/0.png\nb,../other/a.png\nc,gone.png\nb,{root / 'dog/1.png'}\n")
    )
    assert [example.path.resolve() for example in data.examples] == [root / "cat/0.png", other, root / "dog/1.png"]
    assert data.left_out == (("gone.png", "expected a readable picture file; got no such file"),)


def test_contradictions_between_rows_are_left_out(root: Path) -> None:
    save(root / "copy.png", 0)
    data = read_table(table(root, "path,label\ncat/0.png,a\ncopy.png,b\ncat/1.png,a\ndog/1.png,b\n"))
    assert data.left_out == (
        ("cat/0.png", "the same picture in a and b"),
        ("copy.png", "the same picture in a and b"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv: expected a header and a row for each picture; got an empty file. The first line names"),
        ("path,label\n\n", "table.csv: expected a row for each picture; got no row below the header. The first line"),
        (
            "cat/0.png,cat\ncat/1.png,cat\n",
            "table.csv, line 1: expected the columns path and either label or class; got cat/0.png, cat. The",
        ),
        ("path,label,class\na,b,c\n", "line 1: expected the columns path and either label or class; got path, label,"),
        ("path,label,path\na,b,c\n", "table.csv, line 1: expected each column once; got path twice. The first line"),
        ("path,label\na.png,x\nb.png\n", "table.csv, line 3: expected 2 cells, as in the header; got 1. Put a cell"),
        ("path,label\na.png,x,y\n", "line 2: expected 2 cells, as in the header; got 3. Put a cell that holds the del"),
        ('path,label\n"a\nb.png",x\n,x\n', "table.csv, line 4: expected a path; got an empty cell."),
        ("path,label\na.png,x\nb.png,\n", "table.csv, line 3: expected a label; got an empty cell."),
        ('path,label\na.png,"x\n', "table.csv, line 2: expected cells in the form of CSV; got unexpected end of data."),
        (
            "path,label\n\na.png,x\nb.png,y\na.png,y\n",
            "table.csv, line 5: expected each path once; got a.png, as in line 3. Several labels of one picture go",
        ),
        (
            "path,label,split\na.png,x,train\nb.png,x,tests\n",
            "line 3: expected a split named train, val or test; got 'tests'. Remove the column to let it be made.",
        ),
        (
            "path,label,split\na.png,x,\n",
            "line 2: expected a split named train, val or test; got an empty cell. Remove",
        ),
        ("path,label\na.png,x\nb.png,x\n", "table.csv: expected labels of at least two classes; got 1, x. Add rows of"),
        (
            "path,label,split\na.png,x,train\nb.png,y,test\n",
            "table.csv: expected every class among the rows to train on; got no y. Add rows to train on",
        ),
    ],
)
def test_tables_that_cannot_be_read_say_the_line(root: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_table(table(root, text))


def test_files_that_are_no_tables(root: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: expected a CSV file; got no such file\. The first line"):
        read_table(root / "gone.csv")
    with pytest.raises(DataError, match=r"expected text in UTF-8; got another encoding at byte 11\. Save the table as"):
        read_table(table(root, "path,label\né.png,x\n", "latin-1"))
    with pytest.raises(DataError, match=r"0\.png: expected a folder with one subfolder a class, or a CSV file; got an"):
        read_examples(root / "cat" / "0.png")
