"""The command that asks whether printed numbers are possible."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.written import check_output, write_output
from retinalab.errors import unknown

if TYPE_CHECKING:
    from retinalab.audit import Finding

__all__ = ["add_audit_arguments", "audit"]

WIDTH = 80
_COUNTED = ("checks", "possible", "not_telling", "impossible", "impossible_if_assumed", "untestable")
_HEADS = (
    ("", "checks"),
    ("pos-", "sible"),
    ("any", "would"),
    ("impos-", "sible"),
    ("", "if …"),
    ("un-", "tested"),
)


def add_audit_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``retinalab audit``; its help explains the file."""
    from retinalab.audit.table import CHECKS, COLUMNS

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "table", metavar="TABLE", help="CSV file, one row a check; or a paper, whose own tables are audited"
    )
    parser.add_argument("--all", action="store_true", help="print the possible values too")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every check with its verdict as JSON"
    )
    lines = ["columns (check and value are needed, and what the check takes):", *_explained(COLUMNS)]
    lines += ["", "checks:", *_explained(CHECKS), "", "for example:", *_EXAMPLE]
    lines += ["", "Exit status: 0 all possible, 1 something impossible, 2 the file cannot be read."]
    parser.epilog = "\n".join(lines)


_EXAMPLE = (
    "  table,row,check,value,unit,n,from",
    "  Table 2,ours,share,65.1,%,103,",
    "  Table 2,ours,kappa,0.886,,,matrix=confusion.csv",
    "  Table 3,mean of three lesions,mean,0.553,,,0.209; 0.583; 0.867",
)


def audit(known: argparse.Namespace) -> int:
    """Print which values of a table are impossible and why; 1 where any is."""
    from retinalab.audit import as_json
    from retinalab.audit import audit as findings_of

    table = _file(known.table)
    check_output(known.json, table)
    findings = findings_of(table)
    print("\n".join(_lines(findings, known.all)))
    if known.json is not None:
        text = json.dumps(as_json(findings), indent=1, ensure_ascii=False)
        write_output(known.json, text + "\n")
    return int(any(one.wrong for one in findings))


def _file(name: str) -> Path:
    """The file of that name, or the audit beside a paper's experiments."""
    from retinalab.registry import Paper, installed_papers

    path = Path(name)
    if path.is_file() or path.suffix:
        return path
    papers = {key: one for key, one in installed_papers().items() if isinstance(one, Paper)}
    tables = {key: one.experiments / "audit.csv" for key, one in papers.items()}
    tables = {key: table for key, table in tables.items() if table.is_file()}
    if name not in tables:
        raise unknown("table", name, tables, "Give a CSV file of printed values, or one of these papers.")
    return tables[name]


def _lines(findings: Sequence[Finding], everything: bool) -> list[str]:
    from retinalab.audit import summed

    by_table: dict[str, list[Finding]] = {}
    for one in findings:
        by_table.setdefault(one.check.table or "(no table named)", []).append(one)
    lines = [f"{'':32s}" + "".join(f"{head:>8s}" for head in heads) for heads in zip(*_HEADS, strict=True)]
    for table, members in by_table.items():
        lines += _counted(table, summed(members))
    lines += _counted("all", summed(findings)) if len(by_table) > 1 else []
    for title, wanted in (
        ("Impossible, or contradicted elsewhere", "impossible"),
        ("Not tested", "untestable"),
        ("Possible", "possible"),
    ):
        chosen = [one for one in findings if one.answer.verdict == wanted]
        if chosen and (everything or wanted == "impossible"):
            before = ["", *(one.check.assumes for one in chosen)]
            again = [one.check.assumes == last for one, last in zip(chosen, before, strict=False)]
            pairs = zip(chosen, again, strict=True)
            lines += ["", title, *(line for one, alike in pairs for line in _finding(one, alike))]
    return [*lines, "", *textwrap.wrap(_MEANING, WIDTH)]


_MEANING = (
    "Printed values count as rounded half up or half to even. any would: with so many units every "
    "value is possible, so that the check says nothing. if …: impossible under what the row assumes. "
    "A value that is possible need not be right."
)


def _counted(name: str, found: dict[str, int]) -> list[str]:
    first, *rest = textwrap.wrap(name, 31, subsequent_indent="  ") or [""]
    return [f"{first:32s}" + "".join(f"{found[key] or '-':>8}" for key in _COUNTED), *rest]


def _finding(one: Finding, alike: bool) -> list[str]:
    """Where a value stands, the reason of its verdict and what is assumed; ``alike``: as in the one before."""
    check = one.check
    unit = f" {check.unit}" if check.unit and not check.value.endswith(check.unit) else ""
    where = ", ".join(filter(None, (check.table, check.row)))
    lines = _wrapped(f"{where}: {check.value}{unit} ({check.check})", "  ")
    lines += _wrapped(one.answer.why, "    ")
    if check.assumes:
        lines += _wrapped("as above" if alike else check.assumes, "    if: ")
    return lines


def _wrapped(text: str, head: str) -> list[str]:
    return textwrap.wrap(head + text, WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _explained(words: dict[str, str]) -> list[str]:
    lines = []
    for name, text in words.items():
        lines += textwrap.wrap(
            f"  {name:17s} {text}", WIDTH, subsequent_indent=" " * 20, break_on_hyphens=False
        )
    return lines
