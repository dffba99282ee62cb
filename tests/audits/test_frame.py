"""The frame: what an audit gives back, its seconds, its seed, and what a finding is in JSON."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

import globalpool as gp
from globalpool.audits import ALL, Audit, AuditData, DoesNotApplyError, Finding, Table, run_audits
from globalpool.audits.intervals import mean_interval, student
from globalpool.audits.samples import Clock
from globalpool.classifier import PooledClassifier
from globalpool.errors import DataError
from globalpool.models import convnet
from tests.audits.samples import noise, samples


def spoil(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Does to the classifier what an audit must not leave."""
    for parameter in classifier.parameters():
        parameter.requires_grad_(True)
    classifier(data.inputs[0]).sum().backward()
    norm = next(module for module in classifier.modules() if isinstance(module, nn.BatchNorm2d))
    norm.train()
    classifier(data.inputs[0])
    norm.eval()
    draws = [torch.rand(()).item(), np.random.rand(), random.random()]  # noqa: NPY002 (the global state is the point)
    return Finding("spoil", "", "info", "", tables=(Table(("a", "b", "c"), (tuple(draws),)),))


def test_a_classifier_and_the_global_random_numbers_are_given_back_and_draws_follow_the_seed() -> None:
    classifier = convnet(widths=(4, 8), num_classes=2).train()
    first, tail = next(classifier.trunk.parameters()), classifier.tail
    assert isinstance(tail, nn.Linear)
    first.requires_grad_(False)
    tail.weight.grad = torch.ones_like(tail.weight)
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    torch.manual_seed(3)
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    data = samples(noise(2, 3, 16, 16))
    found = [Audit("spoil", "", spoil)(classifier, data) for _ in range(2)]
    assert found[0].table.rows == found[1].table.rows
    assert Audit("spoil", "", spoil)(classifier, samples(noise(2, 3, 16, 16), seed=1)).table.rows != found[0].table.rows
    assert all(module.training for module in classifier.modules())
    assert all(torch.equal(value, state[name]) for name, value in classifier.state_dict().items())
    assert [parameter.requires_grad for parameter in classifier.parameters()] == [
        name != "trunk.0.weight" for name, _ in classifier.named_parameters()
    ]
    assert torch.equal(tail.weight.grad, torch.ones_like(tail.weight))
    assert all(parameter.grad is None for parameter in classifier.trunk.parameters())
    after = torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_all_audits_leave_a_classifier_in_train_mode_as_it_was_without_hooks_and_say_the_same_twice() -> None:
    classifier = convnet(widths=(4, 8), num_classes=3).train()
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    inputs = noise(6, 3, 32, 32)
    first, second = (gp.audit(classifier, inputs, targets=[0, 1, 2, 0, 1, 2], budget=1000.0) for _ in range(2))
    assert [one.audit for one in first] == [audit.name for audit in ALL]
    for one, other in zip(first, second, strict=True):
        if one.unit not in ("seconds", "ms"):
            assert one.verdict == other.verdict, one.audit
            assert one.measured == other.measured or one.audit == "head_cost", one.audit
    assert all(module.training for module in classifier.modules())
    assert all(torch.equal(value, state[name]) for name, value in classifier.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in classifier.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in classifier.parameters())


def test_without_time_an_audit_looks_at_the_least_samples_and_says_so() -> None:
    clock = Clock(0.0)
    assert list(clock.within("abcdef", "letters", least=2)) == ["a", "b"]
    assert clock.notes == ["2 of 6 letters for lack of time: wider intervals"]
    assert list(Clock(1e6).within("abcdef", "letters")) == list("abcdef")
    classifier = convnet(widths=(4, 8), num_classes=3)
    found = gp.audit(classifier, noise(6, 3, 32, 32), audits=ALL[:1], budget=1e-9)[0]
    assert any("2 of 6 samples for lack of time" in note for note in found.notes)


def test_what_an_audit_leaves_of_its_time_goes_to_the_next() -> None:
    given = []

    def note(classifier: PooledClassifier, data: AuditData) -> Finding:
        given.append(data.budget)
        return Finding("note", "", "info", "")

    audits = [Audit("a", "", note, 1.0), Audit("b", "", note, 2.0), Audit("c", "", note, 1.0)]
    classifier = convnet(widths=(4, 8), num_classes=2)
    list(run_audits(classifier, samples(noise(2, 3, 8, 8)), audits, 4000.0))
    assert given == pytest.approx([1000, 8000 / 3, 4000], rel=0.01)


def test_an_audit_that_does_not_apply_or_stops_says_why_in_one_line() -> None:
    def refuse(classifier: PooledClassifier, data: AuditData) -> Finding:
        raise DoesNotApplyError("a graph has no rows")

    def stop(classifier: PooledClassifier, data: AuditData) -> Finding:
        raise RuntimeError("kernel too large\nmore")

    classifier, data = convnet(widths=(4, 8), num_classes=2), samples(noise(2, 3, 8, 8))
    found = [Audit("x", "q", one)(classifier, data) for one in (refuse, stop)]
    assert [one.verdict for one in found] == ["not applicable", "not applicable"]
    assert [one.advice for one in found] == ["a graph has no rows", "stopped: RuntimeError: kernel too large"]


def test_samples_that_cannot_be_audited_are_refused() -> None:
    classifier = convnet(widths=(4, 8), num_classes=2)
    with pytest.raises(DataError, match="expected at least one sample to audit on; got none"):
        gp.audit(classifier, [])
    with pytest.raises(DataError, match=r"a class id for each of 2 samples; got \(3,\)"):
        gp.audit(classifier, noise(2, 3, 8, 8), targets=[0, 1, 0])
    with pytest.raises(DataError, match="a budget of more than 0 seconds; got 0"):
        gp.audit(classifier, noise(2, 3, 8, 8), budget=0)
    with pytest.raises(DataError, match="read_folder reads labelled ones"):
        gp.audit(classifier, "pictures")


def test_a_table_refuses_a_row_of_another_length_and_json_holds_no_nan() -> None:
    with pytest.raises(ValueError, match="A table of 2 columns has a row of 1"):
        Table(("a", "b"), ((1,),))
    table = Table(("a", "b"), ((1, float("nan")), (2, None)))
    record = Finding("x", "q", "info", "", measured=float("inf"), tables=(table,)).record()
    assert record["table"]["rows"] == [[1, None], [2, None]]
    assert record["measured"] is None
    assert {"audit", "measured", "predicted", "unit", "verdict", "table"} <= set(record)
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.7062), (2, 4.30265), (5, 2.57058), (30, 2.04227), (300, 1.96790)]
)
def test_student_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert student(degrees) == pytest.approx(quantile, rel=1e-5)


def test_a_mean_has_its_t_interval() -> None:
    mean, interval = mean_interval([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    assert interval == pytest.approx((2.5 - 3.18245 * 0.645497, 2.5 + 3.18245 * 0.645497), rel=1e-4)
    assert mean_interval([1.0]) == (1.0, None)
