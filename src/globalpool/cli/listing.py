"""``globalpool models`` and ``globalpool pools``."""

from globalpool.cli.names import MODELS, pool_names


def print_models() -> int:
    """One line a model."""
    for name, build in MODELS.items():
        print(f"{name:22} {(build.__doc__ or '').splitlines()[0]}")
    return 0


def print_pools() -> int:
    """One line a pool: name, whether it is affine, the first line of its documentation."""
    names = pool_names()
    wide = max(map(len, names))
    for name, pool in names.items():
        affine = "affine" if pool.examples(8, 2)[0].affine else ""
        print(f"{name:{wide}}  {affine:7} {(pool.__doc__ or '').splitlines()[0].replace('``', '')}")
    return 0
