"""What a user says of volumes, as text: ``spacing=1x1x2``, ``window=-160:240``, ``flip=0.5``."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from globalpool.errors import DataError

#: Augmentations and their largest values.
LIMITS = {"flip": 1.0, "turn": 180.0, "shift": 1.0, "zoom": 0.9, "noise": 100.0, "light": 0.99}


def read_settings(settings: Mapping[str, str]) -> dict[str, Any]:
    """By name: ``spacing`` three lengths or None, ``window`` a pair or None, the rest numbers; DataError for others."""
    found: dict[str, Any] = {}
    for name, text in settings.items():
        if name == "spacing":
            found[name] = None if text == "native" else _spacing(text)
        elif name == "window":
            found[name] = _window(text)
        elif name in LIMITS:
            value = _number(text)
            if value is None or not 0 <= value <= LIMITS[name]:
                raise DataError("--inputs", f"{name}=NUMBER from 0 to {LIMITS[name]:g}", f"{name}={text}")
            found[name] = value
        else:
            raise DataError("--inputs", f"{', '.join(('spacing', 'window', *LIMITS))} of volumes", name)
    return found


def _spacing(text: str) -> tuple[float, float, float]:
    numbers = [_number(part) for part in text.split("x")]
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    given = [number for number in numbers if number is not None and number > 0]
    if len(given) != 3 or len(numbers) != 3:
        raise DataError("--inputs", "spacing=native, one length or three as in 1x1x2.5", f"spacing={text}")
    return given[0], given[1], given[2]


def _window(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    ends = _number(low), _number(high)
    if ends[0] is None or ends[1] is None or not ends[0] < ends[1]:
        raise DataError("--inputs", "window=LOW:HIGH, rising, as in -160:240", f"window={text}")
    return ends[0], ends[1]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None
