"""Evidence against brute force and against the identities that make it evidence."""

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from globalpool import pools
from globalpool.classifier import PooledClassifier
from globalpool.errors import EvidenceError
from globalpool.evidence import Evidence, account, offset_share
from globalpool.head import PooledHead
from globalpool.models import convnet
from globalpool.pools.cases import Batch, batches
from tests.evidence.brute import brute_maps

EXAMPLES = [
    pytest.param(number, pool, axes, id=f"{pool.__name__}[{number}]-{axes}d")
    for pool in pools.ALL
    for axes in (1, 2, 3)
    for number in range(len(pool.examples(3, axes)))
]
CLASSES: list[Any] = ["top1", "top2", "all", 3, torch.tensor([4, 0, 4]), torch.tensor([[0, 1], [2, 1], [3, 4]])]


def head_for(pool: pools.Pool, batch: Batch) -> PooledHead:
    torch.manual_seed(0)
    width = pool(batch.x, **batch.arguments).shape[1]
    return PooledHead(pool, width, 5).double()


@pytest.mark.parametrize(("number", "cls", "axes"), EXAMPLES)
def test_maps_equal_brute_force(number: int, cls: type[pools.Pool], axes: int) -> None:
    pool = cls.examples(3, axes)[number].double()
    for batch in batches(pool, 3, axes, torch.float64):
        head = head_for(pool, batch)
        for classes in CLASSES:
            if isinstance(classes, Tensor):
                classes = classes[: len(batch.samples)]
            evidence = head.evidence(batch.x, classes, **batch.arguments)
            features, _ = pool.arrange(batch.x, **batch.arguments)
            weights = pool.decompose(batch.x, **batch.arguments).weights
            assert_close(evidence.maps, brute_maps(head, features, evidence, weights), rtol=0, atol=1e-12)
            assert_close(evidence.logits, head(batch.x, **batch.arguments).gather(1, evidence.classes), rtol=0, atol=0)
            assert evidence.kind == ("linear" if pool.affine else "weighted")
            evidence.check()


@pytest.mark.parametrize(("number", "cls", "axes"), EXAMPLES)
def test_maps_are_gradient_times_input_where_the_weights_are_the_gradient(
    number: int, cls: type[pools.Pool], axes: int
) -> None:
    pool = cls.examples(3, axes)[number].double()
    if not pool.weights_are_gradient:
        assert not pool.affine
        return
    for batch in batches(pool, 3, axes, torch.float64):
        head = head_for(pool, batch)
        x = torch.where(batch.x.isfinite(), batch.x, 0.0).requires_grad_()
        evidence = head.evidence(x, 2, **batch.arguments)
        (gradient,) = torch.autograd.grad(head(x, **batch.arguments)[:, 2].sum(), x)
        product, _ = pool.arrange((gradient * x).detach(), **batch.arguments)
        assert_close(evidence.maps, product.sum(1, keepdim=True), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("number", "cls", "axes"), EXAMPLES)
def test_offset_is_a_constant_for_affine_heads_and_never_a_difference(
    number: int, cls: type[pools.Pool], axes: int
) -> None:
    pool = cls.examples(3, axes)[number].double()
    for batch in batches(pool, 3, axes, torch.float64):
        head = head_for(pool, batch)
        evidence = head.evidence(batch.x, "all", **batch.arguments)
        if head.affine:
            at_zero = head(torch.zeros_like(batch.x), **batch.arguments)
            assert_close(evidence.offset, at_zero, rtol=0, atol=1e-14)
            assert (evidence.offset == evidence.offset[:1]).all()
        # Whoever doubles the weights must see a residual: an offset by subtraction would hide it.
        broken = account(Doubled(pool), head.tail, batch.x, "all", **batch.arguments)
        assert broken.residual().max() > 1e-3


