"""Multinomial logistic regression on pooled vectors, by Newton steps in coordinates where the problem is round."""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.extras import need
from globalpool.surgery.batches import PooledBatch
from globalpool.surgery.solution import Solution
from globalpool.surgery.statistics import HeadStatistics

Array = npt.NDArray[np.float64]
#: Rows converted to float64 at a time.
CHUNK = 4096
#: The norm of the mean loss's gradient in round coordinates: where the solver stops, and what is accepted when
#: rounding or the number of steps stops it earlier.
TOLERANCE, ACCEPTED = 1e-10, 1e-7


class LogisticProblem:
    """``sum of cross entropies + strength / 2 |W|^2`` over all samples, the bias not penalised.

    scikit-learn's ``LogisticRegression(C=1 / strength)`` for three or more classes. (For two, scikit-learn penalises
    the difference of the two rows: ``C = 2 / strength`` there.) ``statistics`` are those of the samples.

    Round coordinates: the Hessian lies below ``scatter / 2 + strength`` (Boehning, Multinomial logistic regression
    algorithm, 1992), whose inverse root makes it at most one in every direction, however ill-conditioned the features.
    The steps are scipy's "trust-ncg", which reaches the minimum of nearly separable classes too, where L-BFGS stops
    with weights half as large. Needs the extra ``[fit]``, which is scipy.
    """

    def __init__(self, samples: PooledBatch, statistics: HeadStatistics) -> None:
        self.samples, self.statistics = samples, statistics
        eigenvalues, self.basis = torch.linalg.eigh(statistics.scatter)
        self.eigenvalues = eigenvalues.clamp(min=0)
        self.bias_scale = math.sqrt(2) if statistics.centre == "mean" else 0.0

    def solve(self, strength: float, near: Solution | None = None, steps: int = 200) -> Solution:
        """The minimum, sought from ``near`` or zero; raises PoolError when it is not reached in so many steps."""
        objective = Objective(self, strength)
        result = need("scipy.optimize", "fit", "fit_head").minimize(
            objective.value_and_gradient,
            objective.start(near),
            jac=True,
            hessp=objective.curvature,
            method="trust-ncg",
            options={"gtol": TOLERANCE, "maxiter": steps},
        )
        norm = math.hypot(*result.jac)
        if not norm <= ACCEPTED:
            hint = "Give a larger strength: the classes may be separable."
            raise PoolError("fit_head", f"a gradient below {ACCEPTED:g} after {steps} steps", f"{norm:.1g}", hint)
        return objective.solution(result.x)


class Objective:
    """The mean loss at one strength as functions of a flat float64 array: round coordinates ``(K, F + 1)``, bias last.

    Remembers the probabilities ``(N, K)`` of the last point, which the curvature there needs.
    """

    def __init__(self, problem: LogisticProblem, strength: float) -> None:
        self.problem, self.strength = problem, strength
        self.features, self.outputs = problem.statistics.cross.shape
        self.count = problem.statistics.count
        self.scale = torch.rsqrt((problem.eigenvalues / 2 + strength) / self.count)
        self._point, self._probabilities = torch.empty(0), list[Tensor]()

    def start(self, near: Solution | None) -> Array:
        """The point of a solution, or the origin, where all classes are equally likely."""
        rounded = torch.zeros(self.outputs, self.features + 1, dtype=torch.float64, device=self.scale.device)
        if near is not None:
            rounded[:, :-1] = (near.weight @ self.problem.basis) / self.scale
            if self.problem.bias_scale:
                rounded[:, -1] = near(self.problem.statistics.mean) / self.problem.bias_scale
        array: Array = rounded.flatten().cpu().numpy()
        return array

    def solution(self, place: Array) -> Solution:
        """The weight and bias at a point."""
        weight, shift = self._line(place)
        return Solution(weight, shift - weight @ self.problem.statistics.mean)

    def value_and_gradient(self, place: Array) -> tuple[float, Array]:
        """The mean loss and its gradient."""
        weight, shift = self._line(place)
        loss = self.strength / 2 * weight.square().sum()
        slope, shift_slope = self.strength * weight, torch.zeros_like(shift)
        self._point, self._probabilities = torch.tensor(place), []
        for part in self.problem.samples.split(CHUNK):
            x = part.vectors.double() - self.problem.statistics.mean
            logs, targets = (x @ weight.T + shift).log_softmax(1), part.targets
            self._probabilities.append(logs.exp())
            loss = loss - (logs * targets).sum()
            error = self._probabilities[-1] - targets
            slope, shift_slope = slope + error.T @ x, shift_slope + error.sum(0)
        return float(loss) / self.count, self._flat(slope, shift_slope)

    def curvature(self, place: Array, direction: Array) -> Array:
        """The Hessian at ``place`` times ``direction``."""
        if not torch.equal(self._point, torch.from_numpy(place)):
            self.value_and_gradient(place)
        weight, shift = self._line(direction)
        slope, shift_slope = self.strength * weight, torch.zeros_like(shift)
        parts = self.problem.samples.split(CHUNK)
        for part, probabilities in zip(parts, self._probabilities, strict=True):
            x = part.vectors.double() - self.problem.statistics.mean
            moved = x @ weight.T + shift
            moved = probabilities * (moved - (probabilities * moved).sum(1, keepdim=True))
            slope, shift_slope = slope + moved.T @ x, shift_slope + moved.sum(0)
        return self._flat(slope, shift_slope)

    def _line(self, place: Array) -> tuple[Tensor, Tensor]:
        """The weight ``(K, F)`` and the output at the statistics' mean ``(K,)``."""
        rounded = torch.from_numpy(place).to(self.scale.device).reshape(self.outputs, self.features + 1)
        return (rounded[:, :-1] * self.scale) @ self.problem.basis.T, rounded[:, -1] * self.problem.bias_scale

    def _flat(self, slope: Tensor, shift_slope: Tensor) -> Array:
        """The gradient in round coordinates of the mean, from that of the sum in weight and shift."""
        rounded = torch.cat(
            [(slope @ self.problem.basis) * self.scale, shift_slope[:, None] * self.problem.bias_scale], 1
        )
        array: Array = (rounded / self.count).flatten().cpu().numpy()
        return array
