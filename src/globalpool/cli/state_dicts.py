"""State dicts in safetensors files, loaded into networks of timm and torchvision."""

from pathlib import Path

from torch import Tensor, nn

from globalpool.cli.libraries import Library, build
from globalpool.errors import DataError
from globalpool.extras import need

#: Entries that evaluation never uses: auxiliary classifiers and counts of training steps.
UNUSED = ("aux1.", "aux2.", "AuxLogits.")


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; DataError where it is none."""
    if file.suffix != ".safetensors":
        hint = "Other formats may run programs; convert by safetensors.torch.save_file(model.state_dict(), FILE)."
        raise DataError(str(file), "a .safetensors file", f"a name ending in {file.suffix or 'nothing'}", hint)
    if not file.is_file():
        got = "a folder" if file.is_dir() else "no such file"
        raise DataError(str(file), "a .safetensors file", got, "Check the path.")
    load_file = need("safetensors.torch", "images", "reading weights").load_file
    failure = need("safetensors", "images", "reading weights").SafetensorError
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except failure as error:
        raise DataError(str(file), "a whole safetensors file", str(error), "Copy or write it again.") from error
    return tensors


def load(library: Library, name: str, tensors: dict[str, Tensor], file: Path) -> nn.Module:
    """The network with these weights, built for as many classes as they tell apart; DataError where they differ."""
    tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith(UNUSED)}
    model = build(library, name)
    expected = model.state_dict()
    rows = {len(tensors[key]) for key in _misshapen(tensors, expected) if tensors[key].ndim}
    if len(rows) == 1:
        model = build(library, name, rows.pop())
        expected = model.state_dict()
    missing = [key for key in expected if key not in tensors and not key.endswith("num_batches_tracked")]
    for what, keys in (
        ("without", missing),
        ("with the unknown", [key for key in tensors if key not in expected]),
        ("with another shape of", _misshapen(tensors, expected)),
    ):
        if keys:
            got = f"one {what} {', '.join(keys[:3])}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            hint = "Name the network it was saved from by --architecture, as in timm:resnet18."
            raise DataError(str(file), f"a state dict of {library}:{name}", got, hint)
    model.load_state_dict(tensors, strict=False)
    return model


def _misshapen(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    return [key for key in tensors if key in expected and tensors[key].shape != expected[key].shape]
