"""The import is light, and the arrows point down."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPTIONAL = ("torchvision", "timm", "PIL", "matplotlib", "jinja2", "skimage", "sklearn", "jsonargparse", "numba")


def loaded_after(program: str) -> list[str]:
    code = f"import sys\n{program}\nprint(*[name for name in {OPTIONAL!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_importing_globalpool_brings_no_optional_package() -> None:
    assert loaded_after("import globalpool") == []


def test_pools_heads_and_classifiers_need_torch_alone() -> None:
    program = "import globalpool as gp; gp.PooledHead(gp.Mean(), 3, 2); gp.check_pool; gp.models.convnet(2)"
    assert loaded_after(program) == []


def test_meta_an_optional_package_would_be_seen() -> None:
    assert loaded_after("import PIL") == ["PIL"]


def test_every_front_door_name_opens() -> None:
    import globalpool as gp

    for name in gp.__all__:
        assert getattr(gp, name) is not None
    assert set(gp.__all__) <= set(dir(gp))


def test_an_unknown_name_says_what_there_is() -> None:
    program = "import globalpool\ntry:\n    globalpool.Meen\nexcept AttributeError as e:\n    sys.exit(str(e))"
    result = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}"], capture_output=True, text=True, check=False
    )
    assert "module 'globalpool' has no attribute 'Meen'; it has " in result.stderr


def test_arrows_point_down() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "1 kept, 0 broken" in result.stdout, result.stdout


def test_source_files_hold_one_idea() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / "src").rglob("*.py"))
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 280
    }
    assert long == {}, "split these files"
