"""Commands on results: two runs compared, a report written again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from retinalab.cli.matrix import compare_matrix, fingerprints
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from retinalab.report.folder import RunFolder

    Picture = Callable[[str, str], np.ndarray | None]

__all__ = ["compare", "report"]


def compare(known: argparse.Namespace) -> int:
    """Print the differences between two runs, beside what is reached without looking at the retina."""
    if known.matrix:
        return compare_matrix(known)
    if len(known.run) != 2:
        raise RetinalabError(
            f"compare takes two runs, got {len(known.run)}. For what every one of them reaches on every test "
            "set add --matrix METRIC, such as --matrix dr/kappa."
        )
    from retinalab.experiment import resolve_model
    from retinalab.metrics.baselines import above_lines, above_the_shortcut, beside, beside_lines
    from retinalab.metrics.comparable import check_fingerprints, common_scales
    from retinalab.metrics.compare import compare as differences
    from retinalab.metrics.compare import difference_lines
    from retinalab.protocol import Protocol

    if known.json is not None and (known.json.is_dir() or not known.json.parent.is_dir()):
        raise RetinalabError(f"Cannot write {known.json}. Name a file in a folder that exists.")
    runs = [_graded_run(folder) for folder in known.run]
    tables = [table for _, table in runs]
    protocols = [resolve_model(Protocol, run.experiment.get("protocol") or {}, "protocol") for run, _ in runs]
    scales = common_scales(*protocols)
    if protocols[0].diseases == protocols[1].diseases:
        check_fingerprints(*(fingerprints(run.provenance) for run, _ in runs))
    found = differences(tables[0], tables[1], scales)
    shown = beside(found, runs[0][0].metrics, runs[1][0].metrics)
    above = [above_the_shortcut(table, run.baselines, scales, shown) for run, table in runs]
    names = [str(folder.parent / folder.resolve().name) for folder in known.run]
    labels = list(dict.fromkeys(label for run, _ in runs for label in run.provenance.get("labels", ())))
    on = ", ".join(f"{disease} on {scale.name}" for disease, scale in scales.items())
    print(f"a  {names[0]}\nb  {names[1]}\n   {protocols[0].split} split; {on}; test photographs")
    for disease in sorted(set(runs[0][0].diseases) ^ set(runs[1][0].diseases)):
        print(f"   {disease} is left out: only one of the two grades it")
    for label in labels:
        print(f"   {label}")
    lines = difference_lines(found, lambda key: beside_lines(key, shown)) + above_lines(*above)
    print("\n" + "\n".join(lines))
    if known.json is not None:
        content = {"a": names[0], "b": names[1], "protocol": protocols[0].model_dump(mode="json")}
        content |= {"labels": labels, "differences": found}
        content |= {"baselines": shown, "above_shortcut": {"a": above[0], "b": above[1]}}
        known.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _graded_run(folder: Path) -> tuple[RunFolder, pd.DataFrame]:
    """A finished run and its predictions of the test parts."""
    from retinalab.report.folder import read_run

    if not folder.is_dir():
        raise RetinalabError(f"No run folder {folder}. Give the folder of a finished run, below runs/.")
    run = read_run(folder)
    if run.predictions is None or not (run.predictions["part"] == "test").any():
        raise RetinalabError(f"{folder} has no test photographs with grades. Give a run that grades some.")
    return run, run.predictions[run.predictions["part"] == "test"]


def report(known: argparse.Namespace) -> int:
    """Write a run's report page again."""
    from retinalab.report import write_report

    if not (known.run / "metrics.json").is_file():
        raise RetinalabError(
            f"{known.run} is no finished run: it has no metrics.json. Give a folder below runs/."
        )
    if known.readers is not None:
        _keep_readers(known.run, known.readers)
    print(write_report(known.run.resolve(), _pictures(known.run)))
    return 0


def _keep_readers(folder: Path, file: Path) -> None:
    """Check a file of readers against the run and keep a copy there, from which every later report is drawn too."""
    import shutil

    from retinalab.report.folder import read_run
    from retinalab.report.readers import READERS, read_readers

    run = read_run(folder.resolve())
    read_readers(file, run.scales, {run.set_of(prefix) for prefix in run.tested})
    if not (folder / READERS).exists() or not file.samefile(folder / READERS):
        shutil.copyfile(file, folder / READERS)


def _pictures(run: Path) -> Picture | None:
    """The photographs for the gallery, where the run's data are still at hand."""
    from retinalab.experiment import resolve
    from retinalab.runner import pictures_of

    try:
        return pictures_of(resolve(yaml.safe_load((run / "experiment.yaml").read_text(encoding="utf-8"))))
    except RetinalabError as error:
        print(f"without photographs: {error}")
        return None
