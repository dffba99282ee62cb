"""Every pool of the library against the contract it offers to others."""

import pytest

from globalpool import pools
from globalpool.pools.contract import Law, laws

CASES = [case for pool in pools.ALL for case in laws(pool)]


@pytest.mark.parametrize(("law", "pool", "axes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_law(law: Law, pool: pools.Pool, axes: int) -> None:
    law(pool, 3, axes)  # raises AssertionError
