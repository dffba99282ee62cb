"""Pooled statistics of clients: exact, blind to tiling, and a plain sum."""

import functools
import operator
import re

import pytest
import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.errors import FederatedError
from globalpool.federated import AdditiveStatistics, aggregate, describe, parameters_of, sums_of_clients
from globalpool.federated.prototypes import Rule
from globalpool.pools import Sum
from globalpool.surgery import HeadStatistics, collect, fit_head
from tests.federated.clients import CLIENTS, COUNTS, SIDES, network, pictures


def uploads(reference: Tensor) -> list[AdditiveStatistics]:
    return [
        AdditiveStatistics.of(collect(network(), [pictures(side, count)]), reference)
        for side, count in zip(SIDES, COUNTS, strict=True)
    ]


def test_frozen_trunk_federation_is_the_centralised_ridge() -> None:
    federated, central = network(), network()
    parts = uploads(collect(network(), [pictures(8, 9)]).mean)
    fit_head(federated, functools.reduce(operator.add, parts).statistics(), strength=0.1)
    fit_head(central, [pictures(side, count) for side, count in zip(SIDES, COUNTS, strict=True)], strength=0.1)
    for name, value in central.tail.named_parameters():
        torch.testing.assert_close(dict(federated.tail.named_parameters())[name], value, rtol=0, atol=1e-6)
    assert parameters_of(central)["tail.weight"].abs().max() > 0.05


