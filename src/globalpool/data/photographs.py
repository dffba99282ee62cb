"""Real photographs that come with a package, for demonstrations and tests."""

from importlib import resources
from pathlib import Path

from globalpool.errors import DataError
from globalpool.extras import need

NAMES = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")


def photographs() -> list[Path]:
    """scikit-image's photographs: a cat, a cup of coffee, a rocket and others. Needs the extra ``[demo]``."""
    need("skimage", "demo", "photographs")
    files = [Path(str(resources.files("skimage.data").joinpath(name))) for name in NAMES]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise DataError("photographs", "the photographs packaged with scikit-image", f"no {', '.join(missing)}")
    return files
