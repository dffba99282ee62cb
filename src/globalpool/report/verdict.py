"""What a run found, in sentences: accuracy beside guessing, and what the curve says about going on."""

from collections.abc import Sequence

from globalpool.training import Epoch, Judged, TrainingResult
from globalpool.training.predictions import Share

#: Undertrained: the training loss fell by more than this share over the last quarter of the epochs, fewer training
#: pictures than this are right, and the validation NLL did not turn before that quarter.
FELL, LEARNED = 0.05, 0.95
#: More pictures would help: training pictures are right by this much more often.
GAP = 0.1


def verdict_of(
    right: Share, judged: Judged, result: TrainingResult, part: str, classes: Sequence[str], word: str = "picture"
) -> str:
    """The report's first sentences; ``part``: "test" or "validation", what was judged; ``word``: for a sample."""
    what = "held-out" if part == "test" else "validation"
    unit = "entirely right" if judged.multi_label else "right"
    sentences = [
        f"{100 * right.value:.1f} % of {right.count} {what} {word}s are {unit} "
        f"(95 % interval {100 * right.low:.1f} to {100 * right.high:.1f} %)"
    ]
    if not judged.multi_label:
        counts = judged.targets.bincount(minlength=len(classes))
        guess, commonest = int(counts.max()) / right.count, classes[int(counts.argmax())]
        sentences[0] += f"; always saying {commonest} would be right in {100 * guess:.1f} %"
        if right.low <= guess:
            sentences.append("That is not reliably better than guessing")
    if part == "validation":
        sentences.append(f"The best epoch was chosen on these {word}s, so the figure is a little too good")
    if len(result.epochs) > 1:
        sentences.append(f"Best epoch: {result.best} of {len(result.epochs)}")
    advice = advice_of(result, word)
    return ". ".join([*sentences, advice] if advice else sentences) + "."


def advice_of(result: TrainingResult, word: str = "picture") -> str:
    """What would help most, by the curve; nothing where it does not say.

    More epochs where the run is undertrained: over its last quarter the training loss still fell by more than
    ``FELL`` of itself, with fewer than ``LEARNED`` of the training pictures right and without a validation NLL that
    had turned before. A gap between training and validation says nothing then: it may close or open. Otherwise more
    pictures, where that gap is more than ``GAP`` at the best epoch.
    """
    if len(result.epochs) < 2:
        return ""
    fell, since = _fall(result.epochs)
    best, last = result.epochs[result.best - 1], result.epochs[-1]
    lowest = min(result.epochs, key=lambda row: row.validation_nll)  # of NaN, the first: nothing turned
    turned = lowest.validation_nll < last.validation_nll and lowest.epoch <= since
    if fell > FELL and not last.train_accuracy >= LEARNED and not turned:
        span = f"{last.epoch - since} epochs" if last.epoch - since > 1 else "epoch"
        return (
            f"It was still learning, the training loss fell by {100 * fell:.0f} % over the last {span}: more epochs or "
            "a higher learning rate would help first"
        )
    gap = best.train_accuracy - best.validation_accuracy
    if gap > GAP:
        return f"Training {word}s are right {100 * gap:.0f} points more often: more {word}s would help"
    return ""


def _fall(epochs: Sequence[Epoch]) -> tuple[float, int]:
    """The share of the training loss that the last quarter of the epochs (one at least) took off, and where it began.

    A quarter and not one epoch: losses of single epochs are noisy.
    """
    before = epochs[-1 - max(1, len(epochs) // 4)]
    if not before.train_loss > 0:
        return 0.0, before.epoch
    return 1 - epochs[-1].train_loss / before.train_loss, before.epoch
