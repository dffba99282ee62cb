"""Multinomial logistic regression on pooled vectors, by Newton steps in coordinates where the problem is round."""

import math
from collections.abc import Iterator

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
#: Numbers in float64 kept to save turning the vectors again at every step: 1 GiB. More are converted as they are read.
ROTATED = 2**27
#: The norm of the mean loss's gradient in round coordinates: where the solver stops, and what is accepted when
#: rounding or the number of steps stops it earlier.
TOLERANCE, ACCEPTED = 1e-10, 1e-7


class LogisticProblem:
    """``sum of cross entropies + strength / 2 |W|^2`` over all samples, the bias not penalised.

    scikit-learn's ``LogisticRegression(C=1 / strength)`` for three or more classes. (For two, scikit-learn penalises
    the difference of the two rows: ``C = 2 / strength`` there.) ``statistics`` are those of the samples.

    Round coordinates: the Hessian lies below ``scatter / 2 + strength`` (Boehning, Multinomial logistic regression
    algorithm, 1992), whose inverse root makes it at most one in every direction, however ill-conditioned the features.
    No more directions are looked at than there are samples: the minimum lies in the vectors' span. The steps are
    scipy's "trust-ncg", which reaches the minimum of nearly separable classes too, where L-BFGS stops with weights half
    as large. Needs the extra ``[fit]``, which is scipy.
    """

    def __init__(self, samples: PooledBatch, statistics: HeadStatistics) -> None:
        self.samples, self.statistics = samples, statistics
        eigenvalues, basis = torch.linalg.eigh(statistics.scatter)
        count, features = samples.vectors.shape
        self.directions = min(count, features)
        self.eigenvalues, self.basis = eigenvalues[-self.directions :].clamp(min=0), basis[:, -self.directions :]
        self.bias_scale = math.sqrt(2) if statistics.centre == "mean" else 0.0
        self.rotated: Tensor | None = None
        if count * self.directions <= ROTATED:
            self.rotated = torch.cat([self._centred(part) @ self.basis for part in samples.split(CHUNK)])

    def parts(self) -> Iterator[tuple[Tensor, PooledBatch]]:
        """Centred vectors in float64, in the coordinates that ``inward`` gives weights in, and their samples."""
        for number, part in enumerate(self.samples.split(CHUNK)):
            if self.rotated is None:
                yield self._centred(part), part
            else:
                yield self.rotated[number * CHUNK : (number + 1) * CHUNK], part

    def inward(self, weight: Tensor) -> Tensor:
        """Weights ``(K, directions)`` along the basis, for the vectors of ``parts``."""
        return weight if self.rotated is not None else weight @ self.basis.T

    def outward(self, slope: Tensor) -> Tensor:
        """The way back, ``(K, directions)``."""
        return slope if self.rotated is not None else slope @ self.basis

    def _centred(self, part: PooledBatch) -> Tensor:
        return part.vectors.double() - self.statistics.mean

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
    """The mean loss at one strength as functions of a flat float64 array.

    It holds round coordinates ``(K, directions + 1)``, the bias last. Remembers the probabilities ``(N, K)`` of the
    last point, which the curvature there needs.
    """

    def __init__(self, problem: LogisticProblem, strength: float) -> None:
        self.problem, self.strength = problem, strength
        self.outputs = problem.statistics.cross.shape[1]
        self.count = problem.statistics.count
        self.scale = torch.rsqrt((problem.eigenvalues / 2 + strength) / self.count)
        self._point, self._probabilities = torch.empty(0), list[Tensor]()

    def start(self, near: Solution | None) -> Array:
        """The point of a solution, or the origin, where all classes are equally likely."""
        rounded = torch.zeros(self.outputs, self.problem.directions + 1, dtype=torch.float64, device=self.scale.device)
        if near is not None:
            rounded[:, :-1] = (near.weight @ self.problem.basis) / self.scale
            if self.problem.bias_scale:
                rounded[:, -1] = near(self.problem.statistics.mean) / self.problem.bias_scale
        array: Array = rounded.flatten().cpu().numpy()
        return array

    def solution(self, place: Array) -> Solution:
        """The weight and bias at a point."""
        along, shift = self._along(place)
        weight = along @ self.problem.basis.T
        return Solution(weight, shift - weight @ self.problem.statistics.mean)

    def value_and_gradient(self, place: Array) -> tuple[float, Array]:
        """The mean loss and its gradient."""
        weight, shift = self._line(place)
        loss = self.strength / 2 * weight.square().sum()
        slope, shift_slope = self.strength * weight, torch.zeros_like(shift)
        self._point, self._probabilities = torch.tensor(place), []
        for x, part in self.problem.parts():
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
        for (x, _), probabilities in zip(self.problem.parts(), self._probabilities, strict=True):
            moved = x @ weight.T + shift
            moved = probabilities * (moved - (probabilities * moved).sum(1, keepdim=True))
            slope, shift_slope = slope + moved.T @ x, shift_slope + moved.sum(0)
        return self._flat(slope, shift_slope)

    def _along(self, place: Array) -> tuple[Tensor, Tensor]:
        """The weight along the basis ``(K, directions)`` and the output at the statistics' mean ``(K,)``."""
        rounded = torch.from_numpy(place).to(self.scale.device).reshape(self.outputs, -1)
        return rounded[:, :-1] * self.scale, rounded[:, -1] * self.problem.bias_scale

    def _line(self, place: Array) -> tuple[Tensor, Tensor]:
        """The same for the vectors of ``parts``."""
        along, shift = self._along(place)
        return self.problem.inward(along), shift

    def _flat(self, slope: Tensor, shift_slope: Tensor) -> Array:
        """The gradient in round coordinates of the mean, from that of the sum in weight and shift."""
        rounded = torch.cat(
            [self.problem.outward(slope) * self.scale, shift_slope[:, None] * self.problem.bias_scale], 1
        )
        array: Array = (rounded / self.count).flatten().cpu().numpy()
        return array
