"""Adding a pool touches the places ARCHITECTURE.md names: everything else sees it through ``pools.ALL``."""

import os
import re
import runpy
import shutil
import subprocess
import sys
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


class Hiding(pools.Pool):
    """Toy pool that explains nothing: everything is remainder."""

    affine = False

    def parts(self, features: Tensor, layout: Layout) -> pools.Parts:
        value = layout.mean(features).unsqueeze(1)
        return pools.Parts(0 * layout.ones(), value, value)


class Detached(pools.Pool):
    """Toy pool whose weights do not hand the gradient of a measure on."""

    affine = True

    def parts(self, features: Tensor, layout: Layout) -> pools.Parts:
        return pools.Parts(layout.uniform().detach())


class Narrow(pools.Pool):
    """Toy pool that sums in the features' own dtype."""

    affine = True

    def parts(self, features: Tensor, layout: Layout) -> pools.Parts:
        return pools.Parts(layout.uniform())

    def value(self, features: Tensor, layout: Layout, parts: pools.Parts | None = None) -> Tensor:
        total = layout.sum(layout.weigh(features)).to(features.dtype)
        return layout.divide_by_total(total.to(layout.dtype)).unsqueeze(1)


def test_a_toy_pool_is_seen_everywhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pools, "ALL", (*pools.ALL, Centre))
    check_pool(Centre)
    assert pool_names()["centre"] is Centre
    main(["pools"])
    assert re.search(
        r"^centre +affine +Toy pool: twice the mean, y = 2 mean x\.$", capsys.readouterr().out, re.MULTILINE
    )
    reference = runpy.run_path(str(ROOT / "docs" / "generate.py"))["pool_reference"]()
    assert "| [`Centre`](#centre) | yes | yes | no |" in reference


NEW_FILE = '''"""Twice the mean."""

from torch import Tensor

from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool


class Twice(Pool):
    """``y = 2 mean x``."""

    affine = True

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        return Parts(2 * layout.uniform())
'''
ASKED = """
import runpy, sys
import globalpool as gp
from globalpool.cli.main import main
gp.check_pool(gp.Twice)
assert "Twice" in gp.__all__
main(["pools"])
print(runpy.run_path(sys.argv[1])["pool_reference"]())
"""


def test_a_new_pool_is_its_file_and_its_line_in_the_list(tmp_path: Path) -> None:
    """With its test and its changelog line that makes the four places; nothing else of the package is touched."""
    shutil.copytree(ROOT / "src", tmp_path / "src")
    room = tmp_path / "src/globalpool/pools"
    (room / "twice.py").write_text(NEW_FILE, encoding="utf-8")
    index = (room / "__init__.py").read_text(encoding="utf-8")
    for line, new in (
        ("from globalpool.pools.top_k import TopK\n", "from globalpool.pools.twice import Twice\n"),
        ("    TopK,\n", "    Twice,\n"),
        ('    "TopK",\n', '    "Twice",\n'),
    ):
        assert line in index
        index = index.replace(line, line + new)
    (room / "__init__.py").write_text(index, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-c", ASKED, str(ROOT / "docs/generate.py")],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"^twice +affine +y = 2 mean x\.$", result.stdout, re.MULTILINE)
    assert "| [`Twice`](#twice) | yes | yes | no |" in result.stdout


def test_the_contract_refuses_a_careless_pool() -> None:
    with pytest.raises(AssertionError, match=r"Careless, .*padded.*: off by"):
        check_pool(Careless)


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (Hiding, "Hiding, dense, torch.float64: a pool with a remainder must say so by has_remainder"),
        (Detached, "Detached: gradient by the measure against finite differences"),
        (Narrow, "Narrow, torch.float16: 512 positions near 1,000"),
    ],
)
def test_the_contract_refuses_what_looks_right(pool: type[pools.Pool], message: str) -> None:
    with pytest.raises((AssertionError, RuntimeError), match=re.escape(message)):
        check_pool(pool)


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
