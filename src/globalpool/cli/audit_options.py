"""What `globalpool audit` can be told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AuditOptions:
    """What theory predicts of a trained classifier, beside what is measured.

    Args:
        model: a name of `globalpool models`, of timm or of torchvision, a .safetensors file, or the folder of a run
        data: pictures, folders searched for them, a folder with one subfolder a class, or a CSV file with the columns
            path and label (default: photographs packaged with scikit-image)
        boxes: CSV file with the columns path, x, y, width, height: true boxes of these pictures
        out: folder for audit.json, figures and a page, new or empty (default: nothing is written)
        only: names of audits separated by commas (default: all)
        budget: time for all of them together, as in 60s or 3m; where it is short fewer samples are looked at
        samples: at most so many pictures, drawn by the seed
        seed: of every random number
        weights: .safetensors file with a state dict for the named model
        architecture: timm or torchvision name of the network whose state dict the model file holds
    """

    model: str
    data: tuple[str, ...] = ()
    boxes: str | None = None
    out: str | None = None
    only: str | None = None
    budget: str = "150s"
    samples: int = 64
    seed: int = 0
    weights: str | None = None
    architecture: str | None = None
