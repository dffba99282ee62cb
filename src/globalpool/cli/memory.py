"""Whether a step of training on volumes will fit into memory, told before it begins."""

from globalpool.classifier import PooledClassifier
from globalpool.data.volumes import Volumes
from globalpool.errors import GlobalPoolError, PoolError
from globalpool.surgery.training_memory import TrainingMemory, training_memory

#: The estimate is right to about a tenth; this far above what is free no machine gets through.
HOPELESS = 1.5


def tell_memory(classifier: PooledClassifier, batch: int, device: str) -> TrainingMemory | None:
    """Prints what a step on the largest training volumes takes; None for other inputs, and where nobody can tell.

    GlobalPoolError where that is more than 1.5 times what the device has free.
    """
    inputs = classifier.input_spec
    if not isinstance(inputs, Volumes):
        return None
    try:
        found = training_memory(classifier, (batch, inputs.channels, *inputs.largest), device)
    except PoolError as error:  # a pool that looks at values cannot run without them, and may train all the same
        print(f"note: how much memory a step takes is not known: {error.got}")
        return None
    if found.available is not None and found.needed > HOPELESS * found.available:
        raise GlobalPoolError("memory", "a step of training that fits", found.sentence().removeprefix("memory: ")[:-1])
    print(("" if found.fits else "warning: ") + found.sentence())
    return found
