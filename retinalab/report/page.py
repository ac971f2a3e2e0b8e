"""Puts the report of a run together and writes it in one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from retinalab.metrics.baselines import BASELINES
from retinalab.report.card import write_card
from retinalab.report.checklist import checklist_sections
from retinalab.report.clinical import Clinical, clinical_section
from retinalab.report.curves import curves, readings_of
from retinalab.report.errors import keys_of
from retinalab.report.figures import learning_curves
from retinalab.report.folder import RunFolder, read_run
from retinalab.report.froc import froc
from retinalab.report.gallery import Picture
from retinalab.report.lesions import lesion_grid
from retinalab.report.made import made_sections
from retinalab.report.maps import map_section
from retinalab.report.numbers import plain
from retinalab.report.patches import patch_confusion, patch_grid
from retinalab.report.readers import Reading
from retinalab.report.render import write_page
from retinalab.report.results import (
    confusions,
    few_intervals,
    headlines,
    metric_rows,
    side_by_side,
    tested_unit,
)
from retinalab.report.shown import graded_rows, shown_of
from retinalab.report.summary import banners, data_sets, further, notes, protocol, summary

__all__ = ["write_report"]


def write_report(folder: Path, picture: Callable[[str, str], np.ndarray | None] | None = None) -> Path:
    """Write ``report.html`` of a finished run: one file, no script, no request to a network; its card beside it.

    Numbers come from ``metrics.json`` as they are; matrices and curves from ``predictions.parquet``; readers'
    operating points from ``readers.csv``, where the folder has one.

    Args:
        folder: the run's folder with ``experiment.yaml``, ``provenance.json`` and ``metrics.json``; tables
            and ``history/*.csv`` (also below ``fold-*`` and ``seed-*``) where the run left them.
        picture: working image of (set, image) for the gallery, ``(S, S, 3)`` uint8 RGB; None where it cannot
            be had, and the gallery then says so.

    Raises:
        RetinalabError: a file is missing or cannot be read.
    """
    run = read_run(Path(folder))
    clinical = clinical_section(run)
    page = write_page("report.html", _context(run, picture, clinical), run.path / "report.html")
    write_card(run, clinical)
    return page


def _context(run: RunFolder, picture: Picture | None, clinical: Clinical | None) -> Mapping[str, Any]:
    provenance, readings = run.provenance, readings_of(run)
    return {
        "paper": str(run.experiment.get("paper", "")),
        "name": str(run.experiment.get("name", run.path.name)),
        "run_id": run.path.name,
        "citation": plain(provenance.get("citation")),
        "banners": banners(run),
        "protocol": protocol(run),
        "summary": summary(run),
        "data_sets": data_sets(run),
        "results": [_results(run, prefix, picture, readings, clinical is None) for prefix in run.tested],
        "baseline_names": BASELINES,
        "unacceptable": any(run.scales[disease].unacceptable for disease in run.diseases),
        "side_by_side": side_by_side(run),
        "metrics": metric_rows(run),
        "clinical": clinical,
        "stages": learning_curves(run.history),
        "made": made_sections(run),
        "unexplained": run.saliency.missing,
        "notes": notes(run),
        "checklists": checklist_sections(run),
        "command": plain(provenance.get("command")),
        "versions": dict(provenance.get("versions") or {}),
        "further": further(run),
        "experiment_text": yaml.safe_dump(dict(run.experiment), sort_keys=False, allow_unicode=True),
    }


def _results(
    run: RunFolder, prefix: str, picture: Picture | None, readings: Sequence[Reading], with_reliability: bool
) -> Mapping[str, Any]:
    """What is shown of one test set."""
    graded = graded_rows(run, prefix)
    drawn = curves(run, prefix, graded, readings, with_reliability)
    shown = shown_of(run, prefix, picture)
    return {
        "prefix": prefix,
        "part": {"test": "Test", "val": "Validation"}[prefix.partition("@")[0]],
        "set": run.set_of(prefix),
        "unit": tested_unit(run, prefix),
        "few": few_intervals(run, prefix),
        "headlines": headlines(run, prefix),
        "confusions": [*confusions(run, prefix), *filter(None, [patch_confusion(run, prefix)])],
        "patches": patch_grid(run, prefix),
        "lesions": lesion_grid(run, prefix),
        "froc": froc(run, prefix),
        "charts": drawn.charts,
        "readers": drawn.readers,
        "missing": drawn.missing,
        "seeds": int(max((rows["seed"].nunique() for rows in graded.values()), default=1)),
        "repeated": any(rows.duplicated(["set", "image"]).any() for rows in shown.rows.values()),
        "errors": shown.errors,
        "galleries": shown.galleries,
        "maps": map_section(shown.draw, shown.galleries, keys_of(shown.errors)),
    }
