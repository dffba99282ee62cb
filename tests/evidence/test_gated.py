"""Gated tails: maps and offset against dense matrices in numpy, one position at a time."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import EvidenceError
from globalpool.evidence import AverageOf, UnitLength, is_affine
from globalpool.evidence.gates import ACTIVATIONS, activation_of, gate
from tests.evidence.slow_tails import activations, slow_tail
from tests.evidence.test_no_side_effects import same, state

CLASSES: list[Any] = ["all", "top1", "top2", 3, torch.tensor([4, 0, 4]), torch.tensor([[0, 1], [2, 1], [3, 4]])]


def check_against_slow(pool: gp.Pool, tail: nn.Module, x: Tensor, classes: Any, tolerance: float = 1e-12) -> None:
    """``x (N, C, P)`` without mask, Mean or Max: the position's share is written down here, not asked of the pool."""
    classifier = gp.PooledClassifier(nn.Identity(), pool, tail)
    evidence = classifier.evidence(x, classes)
    positions = x.double().numpy()
    tail.eval()
    for sample in range(x.shape[0]):
        if isinstance(pool, gp.Mean):
            given = positions[sample] / positions.shape[2]
        else:
            given = np.where(positions[sample] == positions[sample].max(1, keepdims=True), positions[sample], 0.0)
        matrix, constant = slow_tail(tail, given.sum(1))
        ids = evidence.classes[sample].numpy()
        expected = torch.from_numpy((matrix @ given)[ids])
        assert_close(evidence.maps[sample].double(), expected, rtol=tolerance, atol=tolerance)
        offset = torch.from_numpy(constant[ids])
        assert_close(evidence.offset[sample].double(), offset, rtol=tolerance, atol=tolerance)
        logits = tail(torch.from_numpy(given.sum(1)).to(x.dtype)[None])[0]
        assert_close(evidence.logits[sample], logits[ids], rtol=tolerance, atol=tolerance)
    evidence.check()


def norm_with_statistics(norm: Any) -> Any:
    torch.manual_seed(3)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def tails() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    own = {
        "layer norm": nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 5)),
        "layer norm without weights": nn.Sequential(nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, 5)),
        "rms norm": nn.Sequential(nn.RMSNorm(6, eps=1e-3), nn.Linear(6, 5)),
        "group norm": nn.Sequential(nn.GroupNorm(3, 6), nn.Linear(6, 5)),
        "unit length": nn.Sequential(UnitLength(), nn.Linear(6, 5, bias=False)),
        "mlp": nn.Sequential(
            nn.Linear(6, 7), nn.GELU(), nn.Dropout(0.5), nn.Linear(7, 8), nn.Sigmoid(), nn.Linear(8, 5)
        ),
        "norm, mlp": nn.Sequential(
            norm_with_statistics(nn.BatchNorm1d(6)), nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 5)
        ),
        "two heads": AverageOf([nn.Linear(6, 5), nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 5))]),
        "convolutions": nn.Sequential(
            nn.Unflatten(1, (6, 1, 1)),
            nn.Conv2d(6, 8, 1),
            norm_with_statistics(nn.BatchNorm2d(8)),
            nn.Hardswish(),
            nn.Flatten(),
            nn.Linear(8, 5),
        ),
        "activation last": nn.Sequential(nn.Linear(6, 5), nn.LogSigmoid()),
        "slopes": nn.Sequential(nn.Linear(6, 7), nn.PReLU(7), nn.Linear(7, 5)),
    }
    for tail in own.values():
        for name, parameter in tail.named_parameters():
            if "weight" in name and parameter.ndim == 1:
                nn.init.normal_(parameter)
    return own


@pytest.mark.parametrize("name", tails())
@pytest.mark.parametrize("pool", [gp.Mean(), gp.Max()], ids=["mean", "max"])
def test_maps_and_offset_equal_dense_matrices(name: str, pool: gp.Pool) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 6, 4, generator=generator, dtype=torch.float64)
    for classes in CLASSES:
        check_against_slow(pool, tails()[name].double(), x, classes)


@pytest.mark.parametrize("act", activations(), ids=lambda act: type(act).__name__)
def test_every_activation_with_and_without_a_value_at_zero(act: nn.Module) -> None:
    torch.manual_seed(0)
    tail = nn.Sequential(nn.Linear(6, 40), act, nn.Linear(40, 5)).double()
    x = 3 * torch.randn(3, 6, 4, dtype=torch.float64)
    check_against_slow(gp.Mean(), tail, x, "all")
    check_against_slow(gp.Mean(), tail, x, "top1")