def test_the_sum_holds_the_statistics_of_all_samples() -> None:
    """Also on features far from zero, about a reference near their mean."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=random, dtype=torch.float64) + 1e5
    y = nn.functional.one_hot(torch.arange(60) % 3, 3).double()
    parts = [HeadStatistics.of(x[i::3], y[i::3], torch.bincount(y[i::3].argmax(1), minlength=3)) for i in range(3)]
    whole = HeadStatistics.of(x, y, torch.full((3,), 20))
    reference = parts[0].mean
    found = functools.reduce(operator.add, [AdditiveStatistics.of(part, reference) for part in parts])
    for name in ("mean", "scatter", "target_mean", "cross", "target_scatter", "class_counts"):
        torch.testing.assert_close(getattr(found.statistics(), name), getattr(whole, name), rtol=1e-12, atol=1e-9)
    far = functools.reduce(operator.add, [AdditiveStatistics.of(part, torch.zeros(4)) for part in parts])
    assert float((far.statistics().scatter - whole.scatter).abs().max()) > 1e-5  # why there is a reference


def test_what_a_client_sends_does_not_grow_with_its_data() -> None:
    parts = uploads(torch.zeros(6))
    assert {part.bytes for part in parts} == {8 * (1 + 6 + 3 * 3 + 6 * 3 + 6 * 7 // 2)}


@pytest.mark.parametrize("times", [(2, 2), (3, 1)])
def test_tiling_the_pictures_changes_no_upload(times: tuple[int, int]) -> None:
    """With circular padding, under which a tiled picture has tiled features."""
    classifier = network(padding_mode="circular").double()
    x, y = pictures(8, 9)
    plain, tiled = (value.double() for value in (x, x.repeat(1, 1, *times)))
    one, other = (collect(classifier, [(value, y)]) for value in (plain, tiled))
    reference = one.mean
    first, second = (AdditiveStatistics.of(part, reference).numbers for part in (one, other))
    torch.testing.assert_close(second, first, rtol=1e-12, atol=1e-12)
    described = [describe(classifier, [Batch((value,), y, torch.arange(9))], 3) for value in (plain, tiled)]
    for name in ("samples", "means", "variances"):
        first, second = (getattr(one, name) for one in described)
        torch.testing.assert_close(second, first, rtol=1e-12, atol=1e-12)
    assert torch.equal(described[1].positions, described[0].positions * times[0] * times[1])
    by_sum = PooledClassifier(classifier.trunk, Sum(), classifier.tail)
    ratio = collect(by_sum, [(tiled, y)]).mean / collect(by_sum, [(plain, y)]).mean
    torch.testing.assert_close(ratio, torch.full_like(ratio, times[0] * times[1]))  # the control: it grows


def test_descriptors_are_those_of_a_plain_loop() -> None:
    classifier = network()
    (batch,) = CLIENTS[2]
    found = describe(classifier, [batch], 4)  # nobody has class 3
    vectors = classifier.eval().pooled(batch.parts[0]).detach().double()
    spread = torch.zeros(6, dtype=torch.float64)
    for number in range(3):
        own = torch.stack([v for v, label in zip(vectors, batch.targets.tolist(), strict=True) if label == number])
        torch.testing.assert_close(found.means[number], own.mean(0), rtol=1e-10, atol=1e-12)
        spread += (own - own.mean(0)).square().sum(0)
    torch.testing.assert_close(found.variances, spread / (15 - 3), rtol=1e-10, atol=1e-12)
    assert found.samples.tolist() == [5, 5, 5, 0]
    assert found.positions.tolist() == [5 * 64, 5 * 64, 5 * 64, 0]


def test_two_sizes_in_one_batch_are_counted_each_by_itself() -> None:
    (small,), (large,) = CLIENTS[0], CLIENTS[2]
    batch = Batch((small.parts[0], large.parts[0]), torch.cat([small.targets, large.targets]), torch.arange(24))
    found = describe(network(), [batch], 3)
    assert found.positions.tolist() == [3 * 16 + 5 * 64] * 3


@pytest.mark.parametrize("rule", ["per_client", "per_position", "best_linear_unbiased"])
def test_prototypes_lie_between_the_clients_and_classify_by_the_nearest(rule: Rule) -> None:
    classifier = network()
    parts = [describe(classifier, client, 3) for client in CLIENTS]
    found = aggregate(parts, rule)
    means = torch.stack([part.means for part in parts])
    assert bool((found.means >= means.amin(0) - 1e-12).all())
    assert bool((found.means <= means.amax(0) + 1e-12).all())
    assert isinstance(classifier.tail, nn.Linear)
    found.write(classifier.tail)
    x, _ = pictures(12, 40, seed=7)
    vectors = classifier.eval().pooled(x)
    nearest = torch.cdist(vectors.double(), found.means).argmin(1)
    assert torch.equal(classifier(x).argmax(1), nearest)
    shares: dict[str, list[float]] = {"per_client": [1 / 3] * 3, "per_position": [3 * 16, 2 * 36, 5 * 64]}
    if rule in shares:
        total = sum(shares[rule])
        slow = [share / total * mean for share, mean in zip(shares[rule], means, strict=True)]
        torch.testing.assert_close(found.means, slow[0] + slow[1] + slow[2], rtol=1e-9, atol=1e-12)


def test_a_client_without_a_class_has_no_say_in_it() -> None:
    classifier = network()
    (batch,) = CLIENTS[0]
    without = Batch((batch.parts[0][batch.targets != 2],), batch.targets[batch.targets != 2], torch.arange(6))
    parts = [describe(classifier, [without], 3), describe(classifier, CLIENTS[2], 3)]
    found = aggregate(parts, "per_client")
    assert torch.equal(found.means[2], parts[1].means[2])
    with pytest.raises(FederatedError, match="got none of class 2"):
        aggregate(parts[:1], "per_client")


def test_sum_pooling_lets_the_largest_client_speak_for_all() -> None:
    """32 against 16 and 8 a side, equal pictures otherwise: 0.76 of the server's vector is the largest client's."""
    head = PooledClassifier(nn.Identity(), Sum(), nn.Linear(3, 3))
    sides = (8, 16, 32)
    batches = [Batch((torch.ones(3, 3, side, side),), torch.arange(3), torch.arange(3)) for side in sides]
    parts = [describe(head, [batch], 3) for batch in batches]
    server = aggregate(parts, "per_client").means
    share = parts[2].means / 3 / server
    assert torch.allclose(share, torch.full_like(share, 0.7619), atol=1e-4)
    assert float(share[0, 0]) == pytest.approx(float(sums_of_clients([s**2 for s in sides])[2] * 3 / 1344))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uploads(torch.zeros(6))[0] + uploads(torch.ones(6))[0], "parts about the same reference"),
        (lambda: AdditiveStatistics(torch.zeros(55), torch.zeros(6), 3).statistics(), "finite sums over one sample"),
        (lambda: AdditiveStatistics(torch.zeros(9), torch.zeros(6), 3).statistics(), "got 9 numbers for 55."),
        (lambda: describe(network(), [], 3), "describe: expected at least one sample; got none."),
        (lambda: describe(network(), CLIENTS[0], 2), "class ids from 0 to 1; got ids from 0 to 2."),
        (lambda: aggregate([], "per_client"), "descriptors (K, C) of one shape from a client or more; got []."),
    ],
)
def test_refusals_say_what_is_wrong(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FederatedError, match=re.escape(message)):
        call()
