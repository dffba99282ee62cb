"""Sound files for tests."""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray


def tone(frequency: float, seconds: float = 0.5, rate: int = 8000, amplitude: float = 0.5) -> NDArray[np.float32]:
    """A sine ``(L,)``."""
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def save(path: Path, samples: NDArray[np.float32], rate: int = 8000, **settings: str) -> Path:
    """``(L,)`` or ``(channels, L)`` as a file whose suffix says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        soundfile.write(file, samples.T, rate, format=path.suffix[1:].upper(), **settings)
    return path