def test_the_gate_at_zero_is_the_derivative_autograd_gives() -> None:
    for act in activations():
        z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        value = act(z)
        (slope,) = torch.autograd.grad(value.sum(), z)
        activation = activation_of(act)
        assert activation is not None
        # torch's own derivative of hardsigmoid holds 1/6 in single precision.
        assert_close(gate(activation, z.detach(), value.detach()), slope, rtol=1e-7, atol=0)
        assert value.item() == pytest.approx(activation.start, abs=1e-15)


def test_gates_do_not_cancel_near_zero() -> None:
    for name in ("sigmoid", "softplus", "log_sigmoid", "hardsigmoid"):
        activation = ACTIVATIONS[name]
        z = torch.tensor([1e-12, -1e-9, 1e-300], dtype=torch.float64)
        assert_close(gate(activation, z, z), torch.full_like(z, activation.slope), rtol=1e-8, atol=0)
    assert gate(ACTIVATIONS["softplus"], torch.tensor([800.0, -800.0]), torch.zeros(2)).isfinite().all()


@pytest.mark.parametrize("classes", [3, 200])
def test_pushing_and_pulling_agree(classes: int) -> None:
    """200 classes over 20 positions are pushed, 3 are pulled; a ragged batch is always pulled."""
    torch.manual_seed(0)
    tail = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 9), nn.Hardswish(), nn.Linear(9, classes)).double()
    classifier = gp.PooledClassifier(nn.Identity(), gp.LogMeanExp(2.0), tail)
    x = torch.randn(3, 6, 4, 5, dtype=torch.float64)
    dense = classifier.evidence(x, "all").check()
    rows = x.movedim(1, -1).reshape(-1, 6)
    ragged = classifier.evidence(rows, "all", ptr=torch.tensor([0, 20, 40, 60])).check()
    assert_close(ragged.maps.reshape(3, 20, classes).mT, dense.maps.flatten(2), rtol=0, atol=1e-13)
    assert_close(ragged.offset, dense.offset, rtol=0, atol=1e-13)
    one = classifier.evidence(x, "top2").check()
    assert_close(one.maps, dense.select(one.classes).maps, rtol=0, atol=1e-13)


def test_kept_axes_regions_and_masks_go_through_a_gated_tail() -> None:
    torch.manual_seed(0)
    for pool in (gp.Mean(dim=-1), gp.Grid(2, 2), gp.Attention(6, heads=2)):
        tail = nn.Sequential(nn.LazyLinear(9), nn.GELU(), nn.Linear(9, 5))
        mask = torch.rand(3, 4, 5) > 0.3
        classifier = gp.PooledClassifier(nn.Identity(), pool, tail)
        x = torch.randn(3, 6, 4, 5)
        classifier(x)
        classifier.double()
        for classes in CLASSES[:3]:
            evidence = classifier.evidence(x.double(), classes, mask=mask).check()
            assert (evidence.maps.movedim(1, 0)[:, ~mask] == 0).all()
            assert evidence.kind == "gated"


def test_batchnorm_is_its_eval_self_and_nothing_is_changed() -> None:
    torch.manual_seed(0)
    tail = nn.Sequential(nn.Linear(6, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Dropout(0.5), nn.Linear(7, 5)).double()
    classifier = gp.PooledClassifier(nn.Identity(), gp.Mean(), tail)
    x = torch.randn(8, 6, 4, dtype=torch.float64)
    classifier(x)  # moves the running statistics
    before = state(classifier)
    training = classifier.evidence(x, "all").check()
    assert same(before, state(classifier))
    assert tail.training
    evaluating = classifier.eval().evidence(x, "all").check()
    assert torch.equal(training.maps, evaluating.maps)
    assert torch.equal(evaluating.logits, classifier(x))
    tail[1].running_mean = tail[1].running_var = None  # type: ignore[assignment]
    with pytest.raises(EvidenceError, match="got BatchNorm1d in Sequential"):
        classifier.evidence(x)


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        (nn.Sequential(nn.Unflatten(1, (6, 1)), nn.Conv1d(6, 5, 1), nn.Flatten()), "linear"),
        (nn.Sequential(nn.BatchNorm1d(6)), "linear"),
        (nn.Identity(), "linear"),
        (AverageOf([nn.Linear(6, 5), nn.Linear(6, 5)]), "linear"),
        (nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 5)), "gated"),
        (nn.Sequential(nn.Linear(6, 5), nn.ReLU()), "gated"),
        (AverageOf([nn.Linear(6, 5), nn.Sequential(nn.ReLU(), nn.Linear(6, 5))]), "gated"),
    ],
)
def test_kind_is_the_weaker_of_pool_and_tail(tail: nn.Module, kind: str) -> None:
    x = torch.randn(3, 6, 4, dtype=torch.float64)
    tail = tail.double().eval()
    assert is_affine(tail) == (kind == "linear")
    assert gp.PooledClassifier(nn.Identity(), gp.Mean(), tail).evidence(x, "all").check().kind == kind
    weighted = gp.PooledClassifier(nn.Identity(), gp.Max(), tail).evidence(x, "all").check()
    assert weighted.kind == ("weighted" if kind == "linear" else "gated")


