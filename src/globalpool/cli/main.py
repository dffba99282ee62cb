"""``globalpool``: one thin function a command."""

import io
import sys
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser

from globalpool import __version__
from globalpool.cli.options import AdoptOptions, CheckOptions, CostOptions, ExplainOptions, SlimOptions
from globalpool.errors import GlobalPoolError


def build_parser() -> ArgumentParser:
    """The parser of all commands; torch is not imported for it."""
    parser = ArgumentParser(prog="globalpool", version=__version__, description="Global pooling: every logit is a map.")
    commands = parser.add_subcommands(required=True, dest="command")
    explain = ArgumentParser(description="Show what each position of a picture gave each class.")
    explain.add_argument(
        "pictures",
        nargs="*",
        default=[],
        help="files, or folders searched for pictures (default: photographs packaged with scikit-image)",
    )
    explain.add_argument("--config", action="config", help="file with these options (YAML)")
    explain.add_class_arguments(ExplainOptions, as_group=False, skip={"overwrite"})
    explain.add_argument("--overwrite", action="store_true", help="replace an earlier explanation in that folder")
    commands.add_subcommand("explain", explain, help="pictures in, a folder with evidence out")
    adopt = _of_a_model("Take a network apart into trunk, pool and tail, and prove that they are the network.")
    adopt.add_class_arguments(AdoptOptions, as_group=False, skip={"model"})
    commands.add_subcommand("adopt", adopt, help="trunk, pool and tail of a network")
    cost = _of_a_model("Count and time one pass of a network, by trunk, pool and tail.")
    cost.add_class_arguments(CostOptions, as_group=False, skip={"model"})
    commands.add_subcommand("cost", cost, help="parameters, multiply-adds, memory and time")
    check = ArgumentParser(description="Look for mistakes in a folder or table of pictures before training on it.")
    check.add_argument(
        "data", type=str, metavar="DATA", help="folder with one subfolder of pictures a class, or a CSV file"
    )
    check.add_class_arguments(CheckOptions, as_group=False, skip={"data"})
    commands.add_subcommand("check", check, help="what a data set holds, and what is wrong with it")
    slim = _of_a_model("Put a pool and one linear layer in place of a network's head, fitted to your pictures.")
    slim.add_argument("--config", action="config", help="file with these options (YAML)")
    slim.add_class_arguments(SlimOptions, as_group=False, skip={"model", "overwrite"})
    slim.add_argument("--overwrite", action="store_true", help="replace an earlier file of that name")
    commands.add_subcommand("slim", slim, help="a light head, fitted to a folder of pictures")
    commands.add_subcommand(
        "models", ArgumentParser(description="List the networks that have a name."), help="list networks"
    )
    commands.add_subcommand(
        "pools", ArgumentParser(description="List the pools."), help="list pools with their formula"
    )
    return parser


def _of_a_model(description: str) -> ArgumentParser:
    parser = ArgumentParser(description=description)
    parser.add_argument(
        "model",
        type=str,
        metavar="MODEL",
        help="a name of `globalpool models`; a name of timm or torchvision (timm:resnet18, torchvision:vgg16, or "
        "plain); a .safetensors file",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when done, 1 when nothing could be read or data have errors, 2 when it cannot be done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name must not end the work
    parsed: dict[str, Any] = build_parser().parse_args(arguments).as_dict()
    command = parsed["command"]
    options = parsed.get(command) or {}
    options.pop("config", None)
    try:
        return _run(command, options)
    except GlobalPoolError as error:
        print(f"globalpool {command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"globalpool {command}: {error}. Check the output folder and the disk.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        what = "what was finished is in the output folder" if command == "explain" else "nothing was written"
        print(f"globalpool {command}: stopped; {what}.", file=sys.stderr)
        return 130


def _run(command: str, options: dict[str, Any]) -> int:
    if command == "explain":
        from globalpool.cli import explain

        return explain.run(options.pop("pictures") or [], ExplainOptions(**options))
    if command == "adopt":
        from globalpool.cli import adopt

        return adopt.run(AdoptOptions(**options))
    if command == "cost":
        from globalpool.cli import cost

        return cost.run(CostOptions(**options))
    if command == "check":
        from globalpool.cli import check

        return check.run(CheckOptions(**options))
    if command == "slim":
        from globalpool.cli import slim

        return slim.run(SlimOptions(**options))
    from globalpool.cli import listing

    return listing.print_models() if command == "models" else listing.print_pools()
