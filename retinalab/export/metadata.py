"""What an exported file says of itself: what it answers, where it comes from, and what it must not be used for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

import retinalab
from retinalab.code import code_digests
from retinalab.config import DataConfig
from retinalab.documents import read_json
from retinalab.errors import RetinalabError
from retinalab.metrics.clinical import Options
from retinalab.metrics.clinical.targets import judged, targets_of
from retinalab.metrics.clinical.thresholds import Rate, choose
from retinalab.metrics.tables import diseases_of, probabilities_of, read_table
from retinalab.predict.finished import FinishedRun, Member

__all__ = ["SCHEMA", "USE", "as_texts", "described"]

SCHEMA = 1
USE = "Research use only: not a medical device, not for diagnosis."
_BEFORE = (
    "Decode the photograph, turn it as its EXIF orientation says, find the field of view, cut a square about it (black "
    "beyond the photograph), and resize that to the side that the input takes, averaging areas where it is reduced "
    "(retinalab.predict.prepare.read_working). Give 8-bit RGB, rows first. All else is in the file."
)


def described(
    run: FinishedRun, members: Sequence[Member], names: Sequence[str], exact: bool
) -> dict[str, Any]:
    """The metadata as plain JSON values.

    Args:
        run: that is exported.
        members: the networks that are averaged.
        names: of the outputs.
        exact: whether no pixel is resized in the file.
    """
    experiment = run.experiment
    data = experiment.stages[members[0].stage].data
    known = _provenance(run)
    return {
        "schema": SCHEMA,
        "use": USE,
        "paper": experiment.paper,
        "experiment": experiment.name,
        "labels": list(run.labels),
        "protocol": experiment.protocol.model_dump(mode="json"),
        "input": _input(data, exact),
        "outputs": _outputs(run, names),
        "thresholds": _thresholds(run, members, names),
        "networks": [{"fold_and_seed": m.child, "stage": m.stage} for m in members],
        "combined": "mean of probabilities (of severities; of lesion maps) over the networks",
        "precision": {
            "exported": "float32",
            "evaluated": {m.stage: run.precision.get(m.stage, "unknown") for m in members},
        },
        "provenance": {
            "run": run.path.resolve().name,
            "command": known.get("command", ""),
            "commit": known.get("commit", ""),
            "code": known.get("code") or {},
            "code_of_export": code_digests(experiment),
            "retinalab": {"trained": known.get("retinalab", ""), "exported": retinalab.__version__},
            "finished": known.get("finished", ""),
        },
        "data": _data(known),
    }


def as_texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """For formats that hold texts only: what is no text is JSON.

    Example:
        >>> as_texts({"paper": "a", "schema": 1})
        {'paper': 'a', 'schema': '1'}
    """
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in metadata.items()
    }


def _provenance(run: FinishedRun) -> Mapping[str, Any]:
    try:
        known = read_json(run.path / "provenance.json")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RetinalabError(
            f"{run.path / 'provenance.json'} cannot be read ({error}). Restore it, or run the experiment again."
        ) from error
    return known if isinstance(known, dict) else {}


def _input(data: DataConfig, exact: bool) -> dict[str, Any]:
    view = "whole" if data.input_size == data.size else data.view
    resized = "no pixel is resized" if exact else "resized in floating point, as on a GPU"
    return {
        "name": "photographs",
        "shape": ["any number", data.size, data.size, 3],
        "type": "uint8 RGB, field of view filling the square",
        "before": _BEFORE,
        "kept": "jpeg" if data.codec == "jpeg" else "raw",
        "inside": {
            "view": f"{view}, {data.input_size} pixels; {resized}",
            "seen": view,
            "pixels": data.input_size,
            "exact": exact,
            "background": data.model_dump(mode="json")["background"],
            "normalise": data.model_dump(mode="json")["normalise"],
        },
    }


def _outputs(run: FinishedRun, names: Sequence[str]) -> dict[str, Any]:
    scales = run.experiment.protocol.scales
    out: dict[str, Any] = {}
    for name in names:
        disease, _, kind = name.rpartition("_")
        if name.startswith("lesion_"):
            out[name] = {"lesions": list(run.taught)}
            continue
        scale = scales[disease]
        out[name] = {"disease": disease, "scale": scale.name, "levels": list(scale.levels)}
        if kind == "grade":
            cuts = [k + 0.5 for k in range(scale.size - 1)]
            regressed = f"{disease}_severity" in names
            out[name]["from"] = (
                {"severity_from": cuts} if regressed else "the most probable; of equal ones the lower"
            )
    return out


def _thresholds(run: FinishedRun, members: Sequence[Member], names: Sequence[str]) -> dict[str, Any]:
    """Operating points of the mean answer, chosen on the validation photographs that all its networks share."""
    options = Options()
    rows, missing = _validation(run, members)
    out: dict[str, Any] = {}
    for disease, scale in run.experiment.protocol.scales.items():
        if f"{disease}_grade" not in names:
            continue
        targets = targets_of(disease, scale)
        entries = out.setdefault(disease, {})
        known = rows[rows[disease] >= 0] if rows is not None and disease in rows else None
        for target in targets:
            entry: dict[str, Any] = {"grade_from": target.lowest}
            wanted: tuple[tuple[Rate, float], ...] = (
                ("specificity", options.specificity),
                ("sensitivity", options.sensitivity),
            )
            for rate, share in wanted:
                told: Any = missing or "the run left no validation predictions of it"
                if known is not None and len(known):
                    own = judged(known, targets)
                    chosen = choose(own, own, target, rate, share)
                    told = chosen if isinstance(chosen, str) else next(iter(chosen.thresholds.values()))
                score = "severity" if f"{disease}_severity" in names else f"P(grade >= {target.lowest})"
                entry[f"{rate} {share:g} on validation"] = (
                    {"missing": told} if isinstance(told, str) else {"score": score, "from": told}
                )
            entries[target.name] = entry
    return out


def _validation(run: FinishedRun, members: Sequence[Member]) -> tuple[pd.DataFrame | None, str]:
    """A row per validation photograph with the mean over seeds; or why there is none."""
    children = {member.child for member in members}
    if len({child.partition("_")[0] for child in children if child.startswith("fold")}) > 1:
        return None, "folds have different validation photographs, so that none is unseen by all networks"
    file = run.path / "predictions.parquet"
    if not file.is_file():
        return None, ""
    table = read_table(file, "predictions")
    table = table[table["part"] == "val"]
    for child in children if len(children) == 1 else ():
        for piece in filter(None, child.split("_")):
            kind, _, number = piece.partition("-")
            table = table[table[kind] == int(number)]
    diseases = [d for d in diseases_of(table) if d in run.experiment.protocol.scales]
    answers = [c for d in diseases for c in (*probabilities_of(table, f"{d}_p"), f"{d}_score") if c in table]
    if table.empty:
        return None, ""
    kept = ["set", "image", *diseases, *(f"{d}_grade" for d in diseases)]
    first = table.drop_duplicates(["set", "image"])[kept].set_index(["set", "image"])
    means = table.groupby(["set", "image"])[answers].mean()
    joined = first.join(means).reset_index()
    return joined.assign(fold=-1, seed=0, part="val", gradable=np.ones(len(joined), bool)), ""


def _data(known: Mapping[str, Any]) -> dict[str, Any]:
    """Data set -> title, licence as its owners state it, fingerprint, photographs by stage."""
    out: dict[str, Any] = {}
    for stage, sets in (known.get("data") or {}).items():
        for name, entry in sets.items():
            one = out.setdefault(
                name, {key: entry.get(key, "") for key in ("title", "source", "licence", "synthetic")}
            )
            one.setdefault("fingerprints", {})[stage] = entry.get("fingerprint", "")
            one.setdefault("photographs", {})[stage] = entry.get("photographs", {})
    return out
