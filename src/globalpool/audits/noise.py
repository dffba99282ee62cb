"""Noise: what pooling attenuates at the feature map, and what stride and rectifier let through before it.

A checkerboard on the map vanishes in an average of even side and leaves ``1 / HW`` of itself in one of odd sides. On
the input it need not: stride 2 turns it into a constant (gain one), and a rectifier near its threshold into half its
height. Odena et al. (2016); Zhang, Making CNNs shift-invariant again (2019). None of this is robustness: the worst
case within the same amplitude stands beside it (Goodfellow et al. 2015; Madry et al. 2018).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from globalpool.audits.audit import Audit
from globalpool.audits.drift import centred
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.intervals import mean_interval
from globalpool.audits.opened import opened_dense
from globalpool.audits.patterns import patterns
from globalpool.audits.pool_gain import measured_gain, predicted_gain
from globalpool.audits.samples import AuditData, Clock
from globalpool.classifier import PooledClassifier

#: Amplitude at the input: 8 of 255 grey levels, or this share of the inputs' deviation where they are no pictures.
GREY_LEVELS, SHARE = 8 / 255, 0.1
#: Share of the strongest response that a checkerboard on the input may have.
LIMIT = 0.1
#: Of the clean logits' size, what a response has to exceed to be one.
ROUNDING = 1e-5
STEPS, STEP = 7, 0.25


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Gains at the map and responses at the input, pattern by pattern."""
    clock = Clock(data.budget)
    amplitude = amplitude_of(data)
    rows: dict[str, list[Tensor]] = {}
    mapped: dict[str, list[Tensor]] = {}
    sizes: list[Tensor] = []
    notes: list[str] = []
    for x, _, _ in clock.within(data.batches(4), "batches of up to 4 samples", least=1):
        random = data.generator()
        before = _Reached(classifier, x)
        sizes.append(centred(before.logits).square().mean(1).sqrt())
        try:
            for name, (told, tried) in map_gains(classifier, x, random).items():
                mapped.setdefault(name, []).append(torch.stack([told, tried], 1))
        except DoesNotApplyError as error:
            notes = [f"nothing predicted at the map: {error}"]
        scaled = amplitude.to(x)
        for name, pattern in patterns(x.shape[2:], random).items():
            rows.setdefault(name, []).append(before.response(x + scaled * pattern.to(x)))
        for name, attack in (("FGSM", fgsm), ("PGD", pgd)):
            rows.setdefault(name, []).append(before.response(attack(classifier, x, scaled, random)))
    responses = {name: torch.cat(parts) for name, parts in rows.items()}
    gains = {name: torch.cat(parts) for name, parts in mapped.items()}
    return _finding(responses, torch.cat(sizes), gains, amplitude, tuple(notes + clock.notes))


def map_gains(classifier: PooledClassifier, x: Tensor, random: torch.Generator) -> dict[str, tuple[Tensor, Tensor]]:
    """By pattern: predicted and measured gain ``(n,)`` of the pool at the features of ``x (n, C, *S)``."""
    with torch.no_grad():
        opened = opened_dense(classifier, x)
        deviation = float(opened.features.double().std()) or 1.0
        found = patterns(opened.features.shape[2:], random)
        small = deviation if opened.pool.affine else 1e-4 * deviation
        return {
            name: (predicted_gain(opened, pattern), measured_gain(opened, pattern, small))
            for name, pattern in found.items()
        }


def amplitude_of(data: AuditData) -> Tensor:
    """``(1, C, 1, ...)`` in the units of the prepared inputs, or ``(1,) * ndim``."""
    first = data.tensors()[0]
    ones = (1,) * (first.ndim - 2)
    if data.spec is not None and len(data.spec.std) == first.shape[1] and first.ndim == 4:
        return torch.tensor([GREY_LEVELS / std for std in data.spec.std]).reshape(1, -1, *ones)
    deviation = torch.cat([x.flatten().double() for x in data.tensors()]).std()
    return (SHARE * deviation).float().reshape(1, 1, *ones)


def fgsm(classifier: PooledClassifier, x: Tensor, amplitude: Tensor, random: torch.Generator) -> Tensor:
    """``x`` moved by the amplitude along the sign of the gradient, away from what the classifier says of it."""
    return x + amplitude * _uphill(classifier, x, _said(classifier, x)).sign()


