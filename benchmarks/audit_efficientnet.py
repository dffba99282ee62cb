"""All audits of EfficientNet-Lite0 on the packaged photographs: their lines, their tables, their time.

python benchmarks/audit_efficientnet.py             prints the page
python benchmarks/audit_efficientnet.py --write     and keeps it in benchmarks/results/audit_efficientnet_lite0.md
"""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

import globalpool as gp
from globalpool.audits import Finding, Table
from globalpool.report.audits import number, summary

OUT = Path(__file__).parent / "results" / "audit_efficientnet_lite0.md"


def page(findings: Sequence[Finding], pictures: int, seconds: float) -> Iterator[str]:
    threads = torch.get_num_threads()
    yield "# `globalpool audit efficientnet_lite0`"
    yield ""
    yield f"{pictures} photographs packaged with scikit-image, no labels: the network's own top classes at 224 pixels"
    yield f"take their place. {len(findings)} audits in {seconds:.0f} s, threads: {threads}, on two shared cores."
    yield "Made by `python benchmarks/audit_efficientnet.py --write`."
    yield ""
    yield "```"
    for finding in findings:
        yield from summary(finding)
    yield "```"
    for finding in findings:
        if finding.tables:
            yield ""
            yield f"## {finding.audit}: {finding.question}"
            yield ""
            yield f"{finding.verdict}; {finding.threshold or 'no threshold'}."
        for table in finding.tables:
            yield from rows(table)


def rows(table: Table) -> Iterator[str]:
    yield ""
    if table.title:
        yield f"{table.title}:"
        yield ""
    yield "| " + " | ".join(table.columns) + " |"
    yield "| " + " | ".join("---" for _ in table.columns) + " |"
    for row in table.rows:
        yield "| " + " | ".join(number(cell) for cell in row) + " |"


def main() -> None:
    classifier, photographs = gp.models.efficientnet_lite0(), gp.data.photographs()
    start = time.perf_counter()
    findings = gp.audit(classifier, photographs)
    text = "\n".join(page(findings, len(photographs), time.perf_counter() - start)) + "\n"
    print(text)
    if "--write" in sys.argv:
        OUT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
