"""``globalpool``: one thin function a command."""

import io
import sys
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser

from globalpool import __version__
from globalpool.cli.options import ExplainOptions
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
    commands.add_subcommand(
        "models", ArgumentParser(description="List the networks that have a name."), help="list networks"
    )
    commands.add_subcommand(
        "pools", ArgumentParser(description="List the pools."), help="list pools with their formula"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when done, 1 when nothing could be read, 2 when the request cannot be met."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name must not end the work
    parsed: dict[str, Any] = build_parser().parse_args(arguments).as_dict()
    command = parsed["command"]
    options = parsed.get(command) or {}
    options.pop("config", None)
    try:
        if command == "explain":
            from globalpool.cli.explain import run

            return run(options.pop("pictures") or [], ExplainOptions(**options))
        from globalpool.cli import listing

        return listing.print_models() if command == "models" else listing.print_pools()
    except GlobalPoolError as error:
        print(f"globalpool {command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"globalpool {command}: {error}. Check the output folder and the disk.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"globalpool {command}: stopped; what was finished is in the output folder.", file=sys.stderr)
        return 130