def pgd(classifier: PooledClassifier, x: Tensor, amplitude: Tensor, random: torch.Generator) -> Tensor:
    """STEPS steps of STEP times the amplitude from a random start, each brought back into the box around ``x``."""
    said = _said(classifier, x)
    moved = x + amplitude * (2 * torch.rand(x.shape, generator=random).to(x) - 1)
    for _ in range(STEPS):
        moved = moved + STEP * amplitude * _uphill(classifier, moved, said).sign()
        moved = x + torch.maximum(torch.minimum(moved - x, amplitude), -amplitude)
    return moved


def _said(classifier: PooledClassifier, x: Tensor) -> Tensor:
    with torch.no_grad():
        top: Tensor = classifier(x).argmax(1)
    return top


def _uphill(classifier: Callable[[Tensor], Tensor], x: Tensor, said: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = x.detach().requires_grad_(True)
        loss = cross_entropy(classifier(leaf).float(), said, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient


class _Reached:
    """What the clean inputs give, against which disturbed ones are held."""

    def __init__(self, classifier: PooledClassifier, x: Tensor) -> None:
        self.classifier = classifier
        self.map, self.vectors, self.logits = self._look(x)

    def _look(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            opened = opened_dense(self.classifier, x)
            vectors = opened.vectors()
            return opened.features.double(), vectors.double(), opened.tell(vectors).double()

    def response(self, x: Tensor) -> Tensor:
        """``(n, 4)``: change of the map, of the vector, of the centred logits (all rms), and whether the class stays.

        The change of the map is that of its features; the vector's is divided by what the pool gives of ones.
        """
        features, vectors, logits = self._look(x)
        moved = centred(logits - self.logits)
        same = (logits.argmax(1) == self.logits.argmax(1)).double()
        changes = [features - self.map, vectors - self.vectors, moved]
        return torch.stack([*(change.flatten(1).square().mean(1).sqrt() for change in changes), same], 1)


def _finding(
    responses: dict[str, Tensor], size: Tensor, gains: dict[str, Tensor], amplitude: Tensor, notes: tuple[str, ...]
) -> Finding:
    plain = [name for name in responses if name not in ("FGSM", "PGD")]
    strongest = torch.stack([responses[name][:, 2] for name in plain]).amax(0)
    # Patterns that no logit hears of leave rounding, which has no ratio.
    heard = strongest > ROUNDING * size
    ratio = torch.where(heard, responses["checkerboard"][:, 2] / strongest.where(heard, 1), 0.0)
    measured, interval = mean_interval(ratio)
    predicted = None
    if gains:
        told = {name: value[:, 0].mean().item() for name, value in gains.items()}
        predicted = told["checkerboard"] / max(told.values())
    at_map = Table(
        ("pattern", "predicted gain", "measured gain"),
        tuple((name, *value.mean(0).tolist()) for name, value in gains.items()),
        "At the feature map: the pooled vector's change for a pattern of amplitude 1 in every channel",
    )
    rows = []
    for name, value in responses.items():
        mean = value.mean(0)
        left = float(mean[1] / mean[0]) if mean[0] > 0 else 0.0
        rows.append((name, float(mean[0]), float(mean[1]), left, float(mean[2]), float(mean[3])))
    columns = (
        "pattern",
        "change of the map",
        "of the pooled vector",
        "left after pooling",
        "of the logits",
        "same class",
    )
    at_input = Table(columns, tuple(rows), f"At the input, amplitude {float(amplitude.mean()):.3g}: rms changes")
    fail = measured > LIMIT
    kept = {name: float(responses[name][:, 3].mean()) for name in ("checkerboard", "PGD")}
    why = "stride or rectifiers turn it into something the pool keeps; blur before striding" if fail else "it cancels"
    advice = (
        f"A checkerboard on the input moves the logits {100 * measured:.0f} % as much as the strongest pattern: {why}. "
        f"Not a defence either way: the class stays in {100 * kept['checkerboard']:.0f} % under the checkerboard and "
        f"in {100 * kept['PGD']:.0f} % under PGD of the same amplitude."
    )
    return NOISE.finding(
        "fail" if fail else "pass",
        advice,
        measured=measured,
        interval=interval,
        predicted=predicted,
        unit="of the strongest pattern's logit change (predicted: at the map)",
        threshold=f"a checkerboard on the input gives at most {LIMIT} of the strongest pattern's response",
        tables=(at_input, at_map) if gains else (at_input,),
        charts=(
            Chart(at_input, "pattern", ("of the logits",), "bars", "at the input, by amplitude alike", "logits, rms"),
            *(
                (Chart(at_map, "pattern", ("predicted gain", "measured gain"), "bars", "at the map", "gain"),)
                if gains
                else ()
            ),
        ),
        notes=notes,
    )


NOISE = Audit("noise", "How much of a disturbance reaches the logits, and is it the pool that stops it?", measure, 2.0)
