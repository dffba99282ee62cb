"""Flower's ServerApp: class lists first, then rounds by one of Flower's own strategies, or one question."""

from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import torch

from globalpool.classifier import PooledClassifier
from globalpool.errors import FederatedError
from globalpool.federated.additive import AdditiveStatistics
from globalpool.federated.descriptors import ClassDescriptors
from globalpool.federated.flower.packages import app, serverapp
from globalpool.federated.flower.records import tensors_of
from globalpool.federated.flower.watched import WatchedGrid
from globalpool.federated.journal import Journal
from globalpool.federated.parameters import load_parameters, parameters_of, size_in_bytes
from globalpool.federated.prototypes import aggregate
from globalpool.federated.settings import FederationSettings
from globalpool.surgery import fit_head
from globalpool.surgery.last_linear import last_linear


def server_app(given: FederationSettings | None = None) -> Any:
    """Flower's ServerApp: class lists first, then rounds by one of Flower's own strategies, or one question."""
    made = serverapp.ServerApp()

    def main(grid: Any, context: Any) -> None:
        serve(grid, given or FederationSettings.read(context.run_config))

    made.main()(main)
    return made


def serve(grid: Any, settings: FederationSettings) -> Journal:
    """The whole federation, seen from the server."""
    kept = {name: value for name, value in settings.run_config().items() if name not in ("rounds", "out", "timeout")}
    journal = Journal(Path(settings.out), kept)
    state = journal.begin()
    classifier = settings.built().build(settings.seed)
    if state is not None:
        load_parameters(classifier, state)
        print(f"going on after round {journal.done}")
    watched = WatchedGrid(grid, settings)
    watched.compare_classes(classifier.labels or ())
    if settings.mode == "parameters":
        _rounds(watched, settings, classifier, journal)
    elif not journal.done:
        _once(watched, settings, classifier, journal)
    for row in journal.rows[-1 - len(settings.resolutions.split(",")) :]:
        name = f"{row.resolution} px" if row.resolution else "all"
        print(f"round {row.round}: {name}: accuracy {row.accuracy:.4f} of {row.samples}")
    return journal


def _rounds(grid: WatchedGrid, settings: FederationSettings, classifier: PooledClassifier, journal: Journal) -> None:
    before = journal.done
    if before >= settings.rounds:
        return
    strategies: Any = serverapp.strategy
    if not hasattr(strategies, settings.strategy):
        raise FederatedError(
            "strategy", "a name of flwr.serverapp.strategy", settings.strategy, "As in FedAvg, FedAdam."
        )
    options = {f"min_{what}_nodes": settings.clients for what in ("train", "evaluate", "available")}
    if settings.strategy == "FedProx":
        options["proximal_mu"] = settings.proximal_mu  # type: ignore[assignment]
    strategy = getattr(strategies, settings.strategy)(fraction_train=1.0, fraction_evaluate=1.0, **options)

    def end(number: int, arrays: Any) -> None:
        if number:
            journal.end_round(before + number, arrays.to_torch_state_dict(), grid.scores, grid.lost)

    strategy.start(
        grid=grid,
        initial_arrays=app.ArrayRecord(parameters_of(classifier)),
        num_rounds=settings.rounds - before,
        timeout=settings.timeout,
        train_config=app.ConfigRecord({"before": before}),
        evaluate_fn=end,
    )


def _once(grid: WatchedGrid, settings: FederationSettings, classifier: PooledClassifier, journal: Journal) -> None:
    replies = grid.ask("query.summary", parameters_of(classifier))
    uploads = [tensors_of(reply) for reply in replies]
    last = last_linear("federate", classifier)
    if settings.mode == "frozen":
        reference = torch.zeros(last.layer.in_features, dtype=torch.float64)
        parts = [AdditiveStatistics(one["numbers"], reference, last.layer.out_features) for one in uploads]
        fit_head(classifier, reduce(add, parts).statistics())
    else:
        prototypes = aggregate([ClassDescriptors(**one) for one in uploads], settings.rule)
        prototypes.write(last.layer)
    sent, model = size_in_bytes(uploads[0]), size_in_bytes(parameters_of(classifier))
    side = max(int(side) for side in settings.resolutions.split(","))
    grid.lost = settings.clients - len(replies)
    grid.ask("evaluate", parameters_of(classifier))
    journal.end_round(1, parameters_of(classifier), grid.scores, grid.lost)
    print(f"sent by each client: {sent:,} bytes, once; the model is {model:,} bytes a round; pictures up to {side} px")
