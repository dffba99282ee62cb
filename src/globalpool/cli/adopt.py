"""``globalpool adopt``."""

import sys

import torch
from torch import Tensor, nn

from globalpool.cli.networks import classifier_of, input_size, network_named
from globalpool.cli.options import AdoptOptions
from globalpool.errors import AdoptionError, EvidenceError
from globalpool.surgery import AdoptedClassifier
from globalpool.surgery.nodes import name_of
from globalpool.surgery.tail_inputs import IDENTITIES, RESHAPES, TAKES

#: Random inputs between which the logits' variation is measured.
INPUTS = 8


def run(options: AdoptOptions) -> int:
    """Take the network apart and print the parts and the proof; 1 when it cannot be."""
    network = network_named(options.model, options.weights, options.architecture)
    size = input_size(network, options.size)
    print(f"model   {network.name}", *(f"note    {note}" for note in network.notes), sep="\n")
    try:
        classifier = classifier_of(network, size)
    except (AdoptionError, EvidenceError) as error:
        print(f"globalpool adopt: {error}", file=sys.stderr)
        return 1
    x = torch.randn(INPUTS, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        features = classifier.features(x[:1])
        evidence = classifier.evidence(x, "all").check().detach()
        logits = network.module(x)
    arrow = f"{_shape(x)} -> {_shape(features)}"
    print(f"trunk   {arrow}, {_count(classifier.trunk)} parameters")
    print(
        f"pool    {classifier.pool}, {classifier.pool.regions} x {features.shape[1]} values a picture".replace("\n", "")
    )
    print(f"tail    {_tail(classifier.tail)}-> {logits.shape[1]} logits, {_count(classifier.tail)} parameters")
    if isinstance(classifier, AdoptedClassifier) and classifier.also:
        print(f"also    {', '.join(classifier.also)}: their part is in the offset")
    print(f"kind    {evidence.kind}")
    if isinstance(classifier, AdoptedClassifier) and classifier.proof is not None:
        proof = classifier.proof
        sizes = ", ".join(" x ".join(map(str, shape)) for shape in proof.inputs)
        difference, residual = proof.difference, proof.residual
    else:
        sizes, difference = " x ".join(map(str, x.shape)), 0.0
        added = evidence.layout.sum_samples(evidence.maps.abs()) + evidence.offset.abs()
        residual = float((evidence.residual() / added.clamp(min=1)).max())
    print(f"proof   logits differ by {difference:.1e}, residual {residual:.1e} (both relative); inputs tried: {sizes}")
    share = 100 * float(evidence.offset_share().nanmedian())
    print(f"offset  {share:.1f} % of a logit's variation between {INPUTS} random inputs (median of the classes)")
    return 0


def _shape(x: Tensor) -> str:
    return f"(N, {', '.join(map(str, x.shape[1:]))})"


def _count(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"


def _tail(tail: nn.Module) -> str:
    """The operations of the tail in the order they run."""
    graph = getattr(tail, "graph", None)
    if isinstance(graph, torch.fx.GraphModule):
        calls = [node for node in graph.graph.nodes if node.op == "call_function"]
        names = [name_of(node) for node in calls]
        return " ".join([*(name for name in names if name not in RESHAPES | TAKES | IDENTITIES), ""])
    return "linear " if type(tail) is nn.Linear else f"{tail} ".replace("\n", "")
