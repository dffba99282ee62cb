"""``globalpool cost``."""

from globalpool.cli.networks import classifier_of, input_size, network_named
from globalpool.cli.options import CostOptions
from globalpool.errors import AdoptionError, EvidenceError
from globalpool.surgery import cost


def run(options: CostOptions) -> int:
    """Print the table, by trunk, pool and tail, or by the network's own parts where it cannot be taken apart."""
    network = network_named(options.model, options.weights, options.architecture)
    size = input_size(network, options.size)
    print(f"model: {network.name}", *(f"note: {note}" for note in network.notes), sep="\n")
    module = network.module
    try:
        module = classifier_of(network, size)
    except (AdoptionError, EvidenceError) as error:
        print(f"note: not taken apart, these are the network's own parts: {error}")
    print(cost(module, (3, size, size), batch_size=options.batch, runs=options.runs))
    return 0
