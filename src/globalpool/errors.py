"""The errors of globalpool: every message says where, what was expected, what came, and what to do."""


class GlobalPoolError(Exception):
    """Base of all errors raised on purpose; ``where`` names the object or function that refused.

    ``str(error)`` is one line: ``where: expected ...; got .... hint``.
    """

    def __init__(self, where: str, expected: str, got: str, hint: str = "") -> None:
        self.where, self.expected, self.got, self.hint = where, expected, got, hint
        super().__init__(f"{where}: expected {expected}; got {got}." + (f" {hint}" if hint else ""))

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str]]:
        return type(self), (self.where, self.expected, self.got, self.hint)


class LayoutError(GlobalPoolError, ValueError):
    """Features, masks, lengths, pointers or shapes that do not fit together."""


class PoolError(GlobalPoolError, ValueError):
    """A pool, or its settings, that cannot do what was asked."""


class EvidenceError(GlobalPoolError, ValueError):
    """Evidence that does not add up, or a question it cannot answer."""


class AdoptionError(GlobalPoolError, ValueError):
    """A model that cannot be taken apart into trunk, pool and tail, or whose parts would not give its logits."""


class DataError(GlobalPoolError, ValueError):
    """A file that cannot be read as what it claims to be, or a folder that cannot be used."""


class MissingExtraError(GlobalPoolError, ImportError):
    """An optional dependency that is not installed; the hint says which extra brings it."""


class LocalizationError(GlobalPoolError, ValueError):
    """Maps, boxes, masks or thresholds with which nothing can be localised or judged."""


class TrainingError(GlobalPoolError, ValueError):
    """A run that cannot begin, go on or be read again."""


class FederatedError(GlobalPoolError, ValueError):
    """Uploads that do not fit together, or a federation that cannot begin or go on."""
