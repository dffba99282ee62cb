"""``globalpool check``."""

from collections import Counter
from pathlib import Path

from globalpool.cli.options import CheckOptions
from globalpool.data import check_data
from globalpool.data.check_kinds import check_kind
from globalpool.data.kinds import kind_of
from globalpool.errors import GlobalPoolError


def run(options: CheckOptions) -> int:
    """Print what the data hold and what is wrong with them; 1 when something stands in the way of training."""
    if options.most < 1:
        raise GlobalPoolError("--most", "a positive number of findings", str(options.most))
    seconds = options.seconds_per_picture
    if seconds is not None and not seconds > 0:
        raise GlobalPoolError("--seconds_per_picture", "a positive time in seconds", str(seconds))
    kind = kind_of(options.data) if Path(options.data).exists() else None
    if kind is not None and seconds is not None:
        raise GlobalPoolError("--seconds_per_picture", f"a time beside pictures, not {kind.word}s", str(seconds))
    check = check_data(options.data, seconds_per_picture=seconds) if kind is None else check_kind(options.data, kind)
    print(*check.summary, sep="\n", end="\n" if check.summary else "")
    printed: Counter[str] = Counter()
    for finding in check.findings:
        printed[finding.kind] += 1
        if printed[finding.kind] <= options.most:
            print(finding)
    for name, count in printed.items():
        if count > options.most:
            print(f"{name}: {count - options.most} more, printed with --most {count}")
    print(f"{len(check.errors)} errors, {len(check.findings) - len(check.errors)} warnings")
    if check.errors:
        return 1
    print(f"next: globalpool train {options.data} --out RUN")
    return 0
