"""A molecule as a graph: atoms are nodes, bonds are edges, hydrogens belong to their atoms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import DataError
from globalpool.extras import need

#: What is told of an atom beside its element, a column each; the last count is "or more".
ATOM_FACTS = ("0 hydrogens", "1 hydrogen", "2 hydrogens", "3 hydrogens", "4 hydrogens", "charge", "aromatic", "in ring")
#: What is told of a bond, a column each; other kinds (dative, zero order) have zeros.
BOND_FACTS = ("single", "double", "triple", "aromatic")
_HYDROGENS = 5


@dataclass(frozen=True, eq=False)
class Atoms:
    """``elements``: a symbol each; ``facts (T, 8)`` as in ``ATOM_FACTS``; ``edges (2, E)`` in both directions.

    ``bonds (E, 4)`` as in ``BOND_FACTS``.
    """

    elements: tuple[str, ...]
    facts: NDArray[np.float32]
    edges: NDArray[np.int64]
    bonds: NDArray[np.float32]


def read_smiles(where: str, text: str) -> Any:
    """The RDKit molecule of a SMILES text, hydrogens implicit; DataError at ``where`` with RDKit's reason."""
    chem = need("rdkit.Chem", "graphs", "molecules")
    with need("rdkit.rdBase", "graphs", "molecules").BlockLogs():
        molecule = chem.MolFromSmiles(text, sanitize=False) if text.strip() else None
    if molecule is None:
        raise DataError(where, "a molecule as SMILES", repr(text[:80]), "It does not follow the grammar of SMILES.")
    return _settled(where, chem, molecule)


def read_block(where: str, text: str) -> Any:
    """The RDKit molecule of one record of an SDF file, with its properties; DataError at ``where`` as above."""
    chem = need("rdkit.Chem", "graphs", "molecules")
    with need("rdkit.rdBase", "graphs", "molecules").BlockLogs():
        supplier = chem.SDMolSupplier()
        supplier.SetData(text, sanitize=False, removeHs=False)
        molecule = supplier[0] if len(supplier) else None
    if molecule is None:
        raise DataError(where, "a molecule in the form of SDF", "a record that RDKit cannot read")
    return _settled(where, chem, molecule)


def _settled(where: str, chem: Any, molecule: Any) -> Any:
    """With valences, rings and aromaticity found, and no explicit hydrogens that an atom can count."""
    try:
        with need("rdkit.rdBase", "graphs", "molecules").BlockLogs():
            chem.SanitizeMol(molecule)
            molecule = chem.RemoveHs(molecule)
    except Exception as error:  # RDKit's sanitising raises several classes without a common one of its own
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(where, "a molecule whose valences and rings add up", reason[:200]) from error
    if molecule.GetNumAtoms() == 0:
        raise DataError(where, "a molecule", "one without atoms")
    return molecule


def atoms(molecule: Any) -> Atoms:
    """The graph of an RDKit molecule, nodes in the order of its atoms."""
    kinds = need("rdkit.Chem", "graphs", "molecules").BondType
    columns = {kinds.SINGLE: 0, kinds.DOUBLE: 1, kinds.TRIPLE: 2, kinds.AROMATIC: 3}
    found = list(molecule.GetAtoms())
    facts = np.zeros((len(found), len(ATOM_FACTS)), dtype=np.float32)
    for row, atom in zip(facts, found, strict=True):
        row[min(atom.GetTotalNumHs(), _HYDROGENS - 1)] = 1
        row[_HYDROGENS:] = atom.GetFormalCharge(), atom.GetIsAromatic(), atom.IsInRing()
    ends: list[tuple[int, int]] = []
    bonds = np.zeros((2 * molecule.GetNumBonds(), len(BOND_FACTS)), dtype=np.float32)
    for number, bond in enumerate(molecule.GetBonds()):
        first, second = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        ends += [(first, second), (second, first)]
        if bond.GetBondType() in columns:
            bonds[2 * number : 2 * number + 2, columns[bond.GetBondType()]] = 1
    edges = np.array(ends, dtype=np.int64).reshape(-1, 2).T
    return Atoms(tuple(atom.GetSymbol() for atom in found), facts, edges, bonds)


def canonical(molecule: Any) -> tuple[str, str]:
    """SMILES that are equal for equal molecules, and for molecules of equal graphs (without stereochemistry)."""
    chem = need("rdkit.Chem", "graphs", "molecules")
    return chem.MolToSmiles(molecule), chem.MolToSmiles(molecule, isomericSmiles=False)


def ring_systems(molecule: Any) -> Sequence[int]:
    """A cluster number an atom: fused rings together, and each connected piece outside rings together."""
    found = list(range(molecule.GetNumAtoms()))

    def root(i: int) -> int:
        while found[i] != i:
            i = found[i]
        return i

    for bond in molecule.GetBonds():
        first, second = bond.GetBeginAtom(), bond.GetEndAtom()
        if bond.IsInRing() or not (first.IsInRing() or second.IsInRing()):
            a, b = sorted((root(first.GetIdx()), root(second.GetIdx())))
            found[b] = a
    names = {number: place for place, number in enumerate(sorted({root(i) for i in found}))}
    return [names[root(i)] for i in range(len(found))]