class Doubled(pools.Pool):
    """A pool that tells twice its weights: the planted bug."""

    def __init__(self, pool: pools.Pool) -> None:
        super().__init__(dim=pool.dim)
        self.pool, self.regions = pool, pool.regions

    @property
    def affine(self) -> bool:
        return self.pool.affine

    def parts(self, features: Tensor, layout: Any) -> pools.Parts:
        parts = self.pool.parts(features, layout)
        return pools.Parts(parts.weights * 2, parts.remainder)

    def value(self, features: Tensor, layout: Any, parts: pools.Parts | None = None) -> Tensor:
        return self.pool.value(features, layout)


def sample_evidence() -> tuple[PooledHead, Tensor, Evidence]:
    torch.manual_seed(0)
    head, x = PooledHead(pools.Mean(), 3, 4).double(), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    return head, x, head.evidence(x, "all")


def test_an_empty_map_with_the_logit_as_offset_is_caught_by_brute_force_alone() -> None:
    """maps = 0, offset = logits has no residual; only an independent computation shows the fraud."""
    head, x, evidence = sample_evidence()
    fraud = replace(evidence, maps=torch.zeros_like(evidence.maps), offset=evidence.logits)
    assert fraud.residual().max() == 0
    weights = head.pool.decompose(x).weights
    with pytest.raises(AssertionError, match="not close"):
        assert_close(fraud.maps, brute_maps(head, x, fraud, weights), rtol=0, atol=1e-12)
    # ... and the offset's share, which every summary prints, is everything.
    assert_close(fraud.offset_share(), torch.ones(4, dtype=torch.float64))
    assert_close(evidence.offset_share(), torch.zeros(4, dtype=torch.float64))


def test_offset_share_by_hand() -> None:
    offset, logits = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [4.0], [8.0]])
    assert offset_share(offset, logits).item() == 0.25


def test_check_names_the_worst_logit() -> None:
    _, _, evidence = sample_evidence()
    off = evidence.offset.clone()
    off[1, 2] += 0.5
    message = (
        "Evidence.check: expected a residual of at most 1e-12 (rtol 1e-12); got 0.5 for sample 1, class 2. The maps"
    )
    with pytest.raises(EvidenceError, match=re.escape(message)):
        replace(evidence, offset=off).check()
    assert replace(evidence, offset=off).check(rtol=1.0)
    with pytest.raises(EvidenceError, match="nan for sample 0"):
        replace(evidence, maps=evidence.maps * torch.nan).check()
    with pytest.raises(EvidenceError, match="expected finite logits; got NaN or Inf"):
        replace(evidence, logits=evidence.logits * torch.nan).check()


@pytest.mark.parametrize("ragged", [False, True])
def test_contrast_and_centred_sum_to_logit_differences(ragged: bool) -> None:
    torch.manual_seed(1)
    head, x = PooledHead(pools.LogMeanExp(2.0), 3, 4).double(), torch.randn(7, 3, dtype=torch.float64)
    evidence = head.evidence(x, "all", ptr=torch.tensor([0, 3, 7])) if ragged else head.evidence(x[None].mT, "all")
    samples = evidence.logits.shape[0]
    contrast = evidence.contrast(2, 0).check()
    assert_close(contrast.logits[:, 0], evidence.logits[:, 2] - evidence.logits[:, 0])
    assert_close(evidence.layout.sum_samples(contrast.maps) + contrast.offset, contrast.logits)
    assert contrast.view == "contrast"
    assert contrast.against is not None
    assert contrast.against.tolist() == [0] * samples
    best = evidence.logits.argmax(1)
    own = evidence.contrast(best, (best + 1) % 4).check()
    assert_close(
        own.logits, evidence.logits.gather(1, best[:, None]) - evidence.logits.gather(1, (best[:, None] + 1) % 4)
    )
    centred = evidence.centered().check()
    assert_close(centred.logits, evidence.logits - evidence.logits.mean(1, keepdim=True))
    assert_close(centred.maps.sum(1), torch.zeros_like(centred.maps.sum(1)))


