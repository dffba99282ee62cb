"""Files are whole or not there; damage is found; a full disk leaves what was there."""

import re
import resource
from pathlib import Path

import pytest
import torch

from globalpool.errors import DataError
from globalpool.training.files import read_tensors, write_tensors
from globalpool.training.packed import pack, unpack

TENSORS = {
    "halves": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "flags": torch.tensor([True, False]),
    "number": torch.tensor(7),
    "nothing": torch.zeros(0, 3),
    "grid": torch.arange(6.0).reshape(2, 3).t(),
}


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", TENSORS, {"epoch": 3, "rate": 0.1, "none": None})
    found = read_tensors(tmp_path / "a")
    assert found.facts == {"epoch": 3, "rate": 0.1, "none": None}
    assert found.tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert found.tensors[name].dtype == value.dtype
        assert torch.equal(found.tensors[name], value)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_tensors(path, TENSORS, {"epoch": 3})
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            found = read_tensors(path)
        except DataError:
            continue
        # Spaces that pad the header to eight bytes mean nothing.
        assert content[place : place + 1] == b" ", place
        assert found.facts == {"epoch": 3}
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="a: expected a whole safetensors file; got "):
        read_tensors(path)


def test_a_full_disk_leaves_the_file_before(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", TENSORS, {"epoch": 3})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_tensors(tmp_path / "a", {"big": torch.zeros(10_000)}, {"epoch": 4})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_tensors(tmp_path / "a").facts == {"epoch": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_state_of_any_depth_comes_back() -> None:
    state = {"groups": [{"lr": 0.1, 3: {"m": torch.ones(2)}, "betas": [0.9, 0.99], "none": None, "flag": True}]}
    tensors, rest = pack(state)
    found = unpack(tensors, rest)
    assert found["groups"][0].keys() == state["groups"][0].keys()
    assert torch.equal(found["groups"][0][3]["m"], torch.ones(2))
    message = re.escape("groups/0/x is a set; a checkpoint holds tensors, numbers, words, lists and dicts.")
    with pytest.raises(TypeError, match=message):
        pack({"groups": [{"x": {1}}]})
