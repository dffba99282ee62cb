"""Write the pages made from the code: the pool reference, and with ``--figures`` every example's figure.

python docs/generate.py            reference and figures
python docs/generate.py --check    exit 1 when the reference is not current; writes nothing
"""

import inspect
import re
import runpy
import sys
import tempfile
from pathlib import Path

from PIL import Image

from globalpool import pools
from globalpool.pools import Pool

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference" / "pools.md"


def pool_reference() -> str:
    """The reference page of all pools in ``pools.ALL``, and of what they are built with."""
    names = [pool.__name__ for pool in pools.ALL]
    lines = ["# Pools", "", "Made from the code by `make docs`. Every pool is called the same way:", ""]
    lines += ["```python", *CALLS.strip().splitlines(), "```", ""]
    lines += ["| pool | affine | weights are the gradient | needs geometry |", "| --- | --- | --- | --- |"]
    lines += [f"| [`{pool.__name__}`](#{pool.__name__.lower()}) | {' | '.join(facts(pool))} |" for pool in pools.ALL]
    for pool in pools.ALL:
        signature = str(inspect.signature(pool.__init__))
        lines += ["", f"## {pool.__name__}", "", "```python", f"{pool.__name__}{plain(signature)}", "```", ""]
        lines += [inspect.cleandoc(pool.__doc__ or "").replace("``", "`")]
    lines += ["", "# What pools are given", "", "Numbers that move, scores of a place, and whether regions are used."]
    others = [name for name in pools.__all__ if name not in {"ALL", "Decomposition", "Parts", "Pool", *names}]
    for name in others:
        given = getattr(pools, name)
        signature = str(inspect.signature(given.__init__ if isinstance(given, type) else given))
        lines += ["", f"## {name}", "", "```python", f"{name}{plain(signature)}", "```", ""]
        lines += [inspect.cleandoc(given.__doc__ or "").replace("``", "`")]
    return "\n".join(lines) + "\n"


def facts(pool: type[Pool]) -> list[str]:
    """Affine, weights are the gradient, needs geometry: of the default example on two axes."""
    example = pool.examples(8, 2)[0]
    return ["yes" if fact else "no" for fact in (example.affine, example.weights_are_gradient, example.needs_geometry)]


def plain(signature: str) -> str:
    """A signature without module paths and quotes of forward references."""
    signature = signature.replace("self, ", "").replace(" -> None", "")
    signature = re.sub(r"\b(?:globalpool|torch|collections|typing)(?:\.[a-z_]+)*\.(?=[A-Z])", "", signature)
    return re.sub(r"Union\[([^\[\]]*(?:\[[^\]]*\])?[^\[\]]*)\]", lambda found: " | ".join(split(found[1])), signature)


def split(options: str) -> list[str]:
    """``Module, Literal['a'], NoneType`` as its parts, in the words of annotations."""
    return [option.replace("NoneType", "None") for option in re.split(r", (?![^\[]*\])", options)]


CALLS = """
y = pool(x)                                  # (N, C, *S) -> (N, regions * C * kept positions)
y = pool(x, mask=mask)                       # bool (True = real) or a non-negative measure, (N, *S)
y = pool(x, sizes=sizes)                     # each sample's own extent (N, D); lengths= for one axis
y = pool(x, channel_dim=-1)                  # channels last, tokens (N, P, C)
y = pool(x, ptr=ptr)                         # ragged (T, C); or batch=, size=; geometry by shapes= or pos=
y = pool(x, assignment=clusters)             # for pools of clusters: the cluster of each position, or shares of them
parts = pool.decompose(x)                    # .value, .weights, .remainder: value = sum of weights * x + remainder
"""


def write_figures() -> None:
    """Run every example into docs/figures, and the demo for the picture of the README."""
    for example in sorted((DOCS.parent / "examples").glob("[0-9]*.py")):
        print(f"== {example.name}")
        runpy.run_path(str(example))["main"](DOCS / "figures" / f"{example.stem}.png")
    from globalpool.cli import main
    from globalpool.data import photographs

    with tempfile.TemporaryDirectory() as folder:
        cat = next(str(path) for path in photographs() if path.name == "chelsea.png")
        main(["explain", cat, "--out", folder])
        with Image.open(Path(folder) / "pictures" / "00000.png") as picture:
            small = picture.convert("RGB").resize((1500, 1500 * picture.height // picture.width))
        small.save(DOCS / "figures" / "demo.jpg", quality=88)


if __name__ == "__main__":
    if "--check" in sys.argv:
        if REFERENCE.read_text(encoding="utf-8") != pool_reference():
            sys.exit(f"{REFERENCE} is not current: run make docs and commit the result.")
        print(f"{REFERENCE.name}: current")
    else:
        write_figures()
        REFERENCE.write_text(pool_reference(), encoding="utf-8")