def test_a_vector_added_to_every_row_changes_raw_maps_but_neither_contrast_nor_centred_ones() -> None:
    head, x, evidence = sample_evidence()
    with torch.no_grad():
        head.tail.weight += torch.randn(3, dtype=torch.float64)
    moved = head.evidence(x, "all")
    assert (moved.maps - evidence.maps).abs().max() > 0.01
    assert_close(moved.logits.softmax(1), evidence.logits.softmax(1))
    assert_close(moved.contrast(1, 3).maps, evidence.contrast(1, 3).maps)
    assert_close(moved.centered().maps, evidence.centered().maps)


def test_select_picks_columns_per_sample() -> None:
    _, _, evidence = sample_evidence()
    ids = torch.tensor([[3, 1], [0, 2]])
    picked = evidence.select(ids).check()
    for sample in range(2):
        assert torch.equal(picked.maps[sample], evidence.maps[sample, ids[sample]])
    assert torch.equal(picked.classes, ids)
    assert torch.equal(evidence.select(2).maps, evidence.maps[:, 2:3])


def test_questions_that_cannot_be_answered() -> None:
    head, x, evidence = sample_evidence()
    few = head.evidence(x, "top2")
    with pytest.raises(
        EvidenceError, match=re.escape("expected raw evidence for all 4 classes; got raw evidence for 2.")
    ):
        few.centered()
    one = head.evidence(x, 1)
    with pytest.raises(
        EvidenceError, match=re.escape("expected classes that are present; got classes [3] absent in samples [0, 1].")
    ):
        one.contrast(1, 3)
    with pytest.raises(EvidenceError, match="expected the same classes in every sample; got different ones"):
        head.evidence(x, torch.tensor([0, 1])).offset_share()
    questions: list[tuple[Any, str]] = [("best", "'best'"), ("top9", "'top9'"), (4, "4"), (-1, "-1")]
    for wrong, got in [*questions, (torch.zeros(3), "float32 (3,)")]:
        message = f'`classes` to be "all", "top1" to "top4", or ids 0 to 3, (N,) or (N, K); got {got}.'
        with pytest.raises(EvidenceError, match=re.escape(message)):
            head.evidence(x, wrong)
    with pytest.raises(EvidenceError, match="got ids from 0 to 7"):
        head.evidence(x, torch.tensor([0, 7]))
    with pytest.raises(
        EvidenceError, match=r"Mean: expected pooled vectors of width 3, the tail's input; got 5 = regions"
    ):
        head(torch.randn(2, 5, 4, dtype=torch.float64))
    assert evidence.num_classes == 4


