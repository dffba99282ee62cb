"""Whether a step of training on volumes will fit into memory, told before it begins."""

from globalpool.classifier import PooledClassifier
from globalpool.data.volumes import Volumes
from globalpool.errors import GlobalPoolError
from globalpool.surgery.training_memory import TrainingMemory, training_memory

#: The estimate is right to about a tenth; this far above what is free no machine gets through.
HOPELESS = 1.5


def tell_memory(classifier: PooledClassifier, batch: int, device: str) -> TrainingMemory | None:
    """Prints what a step on the largest training volumes takes; None for other inputs.

    GlobalPoolError where that is more than 1.5 times what the device has free.
    """
    inputs = classifier.input_spec
    if not isinstance(inputs, Volumes):
        return None
    found = training_memory(classifier, (batch, inputs.channels, *inputs.largest), device)
    if found.available is not None and found.needed > HOPELESS * found.available:
        raise GlobalPoolError("memory", "a step of training that fits", found.sentence().removeprefix("memory: ")[:-1])
    print(("" if found.fits else "warning: ") + found.sentence())
    return found
