"""A run's report page written again."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

import retinalab
from retinalab.documents import read_json, read_yaml
from retinalab.errors import RetinalabError
from retinalab.schema import figures_of

if TYPE_CHECKING:
    import numpy as np

    Picture = Callable[[str, str], np.ndarray | None]

__all__ = ["report"]


def report(known: argparse.Namespace) -> int:
    """Write a run's report page again."""
    from retinalab.report import write_report
    from retinalab.report.folder import provenance_of

    for name in ("metrics.json", "experiment.yaml"):
        if not (known.run / name).is_file():
            raise RetinalabError(
                f"{known.run} is no finished run: it has no {name}. Give a folder below runs/."
            )
    provenance_of(known.run)
    _check_tables(known.run)
    if known.readers is not None:
        _keep_readers(known.run, known.readers)
    if known.checklist is not None:
        print(_checklist(known.run.resolve(), known.checklist))
    print(write_report(known.run.resolve(), _pictures(known.run)))
    return 0


def _check_tables(run: Path) -> None:
    """Every table that the run's figures were made from is there: a page of the rest would read like the whole."""
    file = run / "metrics.json"
    try:
        keys = list(figures_of(read_json(file), file, retinalab.__version__))
    except ValueError:
        return  # said with its reason where the run is read
    needed: dict[str, str] = {}
    for key in keys:
        target, figure = key.partition("/")[2].partition("/")[0], key.rpartition("/")[2]
        name = {"windows": "windows", "lesion": "lesions"}.get(target, "predictions")
        if figure.startswith("image_"):  # presence in whole photographs
            name = "predictions"
        needed.setdefault(f"{name}.parquet", key)
    for name, key in needed.items():
        if not (run / name).is_file():
            raise RetinalabError(
                f"{run} has no {name}, from which figures such as {key} were made: no page was written. Restore the "
                "file, or run the experiment again."
            )


def _checklist(run: Path, target: Path) -> Path:
    from retinalab.report.checklist import write_checklist

    if target.is_dir() or not target.parent.is_dir():
        raise RetinalabError(f"Cannot write {target}. Name a file in a folder that exists.")
    return write_checklist(run, target)


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
        return pictures_of(resolve(read_yaml(run / "experiment.yaml")))
    except RetinalabError as error:
        print(f"without photographs: {error}")
        return None
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError):
        return None  # said with its reason where the run is read
