"""Attention from gates and from learned queries: the published formulas, with torch's own attention as witness."""

import math
import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import globalpool as gp
from globalpool import pools
from globalpool.errors import PoolError
from tests.pools.columns import noise
from tests.pools.slow import Column, Sample, linear, number, rule, softmax, vector


@rule(pools.GatedAttention)
def gated(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    scores = []
    for cell, _, _ in column:
        values, gates = (linear(part, vector(sample.x, cell)) for part in (pool.content.values, pool.content.gates))
        hidden = [math.tanh(v) / (1 + math.exp(-g)) for v, g in zip(values, gates, strict=True)]
        scores.append(linear(pool.content.scores, hidden)[r])
    return softmax(scores, column, number(pool.temperature)), 0.0


@rule(pools.LatentAttention)
def latent(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    query, head = divmod(r, pool.heads)
    size = pool.queries.shape[1] // pool.heads
    wanted = pool.queries[query, head * size : (head + 1) * size].detach().double().tolist()
    scores = []
    for cell, _, _ in column:
        key = linear(pool.keys, vector(sample.x, cell))
        key = key[head * size : (head + 1) * size]
        scores.append(sum(q * k for q, k in zip(wanted, key, strict=True)) / math.sqrt(size))
    return softmax(scores, column, number(pool.temperature)), 0.0


@pytest.mark.parametrize(
    "pool", [gp.GatedAttention(3, heads=2), gp.LatentAttention(3, queries=2)], ids=lambda pool: pool.name
)
def test_they_start_as_the_mean(pool: gp.Pool) -> None:
    x = noise(2, 3, 4, 5)
    assert torch.equal(pool.double().decompose(x).weights, gp.Mean().decompose(x).weights.expand(-1, 2, -1, -1, -1))


@pytest.mark.parametrize("pool", [gp.GatedAttention(3, heads=2), gp.LatentAttention(3, queries=2, heads=3)])
def test_every_parameter_learns_from_the_first_or_second_step(pool: gp.Pool) -> None:
    torch.manual_seed(0)
    tail, x, before = nn.Linear(pool.regions * 3, 1), torch.randn(8, 3, 5, 5), pool.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    optimiser = torch.optim.SGD(pool.parameters(), lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        tail(pool(x)).square().sum().backward()
        optimiser.step()
    assert all((value != before[name]).any() for name, value in pool.state_dict().items())


def test_latent_attention_is_torchs_multi_head_attention_without_its_value_and_output_layers() -> None:
    torch.manual_seed(0)
    channels, heads, queries = 8, 2, 3
    attention = nn.MultiheadAttention(channels, heads, batch_first=True, dtype=torch.float64)
    nn.init.normal_(attention.in_proj_bias)
    latent, x = noise(queries, channels), noise(2, 7, channels, seed=1)
    expected, _ = attention(latent.expand(2, -1, -1), x, x)

    query, key, value = attention.in_proj_weight.detach().chunk(3)
    query_bias, _, value_bias = attention.in_proj_bias.detach().chunk(3)  # the key's bias cancels
    pool = gp.LatentAttention(channels, queries, heads).double()
    with torch.no_grad():
        pool.queries.copy_(latent @ query.T + query_bias)
        pool.keys.weight.copy_(key)
    pooled = pool.decompose(x, channel_dim=-1).value.unflatten(1, (queries, heads))  # (N, queries, heads, C)
    of_head = torch.einsum("nqhc,hdc->nqhd", pooled, value.unflatten(0, (heads, -1)))
    got = attention.out_proj(of_head.flatten(2) + value_bias)
    assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_gated_attention_is_the_formula_of_its_paper() -> None:
    torch.manual_seed(0)
    pool, bag = gp.GatedAttention(5, hidden=4).double(), noise(9, 5)
    nn.init.normal_(pool.content.scores.weight)
    content = pool.content
    score = (torch.tanh(bag @ content.values.weight.T + content.values.bias)) * torch.sigmoid(
        bag @ content.gates.weight.T + content.gates.bias
    )
    a = torch.softmax(score @ content.scores.weight[0], 0)
    assert_close(pool(bag, ptr=torch.tensor([0, 9]))[0], a @ bag)


WRONG: list[tuple[Any, str]] = [
    (
        lambda: gp.LatentAttention(6, heads=4),
        "LatentAttention: expected a `width` that `heads` divides; got width=6, heads=4",
    ),
    (
        lambda: gp.GatedAttention(6, hidden=0),
        "GatedAttention: expected `hidden` as a whole number of at least 1; got 0.",
    ),
    (
        lambda: gp.GatedAttention(6)(torch.rand(2, 5, 4)),
        "GatedAttention: expected 6 channels; got 5. Build it with the",
    ),
    (lambda: gp.LatentAttention(6)(torch.rand(2, 5, 4)), "LatentAttention: expected 6 channels; got 5. Build it with"),
    (lambda: gp.LatentAttention(6, temperature=0.0), "LatentAttention: expected `temperature` between 1e-30 and 1e30"),
]


@pytest.mark.parametrize(("build", "message"), WRONG, ids=[case[1][:40] for case in WRONG])
def test_wrong_numbers_are_refused(build: Any, message: str) -> None:
    with pytest.raises(PoolError, match=re.escape(message)):
        build()
