"""Every pool of the library against the contract it offers to others, in plain torch and with compiled loops."""

import pytest

from globalpool import kernels, pools
from globalpool.kernels.choice import Use
from globalpool.pools.contract import Law, laws

CASES = [case for pool in pools.ALL for case in laws(pool)]


@pytest.mark.parametrize("use", ["never", "always"])
@pytest.mark.parametrize(("law", "pool", "axes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_law(law: Law, pool: pools.Pool, axes: int, use: Use) -> None:
    with kernels.loops(use):
        law(pool, 3, axes)  # raises AssertionError
