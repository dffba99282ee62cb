"""Small files of graphs."""

from pathlib import Path

SMILES = """name,smiles,label
ethanol,CCO,yes
benzene,c1ccccc1,no
open ring,C1CC,no
water,O,yes
"too many bonds",CN(C)(C)C,no
left,F[C@H](Cl)Br,no
right,F[C@@H](Cl)Br,no
hexane,CCCCCC,no
salt,[Na+].[Cl-],yes
"""
PLAIN = """3
3 a
0 1 1
1 2 0 2
0 1 1
1 b
5 0
4 a
0 2 1 3
1 2 0 2
0 2 1 3
1 1 0
"""


def smiles_table(folder: Path, text: str = SMILES) -> Path:
    """Nine molecules, two of them broken, two mirror images."""
    file = folder / "molecules.csv"
    file.write_text(text, encoding="utf-8")
    return file


def plain_graphs(folder: Path, text: str = PLAIN) -> Path:
    """A path, a single node, a ring whose last edge one node alone names."""
    file = folder / "graphs.txt"
    file.write_text(text, encoding="utf-8")
    return file


def sdf(folder: Path, names: tuple[str, ...] = ("CCO", "c1ccccc1O", "CC(=O)O")) -> Path:
    """Molecules by RDKit, hydrogens explicit, with a class and a number."""
    from rdkit import Chem

    file = folder / "molecules.sdf"
    writer = Chem.SDWriter(str(file))
    for number, smiles in enumerate(names):
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        molecule.SetProp("_Name", "" if number == 1 else smiles)
        molecule.SetProp("weight", f"{number}")
        molecule.SetProp("my_classification", "ab"[number % 2])
        writer.write(molecule)
    writer.close()
    return file
