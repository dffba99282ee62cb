"""Arguments become one layout, or a sentence that says what to do."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import globalpool as gp
from globalpool.errors import LayoutError, PoolError
from globalpool.layout import Dense, Ragged, arrange

X = torch.randn(2, 3, 4, 5)
ROWS = torch.randn(6, 3)


def test_batch_and_ptr_are_the_same_layout() -> None:
    ptr, batch = torch.tensor([0, 2, 2, 6, 6]), torch.tensor([0, 0, 2, 2, 2, 2])
    layouts = [arrange("t", ROWS, ptr=ptr)[1], arrange("t", ROWS, batch=batch, size=4)[1]]
    for layout in layouts:
        assert isinstance(layout, Ragged)
        assert layout.samples == 4
        assert torch.equal(layout.index, batch)
        assert torch.equal(layout.ptr, ptr)
    # Without `size` the number of samples is the last one seen.
    assert arrange("t", ROWS, batch=batch)[1].samples == 3


def test_size_keeps_a_trailing_empty_sample() -> None:
    y = gp.Mean()(ROWS, batch=torch.tensor([0, 0, 1, 1, 1, 1]), size=3)
    assert torch.equal(y[2], torch.zeros(3))


def test_extent_is_the_bounding_box_or_the_sizes() -> None:
    mask = torch.zeros(2, 4, 5, dtype=torch.bool)
    mask[0, 1, 2] = mask[0, 2, 4] = True
    layout = arrange("t", X, mask=mask)[1]
    assert isinstance(layout, Dense)
    start, length = layout.extent()
    assert start.tolist() == [[1, 2], [0, 0]]
    assert length.tolist() == [[2, 3], [0, 0]]
    layout = arrange("t", X, mask=mask, sizes=torch.tensor([[3, 5], [1, 2]]))[1]
    assert isinstance(layout, Dense)
    assert [part.tolist() for part in layout.extent()] == [[[0, 0], [0, 0]], [[3, 5], [1, 2]]]


def test_a_mask_and_sizes_meet() -> None:
    mask = torch.ones(2, 4, 5)
    mask[0, 0, 0] = 3.0
    layout = arrange("t", X, mask=mask, sizes=torch.tensor([[1, 2], [4, 5]]))[1]
    assert layout.total().tolist() == [4, 20]


def test_zero_positions_are_empty_samples() -> None:
    for pool in (gp.Mean(), gp.Max(), gp.GeM(), gp.LogMeanExp(), gp.Attention(3), gp.Grid(2)):
        assert torch.equal(pool(torch.randn(2, 3, 0)), torch.zeros(2, 3 * pool.regions))
        empty = pool(torch.randn(0, 3), ptr=torch.tensor([0, 0]), shapes=torch.tensor([[0]]))
        assert torch.equal(empty, torch.zeros(1, 3 * pool.regions))


def test_no_sample_at_all() -> None:
    assert gp.Mean()(torch.randn(0, 3, 4)).shape == (0, 3)
    assert gp.Max()(torch.randn(0, 3), ptr=torch.tensor([0])).shape == (0, 3)


def test_features_are_not_changed() -> None:
    x = torch.full((1, 2, 3), float("nan"))
    before = x.clone()
    gp.Mean()(x, mask=torch.tensor([[False, False, True]]))
    assert torch.equal(x.isnan(), before.isnan())


def test_empty_raise_names_the_samples() -> None:
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1] = False
    x = torch.randn(3, 2, 4)
    message = "Mean: expected at least one position in every sample; got none in samples [1]. Remove them, or build"
    with pytest.raises(PoolError, match=re.escape(message)):
        gp.Mean(empty="raise")(x, mask=mask)
    assert torch.equal(gp.Mean(empty="raise")(x), x.mean(2))


def ones(*shape: int) -> Tensor:
    return torch.ones(*shape, dtype=torch.bool)


def anything(value: object) -> Any:
    """A value the types forbid."""
    return value


REFUSED: list[tuple[Tensor, dict[str, Any], str]] = [
    (X.long(), {}, "features as a floating-point tensor; got int64 (2, 3, 4, 5). Write x.float()."),
    (ROWS, {}, "got float32 (6, 3). Rows of several samples (T, C) need ptr=(N + 1,) or batch=(T,)."),
    (X, {"mask": ones(2, 20)}, "`mask` of shape (N, *S) = (2, 4, 5), bool (True = real position)"),
    (X, {"mask": ones(2, 4, 5).long()}, "got int64 (2, 4, 5). Write mask.bool(); True means real, the opposite of"),
    (
        X,
        {"mask": -torch.ones(2, 4, 5)},
        "to be 0 or between 1e-30 and 1e+30; got entries from -1 to -1. A measure is the size",
    ),
    (X, {"mask": torch.full((2, 4, 5), torch.nan)}, "every entry of the measure `mask` to be 0 or between"),
    (X, {"mask": torch.full((2, 4, 5), 1e300, dtype=torch.float64)}, "got entries from 1e+300 to 1e+300. A measure"),
    (X, {"mask": torch.full((2, 4, 5), 1e-300, dtype=torch.float64)}, "got entries from 1e-300 to 1e-300. A measure"),
    (
        X,
        {"masks": ones(2, 4, 5)},
        "got masks. `mask` is True at real positions, torch's key_padding_mask at absent ones",
    ),
    (X, {"key_padding_mask": ones(2, 4, 5)}, "got key_padding_mask. `mask` is True at real positions"),
    (
        X,
        {"length": torch.tensor([4, 5])},
        "arguments among assignment, batch, channel_dim, lengths, mask, pos, ptr, shapes, size",
    ),
    (
        ROWS,
        {"ptr": torch.tensor([0, 6]), "pos": torch.full((6, 2), torch.nan)},
        "finite `pos` at every present row; got",
    ),
    (
        X,
        {"lengths": torch.tensor([4, 5])},
        "`lengths` with one reduced axis, features (N, C, L) or dim=; got float32 (2, 3, 4, 5). Use sizes",
    ),
    (
        X,
        {"sizes": torch.tensor([[4, 6], [1, 1]])},
        "between 0 and the feature map's (4, 5); got [1, 1] to [4, 6]. Count",
    ),
    (
        X,
        {"sizes": torch.tensor([[4.0, 5.0], [1, 1]])},
        "`sizes` as an integer tensor of shape (2, 2): each sample's extent",
    ),
    (X, {"channel_dim": 2}, "channel_dim to be 1, -1 or 3; got 2. Use x.movedim first."),
    (X, {"shapes": torch.tensor([[4, 5]])}, "only dense arguments; got ['shapes'], which are for ragged ones."),
    (ROWS, {"ptr": torch.tensor([0, 6]), "lengths": torch.tensor([6])}, "only ragged arguments; got ['lengths']"),
    (ROWS, {"ptr": torch.tensor([0, 5])}, "`ptr` rising from 0 to T = 6; got [0, 5]."),
    (ROWS, {"ptr": torch.tensor([0, 4, 3, 6])}, "`ptr` rising from 0 to T = 6; got [0, 4, 3, 6]."),
    (
        ROWS,
        {"ptr": torch.tensor([0, 6]), "batch": torch.zeros(6).long()},
        "`ptr` alone, or `batch` with `size`; got both.",
    ),
    (
        ROWS,
        {"batch": torch.tensor([0, 1, 0, 1, 1, 1])},
        "got an unsorted one. Sort the rows first: order = batch.argsort(stable=True); x, batch = x[order], batch[or",
    ),
    (
        ROWS,
        {"batch": torch.tensor([0, 0, 0, 1, 1, 2]), "size": 2},
        "entries of `batch` from 0 to size - 1 = 1; got 0 to 2.",
    ),
    (
        ROWS,
        {"batch": torch.tensor([0, 0, 0])},
        "`batch` as an integer tensor of shape (6,): the sample of each row; got",
    ),
    (ROWS, {"ptr": torch.tensor([0, 6]), "mask": ones(5)}, "`mask` of shape (T,) = (6,), bool"),
    (
        ROWS,
        {"ptr": torch.tensor([0, 6]), "shapes": torch.tensor([[2, 2]])},
        "whose products are the numbers of rows; got",
    ),
    (
        ROWS,
        {"ptr": torch.tensor([0, 6]), "pos": torch.rand(5, 2)},
        "`pos` of shape (T, D) with T = 6; got float32 (5, 2).",
    ),
]


@pytest.mark.parametrize(("x", "arguments", "message"), REFUSED, ids=[case[2][:40] for case in REFUSED])
def test_refusals_say_what_to_do(x: Tensor, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LayoutError, match=r"^Mean: expected .*" + re.escape(message)):
        gp.Mean()(x, **arguments)


@pytest.mark.parametrize("pool", [gp.Grid(2, 2), gp.Mean(dim=-1), gp.Attention(3, position=gp.PositionGrid(2, 2))])
def test_ragged_rows_without_geometry_are_refused_where_it_matters(pool: gp.Pool) -> None:
    assert pool.needs_geometry
    message = f"{pool.name}: expected a ragged batch that carries the geometry of its samples; got rows without"
    with pytest.raises(LayoutError, match=re.escape(message)):
        pool(ROWS, ptr=torch.tensor([0, 6]))


def test_dim_must_name_spatial_axes() -> None:
    for dim in (0, 1, 4, -3):
        with pytest.raises(
            LayoutError, match=r"Mean: expected `dim` to name different spatial axes .* 2 to 3 or -2 to -1"
        ):
            gp.Mean(dim=dim)(X)


def test_kept_axes_of_ragged_grids_must_be_equally_long() -> None:
    with pytest.raises(
        LayoutError, match=r"Mean: expected axes that are not reduced to be equally long in every sample"
    ):
        gp.Mean(dim=-1)(ROWS, ptr=torch.tensor([0, 2, 6]), shapes=torch.tensor([[1, 2], [2, 2]]))


def test_a_wrong_number_of_bins_is_refused() -> None:
    message = (
        "Grid: expected 2 numbers of bins, one for each reduced axis; got (2,). Write Grid(2, 2) or Pyramid(axes=2)."
    )
    with pytest.raises(PoolError, match=re.escape(message)):
        gp.Grid(2)(X)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: gp.GeM(p=0.0), "GeM: expected `p` between 1e-30 and 1e30, or Learned; got 0.0."),
        (lambda: gp.GeM(eps=0.0), "GeM: expected `eps` between 1e-30 and 1e30, or Learned; got 0.0."),
        (
            lambda: gp.LogMeanExp(r=0.0),
            "LogMeanExp: expected `r` (or -r) between 1e-30 and 1e30, or Learned; got 0.0. The limit",
        ),
        (lambda: gp.Grid(), "Grid: expected one positive number of bins for each reduced axis; got (). As Grid(2, 2)."),
        (
            lambda: gp.Grid(2, partition=anything("other")),
            'Grid: expected `partition` to be "exact" or "torch"; got \'other\'.',
        ),
        (lambda: gp.Attention(3, content=None), "Attention: expected `content`, `position` or both; got neither."),
        (
            lambda: gp.Attention(3, temperature=0.0),
            "Attention: expected `temperature` between 1e-30 and 1e30, or Learned; got 0.0.",
        ),
        (lambda: gp.Mean(empty=anything("nan")), 'Mean: expected `empty` to be "zero" or "raise"; got \'nan\'.'),
        (
            lambda: gp.PositionGrid(),
            "PositionGrid: expected one positive side for each axis; got (). As PositionGrid(7, 7).",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(build: Any, message: str) -> None:
    with pytest.raises(PoolError, match=re.escape(message)):
        build()
