"""Accuracy of a federation, resolution by resolution, from whole numbers."""

from collections.abc import Iterable
from dataclasses import dataclass

from globalpool.errors import FederatedError


@dataclass(frozen=True)
class ClientScore:
    """What clients at ``resolution`` got right: ``right`` of ``samples``; ``nll``: the sum over samples, in nats."""

    resolution: int
    samples: int
    right: int
    nll: float

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 <= self.right <= self.samples:
            hint = "Keep samples to judge on at every client."
            raise FederatedError(
                "ClientScore", "0 <= right <= samples, 1 or more", f"{self.right}, {self.samples}", hint
            )

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return self.right / self.samples

    @property
    def mean_nll(self) -> float:
        """Nats a sample."""
        return self.nll / self.samples


def by_resolution(scores: Iterable[ClientScore]) -> dict[int, ClientScore]:
    """Scores of all clients of each resolution together, ascending; counts add up, averages are never averaged."""
    found: dict[int, ClientScore] = {}
    for score in scores:
        before = found.get(score.resolution)
        found[score.resolution] = (
            score
            if before is None
            else ClientScore(
                score.resolution, before.samples + score.samples, before.right + score.right, before.nll + score.nll
            )
        )
    return dict(sorted(found.items()))


def gap(scores: Iterable[ClientScore]) -> float:
    """Accuracy at the best resolution minus that at the worst: what resolution drift costs the weakest clients.

    A pool removes the dependence on the NUMBER of positions; the content of a position still changes with resolution
    (Lim et al., resolution drift, 2025).
    """
    accuracies = [score.accuracy for score in by_resolution(scores).values()]
    if not accuracies:
        raise FederatedError("gap", "the scores of at least one client", "none")
    return max(accuracies) - min(accuracies)
