"""Any number of runs on every set that they were tested on: trained on by tested on, one table for each figure."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retinalab.cli.written import check_output, write_output
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.metrics.transfer import TestedRun

__all__ = ["compare_matrix", "fingerprints"]


def compare_matrix(known: argparse.Namespace) -> int:
    """Print one table of training by test sets for each figure that was asked for."""
    from retinalab.metrics.transfer import transfer, transfer_lines

    check_output(known.json)
    runs = [_tested_run(folder) for folder in known.run]
    tables = [transfer(runs, metric) for metric in dict.fromkeys(known.matrix)]
    labels = dict.fromkeys(label for folder in known.run for label in _labels(folder))
    for number, run in enumerate(runs, 1):
        print(f"{number}  {run.name}, trained on {', '.join(run.trained_on)}")
    for label in labels:
        print(f"   {label}")
    for table in tables:
        print("\n" + "\n".join(transfer_lines(table)))
    if known.json is not None:
        content = {"labels": list(labels), "tables": tables}
        write_output(known.json, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return 0


def fingerprints(provenance: Mapping[str, Any]) -> dict[str, list[str]]:
    """Data set -> its fingerprint in every stage."""
    sets = [entry for stage in provenance.get("data", {}).values() for entry in stage.items()]
    return {name: [e.get("fingerprint", "") for n, e in sets if n == name] for name, _ in sets}


def _tested_run(folder: Path) -> TestedRun:
    from retinalab.metrics.transfer import TestedRun
    from retinalab.report.folder import read_run
    from retinalab.report.results import trained_sets

    if not folder.is_dir():
        raise RetinalabError(f"No run folder {folder}. Give the folder of a finished run, below runs/.")
    run = read_run(folder)
    sets = {prefix: run.set_of(prefix) for prefix in run.tested if prefix.startswith("test")}
    if not sets:
        raise RetinalabError(f"{folder} was not tested on any photograph. Give a run that was.")
    return TestedRun(
        name=str(folder.parent / folder.resolve().name),
        trained_on=tuple(
            name for prefix, name in sets.items() if "@" not in prefix or name in trained_sets(run)
        ),
        sets=sets,
        metrics=run.metrics,  # type: ignore[arg-type]
        fingerprints=fingerprints(run.provenance),
        scales={disease: scale.name for disease, scale in run.scales.items()},
    )


def _labels(folder: Path) -> list[str]:
    from retinalab.report.folder import read_run

    return [str(label) for label in read_run(folder).provenance.get("labels", ())]
