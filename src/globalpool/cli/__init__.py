"""The command line: strings become objects here, and nowhere below."""

from globalpool.cli.main import main

__all__ = ["main"]
