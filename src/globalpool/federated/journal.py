"""What a federation leaves: rounds.csv and checkpoints, each whole or not there, from which it goes on."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from globalpool.errors import DataError, FederatedError
from globalpool.federated.average import check_states
from globalpool.federated.resolutions import ClientScore, by_resolution
from globalpool.training.files import read_tensors, remove_parts, write_tensors, write_whole

FORMAT = "globalpool federation 1"
ROUNDS, KEPT = "rounds.csv", 2


@dataclass(frozen=True)
class RoundRow:
    """One resolution in one round; ``resolution`` 0: all together. ``lost``: clients without a usable reply."""

    round: int
    resolution: int
    samples: int
    right: int
    accuracy: float
    nll: float
    lost: int


class Journal:
    """``path``: a folder, new, empty or of the same federation. ``settings``: what must be the same to go on."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = path, dict(settings)
        self.rows: list[RoundRow] = []
        self.done = 0

    def begin(self) -> dict[str, Tensor] | None:
        """The weights of the newest whole checkpoint, None where there is none; what was cut short is removed."""
        self.path.mkdir(parents=True, exist_ok=True)
        remove_parts(self.path)
        for file in reversed(self._checkpoints()):
            try:
                stored = read_tensors(file)
            except DataError:
                continue
            if stored.facts.get("settings") != self.settings:
                old = stored.facts.get("settings", {})
                odd = sorted(name for name in {**old, **self.settings} if old.get(name) != self.settings.get(name))
                hint = "Choose another folder, or the settings it began with (more rounds are fine)."
                raise FederatedError(str(self.path), "the settings of the federation in it", f"another {odd[0]}", hint)
            self.done, self.rows = int(stored.facts["round"]), [RoundRow(*row) for row in stored.facts["rows"]]
            return stored.tensors
        if any(entry.name != ".flwr" for entry in self.path.iterdir()) and not self._checkpoints():
            raise FederatedError(str(self.path), "a new or empty folder, or a federation's", "other files there")
        return None

    def end_round(self, number: int, state: Mapping[str, Tensor], scores: Sequence[ClientScore], lost: int = 0) -> None:
        """The checkpoint first, then rounds.csv, which can be written again from it."""
        check_states([{n: v for n, v in state.items() if v.is_floating_point()}], f"round {number}")
        own = [score.__class__(0, score.samples, score.right, score.nll) for score in scores]
        for resolution, score in (by_resolution(scores) | by_resolution(own)).items():
            row = (score.samples, score.right, score.accuracy, score.mean_nll, lost)
            self.rows.append(RoundRow(number, resolution, *row))
        self.done = number
        facts = {
            "format": FORMAT,
            "round": number,
            "settings": self.settings,
            "rows": [astuple(row) for row in self.rows],
        }
        write_tensors(self.path / f"round-{number:06d}.safetensors", state, facts)
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(field.name for field in fields(RoundRow))
        table.writerows(asdict(row).values() for row in self.rows)
        write_whole(self.path / ROUNDS, text.getvalue().encode())
        for old in self._checkpoints()[:-KEPT]:
            old.unlink(missing_ok=True)

    def _checkpoints(self) -> list[Path]:
        return sorted(self.path.glob("round-*.safetensors"))
