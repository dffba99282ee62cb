"""A parser that asks back: an unknown option or command gets the known one that is closest."""

import re
from difflib import get_close_matches
from typing import Any

from jsonargparse import ArgumentParser

UNKNOWN = re.compile(r"unrecognized arguments: (?P<arguments>.*)", re.IGNORECASE)
CHOICE = re.compile(r"invalid choice: '(?P<name>[^']*)' \(choose from (?P<known>.*)\)")
LITERAL = re.compile(r"Literal\[(?P<known>[^\]]*)\].* Got value: (?P<name>\S+)", re.DOTALL)


class Parser(ArgumentParser):
    """Jsonargparse's, with suggestions."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """End with exit code 2 and the message, and the question whether another name was meant."""
        return super().error(message + suggestion(message, self._options()), ex)

    def _options(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]


def suggestion(message: str, options: list[str]) -> str:
    """What to add to the message of an error; nothing where no known name is close."""
    asked: list[str] = []
    if found := UNKNOWN.search(message):
        given = [word.partition("=")[0] for word in found["arguments"].split() if word.startswith("--")]
        asked = [close[0] for name in given if (close := get_close_matches(name, options, n=1))]
    elif found := CHOICE.search(message) or LITERAL.search(message):
        asked = get_close_matches(found["name"], re.findall(r"'([^']*)'", found["known"]), n=1)
    return f". Did you mean {' and '.join(asked)}?" if asked else ""
