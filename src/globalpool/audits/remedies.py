"""What can be done for another size without training: rescaling, temperature, norms, head; each applied and judged.

Whatever is fitted is fitted to half of the samples and judged on the other half, both ways round.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from globalpool.audits.drift import centred
from globalpool.audits.finding import Cell, Table
from globalpool.audits.opened import opened_dense
from globalpool.audits.samples import AuditData, Clock
from globalpool.audits.scaled import AtSize, at_factor, look
from globalpool.classifier import PooledClassifier
from globalpool.training.refit_at import estimate_norms, refit_at

#: Samples of a class in each half before a head is fitted to one; samples in all before norms are estimated.
OF_CLASS, FOR_NORMS = 2, 16


def remedies(
    classifier: PooledClassifier,
    data: AuditData,
    sizes: Mapping[int, tuple[float, Sequence[AtSize]]],
    base: Sequence[AtSize],
    clock: Clock,
) -> Table:
    """``sizes``: by side in pixels the factor and what the samples gave; ``base``: at the size in training."""
    rows: list[tuple[Cell, ...]] = []
    targets = data.targets[: len(base)].cpu()
    before = torch.cat([one.logits for one in base])
    for pixels, (factor, seen) in sizes.items():
        logits, rescaled = (torch.cat([getattr(one, name) for one in seen]) for name in ("logits", "rescaled"))
        rows.append(_row(pixels, "none", logits, targets))
        if bool((seen[0].growth != 1).any()):
            rows.append(_row(pixels, "rescaled by the count", rescaled, targets))
        if len(seen) > 1:
            rows.append(_row(pixels, "one temperature", tempered(rescaled, before), targets))
        if len(seen) < FOR_NORMS:
            continue
        # One remedy is about as much work as half of what was done so far at this size.
        for fitted in clock.within(("norms", "head"), f"refits at {pixels}", least=0, share=0.5):
            inputs = [at_factor(data, number, factor) for number in range(len(seen))]
            if fitted == "norms":
                size = opened_dense(classifier, at_factor(data, 0, 1.0)).features.shape[2:]
                found = refitted_norms(classifier, inputs, tuple(size))
                if found is not None:
                    rows.append(_row(pixels, "norms", found, targets))
            elif data.labelled:
                found = refitted_head(classifier, inputs, targets, pixels)
                if found is not None:  # ridge fits zeros and ones: its scale is no probability's
                    rows.append((pixels, "norms and head", None, _accuracy(found, targets), None))
    if rows and len(base) < FOR_NORMS:
        clock.notes.append(f"norms and head are refitted from {FOR_NORMS} samples on")
    return Table(("side", "remedy", "confidence", "accuracy", "NLL"), tuple(rows), "Remedies, fitted to the other half")


def tempered(logits: Tensor, before: Tensor) -> Tensor:
    """Logits ``(N, K)`` over the one number by which the other half's grew since ``before``."""
    found = centred(logits).clone()
    start = centred(before)
    for fitted, judged in halves(len(logits)):
        own = list(fitted)
        growth = (centred(logits)[own] * start[own]).sum() / start[own].square().sum()
        found[list(judged)] = centred(logits)[list(judged)] / growth
    return found


def refitted_norms(classifier: PooledClassifier, inputs: Sequence[Tensor], before: tuple[int, ...]) -> Tensor | None:
    """Logits ``(N, K)`` with BatchNorm statistics of the other half, the count undone; None without such norms."""
    told: dict[int, Tensor] = {}
    for fitted, judged in halves(len(inputs)):
        copy = deepcopy(classifier)
        if not estimate_norms(copy, [(inputs[number], torch.zeros(1, dtype=torch.long)) for number in fitted]):
            return None
        copy.eval()
        with torch.no_grad():
            for number in judged:
                told[number] = look(opened_dense(copy, inputs[number]), before).rescaled
    return torch.cat([told[number] for number in range(len(inputs))])


def refitted_head(classifier: PooledClassifier, inputs: Sequence[Tensor], targets: Tensor, side: int) -> Tensor | None:
    """Centred logits ``(N, K)`` of norms and head fitted to the other half; None where a class has too few."""
    with torch.no_grad():
        classes = int(classifier(inputs[0]).shape[1])
    parts = halves(len(inputs))
    if any(int(targets[list(fitted)].bincount(minlength=classes).min()) < OF_CLASS for fitted, _ in parts):
        return None
    told: dict[int, Tensor] = {}
    for fitted, judged in parts:
        pairs = [(inputs[number], targets[number : number + 1]) for number in fitted]
        refit = refit_at(classifier, pairs, side, "ridge", "gcv").classifier
        with torch.no_grad():
            for number in judged:
                told[number] = centred(refit(inputs[number]).double())
    return torch.cat([told[number] for number in range(len(inputs))])


def halves(count: int) -> list[tuple[range, range]]:
    """Even and odd samples, each once fitted and once judged."""
    even, odd = range(0, count, 2), range(1, count, 2)
    return [(even, odd), (odd, even)]


def confidence(logits: Tensor) -> Tensor:
    """``(N,)``: the probability of the top class; of a single logit that of the likelier side."""
    if logits.shape[1] == 1:
        return logits[:, 0].sigmoid().sub(0.5).abs().add(0.5)
    return logits.softmax(1).amax(1)


def nll(logits: Tensor, targets: Tensor) -> Tensor:
    """``(N,)`` in nats."""
    return cross_entropy(logits, targets.to(logits.device), reduction="none")


def _row(pixels: int, remedy: str, logits: Tensor, targets: Tensor) -> tuple[Cell, ...]:
    means = float(confidence(logits).mean()), _accuracy(logits, targets), float(nll(logits, targets).mean())
    return (pixels, remedy, *means)


def _accuracy(logits: Tensor, targets: Tensor) -> float:
    return float((logits.argmax(1).cpu() == targets).double().mean())