def test_linear_kind_means_a_position_can_be_removed_and_gated_does_not() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 6, 4, dtype=torch.float64)
    without = x.clone()
    without[:, :, 1] = 0
    for tail, exact in ((AverageOf([nn.Linear(6, 5), nn.Linear(6, 5)]), True), (tails()["mlp"], False)):
        classifier = gp.PooledClassifier(nn.Identity(), gp.Mean(), tail.double()).eval()
        evidence = classifier.evidence(x, "all")
        error = (classifier(without) - (evidence.logits - evidence.maps[:, :, 1])).abs().max()
        assert (error < 1e-13) == exact


def test_half_precision_tails_add_up_to_their_own_rounding() -> None:
    torch.manual_seed(0)
    for dtype in (torch.float16, torch.bfloat16):
        tail = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 5)).to(dtype)
        classifier = gp.PooledClassifier(nn.Identity(), gp.Mean(), tail)
        evidence = classifier.evidence(torch.randn(2, 16, 6, 6, dtype=dtype), "all").check()
        assert evidence.maps.dtype == torch.float32


def test_evidence_is_differentiable_and_works_in_inference_mode() -> None:
    torch.manual_seed(0)
    classifier = gp.PooledClassifier(nn.Identity(), gp.Mean(), tails()["norm, mlp"].double()).eval()
    x = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    for classes in CLASSES[:2]:
        classifier.evidence(x, classes).maps.square().sum().backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        with torch.inference_mode():
            classifier.evidence(x.detach(), classes).check()


@st.composite
def random_tails(draw: st.DrawFn, width: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(0, 5))):
        kinds = ["linear", "batch", "layer", "rms", "act", "drop", "unit", "two", *(["group"] if width > 1 else [])]
        kind = draw(st.sampled_from(kinds))
        if kind == "linear":
            after = draw(st.integers(1, 7))
            layers.append(nn.Linear(width, after, bias=draw(st.booleans())))
            width = after
        elif kind == "batch":
            layers.append(norm_with_statistics(nn.BatchNorm1d(width)))
        elif kind == "group":
            groups = [count for count in range(1, width) if width % count == 0]  # torch refuses groups of one
            layers.append(nn.GroupNorm(draw(st.sampled_from(groups)), width, 1e-2))
        elif kind == "two":
            layers.append(AverageOf([nn.Linear(width, 3), nn.Sequential(nn.Tanh(), nn.Linear(width, 3))]))
            width = 3
        else:
            norms = {"layer": nn.LayerNorm(width, 1e-2), "rms": nn.RMSNorm(width, 1e-2), "unit": UnitLength(1e-2)}
            norms |= {"drop": nn.Dropout(0.5), "act": draw(st.sampled_from(activations()))}
            layers.append(norms[kind])
    return nn.Sequential(*layers, *([nn.Linear(width, classes)] if draw(st.booleans()) or not layers else []))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data())
def test_random_tails_add_up_and_equal_dense_matrices(data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    width = data.draw(st.integers(1, 6))
    tail = data.draw(random_tails(width, data.draw(st.integers(1, 6)))).double()
    x = torch.randn(data.draw(st.integers(2, 3)), width, data.draw(st.integers(1, 5)), dtype=torch.float64)
    classes: Any = data.draw(st.sampled_from(["all", "top1", 0]))
    pool = data.draw(st.sampled_from([gp.Mean(), gp.Max()]))
    check_against_slow(pool, tail, x, classes, tolerance=1e-9)
    single = gp.PooledClassifier(nn.Identity(), gp.GeM(), tail.float()).evidence(x.float(), classes)
    single.check()
