"""Ridge regression from sufficient statistics, and the choice of its strength."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from globalpool.errors import DataError, PoolError
from globalpool.surgery.batches import PooledBatch
from globalpool.surgery.scores import Score
from globalpool.surgery.solution import Solution
from globalpool.surgery.statistics import HeadStatistics

#: One minus a leverage that rounding has not eaten up yet.
SMALLEST_ROOM = 1e-11


def ridge(statistics: HeadStatistics, strength: float) -> Solution:
    """The minimum of ``sum |W x + b - y|^2 + strength |W|^2``, the bias not penalised.

    Equal to scikit-learn's ``Ridge(alpha=strength)``; statistics about zero give a bias of zero.
    """
    scatter = statistics.scatter.clone()
    scatter.diagonal().add_(strength)
    factor, failed = torch.linalg.cholesky_ex(scatter)
    # The share of each feature that the features before it do not explain.
    own = (factor.diagonal().square() / scatter.diagonal()).min()
    if int(failed) or not float(own) > len(scatter) * torch.finfo(torch.float64).eps:
        hint = "Some features are combinations of others; give a larger strength."
        raise PoolError("fit_head", "a strength that makes the solution unique", f"{strength:g}", hint)
    weight = torch.cholesky_solve(statistics.cross, factor).T.contiguous()
    return Solution(weight, statistics.target_mean - weight @ statistics.mean)


def explained(statistics: HeadStatistics, solution: Solution) -> float:
    """The share of the targets' squares about ``centre`` that the solution explains, all outputs together."""
    weight = solution.weight.T
    residual = statistics.target_scatter.sum() - 2 * (weight * statistics.cross).sum()
    residual = residual + (weight * (statistics.scatter @ weight)).sum()
    return 1 - float(residual / statistics.target_scatter.sum())


class RidgePath:
    """The ridge solutions of all strengths at once, in the eigenvectors of the scatter."""

    def __init__(self, statistics: HeadStatistics) -> None:
        self.statistics = statistics
        # What the bias adds to the leverage of every sample.
        self.bias_leverage = 1 / statistics.count if statistics.centre == "mean" else 0.0
        eigenvalues, self.basis = torch.linalg.eigh(statistics.scatter)
        self.eigenvalues = eigenvalues.clamp(min=0)
        self.projected = self.basis.T @ statistics.cross

    def coordinates(self, vectors: Tensor) -> Tensor:
        """Vectors ``(B, F)`` in the eigenvectors, from the mean."""
        coordinates: Tensor = (vectors.double() - self.statistics.mean) @ self.basis
        return coordinates

    def predict(self, coordinates: Tensor, strength: float) -> Tensor:
        """Outputs ``(B, K)`` for the coordinates of vectors."""
        shrunk = self.projected / (self.eigenvalues + strength)[:, None]
        outputs: Tensor = coordinates @ shrunk + self.statistics.target_mean
        return outputs

    def leverage(self, coordinates: Tensor, strength: float) -> Tensor:
        """The hat matrix's diagonal for training samples, ``(B, 1)``: how far each draws its own prediction."""
        leverage: Tensor = coordinates.square() @ (1 / (self.eigenvalues + strength))[:, None]
        return self.bias_leverage + leverage

    def generalised_cross_validation(self, strength: float) -> Score:
        """The score of samples left out, were all leverages equal; from the statistics alone, so without hits.

        Golub, Heath, Wahba, Generalized cross-validation as a method for choosing a good ridge parameter (1979).
        """
        count = self.statistics.count
        kept = self.eigenvalues > self.eigenvalues.max() * len(self.eigenvalues) * torch.finfo(torch.float64).eps
        eigenvalues, power = self.eigenvalues[kept], self.projected[kept].square().sum(1)
        beyond = (self.statistics.target_scatter.sum() - (power / eigenvalues).sum()).clamp(min=0)
        residual = beyond + (power * strength**2 / (eigenvalues * (eigenvalues + strength).square())).sum()
        freedom = self.bias_leverage + float((eigenvalues / (eigenvalues + strength)).sum()) / count
        score = Score(strength)
        score.count, score.error = count, residual / (1 - freedom) ** 2
        return score

    def leave_one_out(
        self, batches: Iterable[PooledBatch], strengths: Sequence[float]
    ) -> tuple[list[Score], list[Score]]:
        """Scores of the predictions for each training sample by the fit to all others, and by the fit to all.

        In closed form: the residual without the sample is its residual over one minus its leverage (Allen, The
        relationship between variable selection and data augmentation and a method for prediction, 1974). The
        leverages need the samples a second time; raises DataError unless they are those of the statistics. The error
        is infinite for a strength so small that a leverage is one but for rounding.
        """
        held_out, training = [Score(strength) for strength in strengths], [Score(strength) for strength in strengths]
        squares = torch.zeros_like(self.eigenvalues)
        tolerance = 1e-4
        for batch in batches:
            coordinates = self.coordinates(batch.vectors)
            squares = squares + coordinates.square().sum(0)
            tolerance = max(tolerance, torch.finfo(batch.vectors.dtype).eps)
            for place, strength in enumerate(strengths):
                fitted = self.predict(coordinates, strength)
                room = 1 - self.leverage(coordinates, strength)
                residual = torch.where(room > SMALLEST_ROOM, (batch.targets - fitted) / room, torch.inf)
                held_out[place].add_squares(batch.targets - residual, batch)
                training[place].add_squares(fitted, batch)
        differing = float((squares - self.eigenvalues).abs().sum()) > tolerance * float(self.eigenvalues.sum())
        if held_out[0].count != self.statistics.count or differing:
            got = f"{held_out[0].count} samples after {self.statistics.count}"
            got = "other samples" if held_out[0].count == self.statistics.count else got
            hint = 'Turn random augmentation off, or choose by strength="gcv", which reads once.'
            raise DataError("fit_head", "the same samples at the second reading", got, hint)
        return held_out, training

    def score(self, batches: Iterable[PooledBatch], strengths: Sequence[float]) -> list[Score]:
        """Scores of the predictions for other samples."""
        scores = [Score(strength) for strength in strengths]
        for batch in batches:
            coordinates = self.coordinates(batch.vectors)
            for score in scores:
                score.add_squares(self.predict(coordinates, score.strength), batch)
        return scores
