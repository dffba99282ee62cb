"""Federated averaging is the centralised step where it can be, and refuses what has no average."""

import re
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from globalpool.errors import FederatedError
from globalpool.federated import Proximal, federated_average, load_parameters, parameters_of
from globalpool.training import CrossEntropy, TrainingSettings, train
from tests.federated.clients import CLIENTS, COUNTS, Client, network, pictures

STEP = TrainingSettings(
    epochs=1, optimizer="momentum", learning_rate=0.5, weight_decay=0, warmup=0, schedule="constant"
)


def step(client: Client) -> dict[str, Tensor]:
    classifier = network()
    train(classifier, client, None, STEP)
    return parameters_of(classifier)


def centralised() -> dict[str, Tensor]:
    """One plain gradient step on all pictures of all sizes, written out."""
    classifier = network()
    losses = []
    for side, count in zip((8, 12, 16), COUNTS, strict=True):
        x, y = pictures(side, count)
        losses.append(nn.functional.cross_entropy(classifier(x), y, reduction="sum"))
    names, values = zip(*classifier.named_parameters(), strict=True)
    gradients = torch.autograd.grad(torch.stack(losses).sum() / sum(COUNTS), values)
    return {name: value.detach() - 0.5 * slope for name, value, slope in zip(names, values, gradients, strict=True)}


def test_one_full_batch_step_is_the_centralised_step() -> None:
    states = [step(client) for client in CLIENTS]
    found, expected = federated_average(states, COUNTS), centralised()
    start = parameters_of(network())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)
    assert max(float((expected[name] - start[name]).abs().max()) for name in start) > 1e-2
    # Weighed by positions it is another step: the largest pictures would speak for all.
    by_pixels = federated_average(states, [n * side**2 for n, side in zip(COUNTS, (8, 12, 16), strict=True)])
    assert max(float((by_pixels[name] - value).abs().max()) for name, value in expected.items()) > 1e-3


def test_the_average_is_the_plain_loop_and_order_does_not_matter() -> None:
    random = torch.Generator().manual_seed(0)
    states = [{"a": torch.randn(2, 3, generator=random), "b": torch.randn(4, generator=random)} for _ in range(3)]
    found = federated_average(states, [5, 0, 2])
    for name in ("a", "b"):
        slow = [
            (5 * states[0][name].flatten()[i].item() + 2 * states[2][name].flatten()[i].item()) / 7
            for i in range(states[0][name].numel())
        ]
        torch.testing.assert_close(found[name].flatten(), torch.tensor(slow), rtol=1e-6, atol=1e-7)
    turned = federated_average(states[::-1], [2, 0, 5])
    assert all(torch.allclose(turned[name], found[name], rtol=1e-6, atol=1e-7) for name in found)


def test_halves_are_averaged_in_double() -> None:
    ones = [{"a": torch.full((1,), value, dtype=torch.bfloat16)} for value in (1.0, 1.0078125)]
    many = federated_average([ones[0]] * 3 + [ones[1]] * 5, [1] * 8)
    assert float(many["a"]) == 1.0078125  # 1.0049 lies nearer to it than to 1; running sums in bfloat16 lose it
    assert many["a"].dtype == torch.bfloat16


def test_buffers_stay_at_home() -> None:
    sender, receiver = network(norm=True), network(norm=True)
    train(sender, CLIENTS[0], None, STEP)
    sent = parameters_of(sender)
    assert not any("running" in name or "tracked" in name for name in sent)
    buffers = {name: value.clone() for name, value in receiver.named_buffers()}
    load_parameters(receiver, sent)
    assert all(torch.equal(value, buffers[name]) for name, value in receiver.named_buffers())
    assert all(torch.equal(value, sent[name]) for name, value in receiver.named_parameters())


def test_the_proximal_term_is_squared() -> None:
    classifier, start = network(), parameters_of(network())
    with torch.no_grad():
        classifier.tail.bias.add_(2.0)  # type: ignore[operator]
    (batch,) = CLIENTS[0]
    plain = CrossEntropy()(classifier, batch, torch.Generator()).value
    found = Proximal(0.5, start)(classifier, batch, torch.Generator()).value
    assert (found - plain).item() == pytest.approx(0.5 / 2 * 3 * 2.0**2, abs=1e-5)


def test_the_proximal_term_holds_the_weights_back() -> None:
    moved = []
    for mu in (0.0, 10.0):
        classifier, start = network(), parameters_of(network())
        settings = TrainingSettings(epochs=5, optimizer="momentum", learning_rate=0.05, weight_decay=0, warmup=0)
        train(classifier, CLIENTS[0], None, settings, objective=Proximal(mu, start))
        moved.append(sum(float((value - start[n]).square().sum()) for n, value in parameters_of(classifier).items()))
    assert moved[1] < 0.5 * moved[0]


def flattened(side: int) -> dict[str, Tensor]:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * side**2, 3)).state_dict()


@pytest.mark.parametrize(
    ("states", "samples", "message"),
    [
        ([], [], "federated_average: expected the state of at least one client; got none."),
        ([flattened(8), flattened(12)], [1, 1], "A flattened map has one shape a resolution"),
        ([{"a": torch.ones(1)}, {"b": torch.ones(1)}], [1, 1], "got 'a' from one of them alone."),
        ([network(norm=True).state_dict()], [1], "1.num_batches_tracked, torch.int64, which has no average"),
        ([{"a": torch.tensor([torch.nan])}], [1], "got NaN or Inf in a of client 0."),
        ([{"a": torch.ones(1)}], [0], "expected 1 counts of samples, not all 0; got [0]."),
    ],
)
def test_what_has_no_average_is_refused(states: list[Mapping[str, Tensor]], samples: list[int], message: str) -> None:
    with pytest.raises(FederatedError, match=re.escape(message)):
        federated_average(states, samples)


def test_parameters_of_another_network_are_refused() -> None:
    with pytest.raises(FederatedError, match=re.escape("got a difference in tail.weight.")):
        load_parameters(network(), parameters_of(network()) | {"tail.weight": torch.ones(2, 2)})