def test_grad_cam_of_a_mean_head_is_the_positive_part() -> None:
    """HW * Grad-CAM = ReLU(HW * evidence) / ...: alpha_c = W_kc / HW, so HW * Grad-CAM_k = ReLU(CAM_k)."""
    head, x, evidence = sample_evidence()
    x.requires_grad_()
    for k in range(4):
        (gradient,) = torch.autograd.grad(head(x)[:, k].sum(), x)
        alpha = gradient.mean((2, 3), keepdim=True)
        grad_cam = (alpha * x).sum(1).relu()
        # CAM_k = W_k . x is HW times the evidence.
        assert_close(20 * grad_cam, (20 * evidence.maps[:, k]).relu(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pool", [pools.Mean(), pools.Sum(), pools.ScaledSum(0.3), pools.Grid(2, 3)])
def test_zeroing_positions_removes_exactly_their_linear_evidence(pool: pools.Pool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    head = PooledHead(pool, pool.out_features(3), 4).double()
    evidence = head.evidence(x, "all")
    assert evidence.kind == "linear"
    gone = torch.rand(4, 5) > 0.6
    without = head(torch.where(gone, 0.0, x))
    assert_close(without, evidence.logits - (evidence.maps * gone).sum((2, 3)), rtol=0, atol=1e-13)


def test_zeroing_positions_does_more_to_weighted_evidence() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    head = PooledHead(pools.LogMeanExp(3.0), 3, 4).double()
    evidence = head.evidence(x, "all")
    gone = torch.rand(4, 5) > 0.6
    without = head(torch.where(gone, 0.0, x))
    assert (without - evidence.logits + (evidence.maps * gone).sum((2, 3))).abs().max() > 1e-2


def test_tails_of_batchnorm_dropout_and_several_linears_are_one_affine_map() -> None:
    torch.manual_seed(0)
    tail = nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 6), nn.Identity(), nn.Linear(6, 4, bias=False)
    ).double()
    tail(torch.randn(50, 3, dtype=torch.float64) * 2 + 1)  # moves the running statistics
    tail.eval()
    classifier = PooledClassifier(nn.Identity(), pools.Mean(), tail)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    evidence = classifier.evidence(x, "all").check()
    assert evidence.kind == "linear"
    assert_close(evidence.logits, classifier(x), rtol=0, atol=1e-13)
    assert_close(evidence.offset, classifier(torch.zeros_like(x)), rtol=0, atol=1e-13)
    assert classifier.affine
    # Evidence speaks of eval mode while the module trains, and leaves it training.
    tail.train()
    assert not classifier.affine
    assert_close(classifier.evidence(x, "all").maps, evidence.maps)
    assert tail.training


def test_a_tail_that_is_not_known_is_refused_by_name() -> None:
    x = torch.randn(2, 3, 4)
    for tail, name in (
        (nn.Sequential(nn.Linear(3, 3), nn.Softmax(1), nn.Linear(3, 2)), "Softmax"),
        (nn.Bilinear(3, 3, 2), "Bilinear"),
    ):
        classifier = PooledClassifier(nn.Identity(), pools.Mean(), tail)
        assert not classifier.affine
        with pytest.raises(
            EvidenceError, match=f"got {name} in .*Through other modules, or a forward of its own, the logit is not"
        ):
            classifier.evidence(x)


def test_half_precision_heads_add_up_to_their_own_rounding() -> None:
    torch.manual_seed(0)
    for dtype in (torch.float16, torch.bfloat16):
        for pool in (pools.Mean(), pools.Max(), pools.LogMeanExp(), pools.Sum()):
            head = PooledHead(pool, 16, 5).to(dtype)
            evidence = head.evidence(torch.randn(2, 16, 6, 6, dtype=dtype), "all").check()
            assert evidence.maps.dtype == torch.float32


def test_features_in_half_under_a_float32_head() -> None:
    head = PooledHead(pools.Sum(), 4, 3)
    x = torch.randn(2, 4, 8, 8).half()
    assert head(x).dtype == torch.float32
    head.evidence(x, "all").check()


def test_evidence_in_a_convnet_of_each_dimension() -> None:
    torch.manual_seed(0)
    for dims in (1, 2, 3):
        for pool in (None, pools.Grid(*(2,) * dims), pools.Attention(128)):
            network = convnet(dims, in_channels=2, num_classes=4, pool=pool).eval()
            x = torch.randn(2, 2, *(17, 14, 9)[:dims])
            evidence = network.evidence(x, "all").check()
            assert_close(evidence.logits, network(x))
            assert evidence.maps.shape[2:] == network.features(x).shape[2:]


@pytest.mark.parametrize("pool", [pools.Mean(), pools.Attention(5), pools.Statistics()], ids=lambda pool: pool.name)
def test_the_same_classes_for_all_samples_need_no_copy_and_give_the_same_maps(pool: pools.Pool) -> None:
    head = PooledHead(pool.double(), pool.out_features(5), 7).double().eval()
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([6, 0, 2])
    shared, own = head.evidence(x, ids.expand(3, -1)), head.evidence(x, ids.repeat(3, 1))
    for ours, theirs in ((shared.maps, own.maps), (shared.offset, own.offset), (shared.logits, own.logits)):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    shared.check()
