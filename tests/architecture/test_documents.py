"""README, pages and examples are run, and the generated page is current."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_the_readme_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    exec(code, {})
    assert capsys.readouterr().out == "torch.Size([2, 1, 12, 9]) weighted True\n"


@pytest.mark.parametrize("page", ["your-own-network.md", "your-own-graph-network.md", "your-own-pool.md"])
def test_the_code_of_a_page_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(code, {"__name__": page})  # its claims are check() and check_pool()
    expected = {
        "your-own-network.md": "torch.Size([2, 3, 7, 7]) linear\n",
        "your-own-graph-network.md": "torch.Size([7, 3]) linear\n",
        "your-own-pool.md": "",
    }
    assert capsys.readouterr().out == expected[page]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_draws_its_figure(example: Path, tmp_path: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) < 100
    runpy.run_path(str(example))["main"](tmp_path / "figure.png")  # its claims are assertions
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.size[0] > 500
    page = ROOT / "docs" / f"{example.stem.replace('_', '-')}.md"
    assert f"figures/{example.stem}.png" in page.read_text(encoding="utf-8")


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)} -> {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not link.startswith("http") and not (page.parent / link).exists()
    ]
    assert broken == []


def test_the_generated_reference_is_current() -> None:
    command = [sys.executable, "docs/generate.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_constraints_are_plain_versions() -> None:
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line), line
