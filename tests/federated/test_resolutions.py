"""Scores by resolution: counts add up, and averages are never averaged."""

import re

import pytest

from globalpool.errors import FederatedError
from globalpool.federated import ClientScore, by_resolution, gap


def test_clients_of_one_resolution_count_by_their_samples() -> None:
    scores = [ClientScore(96, 100, 50, 70.0), ClientScore(64, 10, 9, 2.0), ClientScore(96, 300, 290, 30.0)]
    found = by_resolution(scores)
    assert list(found) == [64, 96]
    assert found[96] == ClientScore(96, 400, 340, 100.0)
    assert found[96].accuracy == 0.85  # the mean of 0.5 and 0.967 would be 0.733
    assert found[96].mean_nll == 0.25
    assert gap(scores) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ClientScore(64, 0, 0, 0.0), "Keep samples to judge on at every client."),
        (lambda: gap([]), "gap: expected the scores of at least one client; got none."),
    ],
)
def test_refusals(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FederatedError, match=re.escape(message)):
        call()
