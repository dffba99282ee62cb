"""Adding a pool touches the places ARCHITECTURE.md names: everything else sees it through ``pools.ALL``."""

import runpy
from pathlib import Path

import pytest
from torch import Tensor

from globalpool import pools
from globalpool.cli.main import main
from globalpool.cli.names import pool_names
from globalpool.layout import Layout
from globalpool.pools.contract import LAWS, check_pool, laws

ROOT = Path(__file__).parents[2]


class Centre(pools.Pool):
    """Toy pool: twice the mean, ``y = 2 mean x``."""

    affine = True

    def parts(self, features: Tensor, layout: Layout) -> pools.Parts:
        return pools.Parts(2 * layout.normalize(layout.weigh(layout.ones())))


class Careless(pools.Pool):
    """Toy pool that forgets the mask: a mean over the canvas."""

    affine = True

    def parts(self, features: Tensor, layout: Layout) -> pools.Parts:
        ones = layout.ones()
        return pools.Parts(ones / layout.spread(layout.sum(ones)))


def test_a_toy_pool_is_seen_everywhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pools, "ALL", (*pools.ALL, Centre))
    check_pool(Centre)
    assert pool_names()["centre"] is Centre
    main(["pools"])
    assert "centre         affine  Toy pool: twice the mean, y = 2 mean x." in capsys.readouterr().out
    reference = runpy.run_path(str(ROOT / "docs" / "generate.py"))["pool_reference"]()
    assert "| [`Centre`](#centre) | yes | yes | no |" in reference


def test_the_contract_refuses_a_careless_pool() -> None:
    with pytest.raises(AssertionError, match=r"Careless, .*padded.*: off by"):
        check_pool(Careless)


def test_the_contract_counts_its_laws() -> None:
    assert len(list(laws(Centre))) == 3 * len(LAWS)


def test_the_table_names_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in (
        "pools/__init__.py",
        "evidence/tails.py",
        "cli/names.py",
        "layout/base.py",
        "pools/cases.py",
    ):
        assert name in text
        assert (ROOT / "src/globalpool" / name).is_file()
