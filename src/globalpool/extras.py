"""Optional dependencies: import one by name, or say which extra brings it."""

from importlib import import_module
from types import ModuleType

from globalpool.errors import MissingExtraError


def need(package: str, extra: str, what: str) -> ModuleType:
    """The imported ``package``, or MissingExtraError naming the ``extra`` that installs it for ``what``."""
    try:
        return import_module(package)
    except ImportError as error:
        missing = error.name or package
        raise MissingExtraError(
            what, f"the package {missing}", "an environment without it", f"pip install 'globalpool[{extra}]'"
        ) from error
