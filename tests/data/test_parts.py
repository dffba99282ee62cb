"""Pictures of several sizes in one batch: the numbers of each by itself."""

import re
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from globalpool import pools
from globalpool.classifier import PooledClassifier
from globalpool.data.parts import evidence, features, logits
from globalpool.errors import DataError
from globalpool.models import convnet
from globalpool.pools import Attention, Grid, Max, Mean, Pool, PositionSine, Pyramid, Statistics, Sum
from globalpool.surgery import adopt

SIZES = ((9, 13), (16, 8), (9, 13), (11, 11))
COUNTS = (2, 1, 3, 2)


def parts(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 3, *size, generator=generator, dtype=dtype) for n, size in zip(COUNTS, SIZES, strict=True)]


def classifier(pool: Pool) -> PooledClassifier:
    """Trained for a moment's worth of statistics, so that norms and every weight do something."""
    torch.manual_seed(1)
    made = convnet(2, 3, 5, (6, 8), pool=pool).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.4)
    made(torch.randn(4, 3, 12, 12, dtype=torch.float64))
    return made.eval()


def every_pool() -> list[Pool]:
    torch.manual_seed(2)
    found = [pool for kind in pools.ALL for pool in kind.examples(8, 2) if not pool.needs_assignment]
    place = Attention(8, content="linear", position=PositionSine(2, 2, heads=2), heads=2)
    return [pool for pool in found if pool.dim is None] + [place]


@torch.no_grad()
@pytest.mark.parametrize("pool", every_pool(), ids=lambda pool: type(pool).__name__)
def test_logits_and_evidence_are_those_of_one_picture_at_a_time(pool: Pool) -> None:
    made, mixed = classifier(pool), parts()
    alone = [picture.unsqueeze(0) for part in mixed for picture in part]
    together = logits(made, mixed)
    expected = torch.cat([made(picture) for picture in alone])
    assert float((together - expected).abs().max()) <= 1e-12 * float(expected.abs().max().clamp(min=1))
    all_maps = evidence(made, mixed, "all").check()
    offsets = torch.cat([made.evidence(picture, "all").offset for picture in alone])
    assert torch.allclose(all_maps.offset, offsets, rtol=0, atol=1e-12 * float(offsets.abs().max().clamp(min=1)))
    ptr = all_maps.layout.ptr.tolist()  # type: ignore[attr-defined]
    for (begin, end), picture in zip(pairwise(ptr), alone, strict=True):
        own = made.evidence(picture, "all").maps[0]
        rows = all_maps.maps[begin:end].T.reshape(own.shape)
        assert float((rows - own).abs().max()) <= 1e-12 * float(own.abs().max().clamp(min=1))


def test_a_result_does_not_depend_on_the_batch() -> None:
    made, mixed = classifier(Statistics()), parts()
    last = logits(made, mixed)[-2:]
    assert torch.allclose(logits(made, [mixed[3], mixed[1]])[:2], last, rtol=0, atol=1e-13)
    assert torch.allclose(logits(made, mixed[3:]), last, rtol=0, atol=1e-13)


def test_one_size_stays_dense_and_bit_equal() -> None:
    made, (part, *_) = classifier(Mean()), parts()
    assert torch.equal(logits(made, [part]), made(part))
    assert torch.equal(evidence(made, [part], "all").maps, made.evidence(part, "all").maps)
    joined, layout = features(made, [part, part])
    assert joined.shape == (4, 8, 5, 7)
    assert layout == {}
    assert torch.allclose(evidence(made, [part, part], 1).maps[2:], made.evidence(part, 1).maps, rtol=0, atol=1e-13)


def test_rows_lie_in_the_order_of_pictures_and_positions() -> None:
    made = PooledClassifier(nn.Identity(), Mean(), nn.Linear(1, 2))
    first, second = torch.arange(12.0).reshape(2, 1, 2, 3), torch.arange(12.0, 14.0).reshape(1, 1, 2, 1)
    rows, layout = features(made, [first, second])
    assert rows.flatten().tolist() == list(range(14))
    assert {name: value.tolist() for name, value in layout.items() if isinstance(value, Tensor)} == {
        "ptr": [0, 6, 12, 14],
        "shapes": [[2, 3], [2, 3], [2, 1]],
    }


@pytest.mark.parametrize(
    "pool",
    [Sum(), Grid(2, 2), Pyramid((1, 2)), Attention(8, content="linear", position=PositionSine(2, 2))],
    ids=lambda pool: type(pool).__name__,
)
def test_gradients_are_the_sum_of_those_of_each_picture(pool: Pool) -> None:
    made, mixed = classifier(pool), parts()
    targets = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])
    nn.functional.cross_entropy(logits(made, mixed), targets, reduction="sum").backward()
    together = [parameter.grad.clone() for parameter in made.parameters() if parameter.grad is not None]
    made.zero_grad()
    for picture, target in zip((one for part in mixed for one in part), targets, strict=True):
        nn.functional.cross_entropy(made(picture.unsqueeze(0)), target.unsqueeze(0), reduction="sum").backward()
    for mine, parameter in zip(together, made.parameters(), strict=True):
        assert parameter.grad is not None
        assert torch.allclose(mine, parameter.grad, rtol=1e-9, atol=1e-10)


def test_a_classifier_with_a_forward_of_its_own_is_called_part_by_part() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    adopted, mixed = adopt(model, torch.randn(2, 3, 12, 12)), parts(torch.float32)
    expected = torch.cat([model(part) for part in mixed])
    assert torch.equal(logits(adopted, mixed), expected)
    message = "expected one size, or a plain PooledClassifier; got 4 sizes and AdoptedClassifier"
    with pytest.raises(DataError, match=re.escape(message)):
        evidence(adopted, mixed)


@pytest.mark.parametrize(("wrong", "got"), [(torch.zeros(1, 3, 8, 8), "one tensor"), ([], "no part")])
def test_what_is_no_sequence_of_parts_is_refused(wrong: Any, got: str) -> None:
    message = rf"parts: expected one or more parts \(n, C, \*S\) as a sequence; got {got}\. Write \[x\] for a"
    for call in (logits, evidence, features):
        with pytest.raises(DataError, match=message):
            call(classifier(Max()), wrong)
