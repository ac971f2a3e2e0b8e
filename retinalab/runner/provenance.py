"""What a result depends on beyond its experiment file: code, versions, machine, data."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import retinalab
from retinalab.code import code_digests
from retinalab.config import Experiment
from retinalab.data.parts import Part, Parts
from retinalab.records import SetInfo
from retinalab.redacted import redacted
from retinalab.registry import Paper, installed_papers
from retinalab.runner.annotated import named
from retinalab.runner.averaging import averaging_notes
from retinalab.runner.trainer import resolved_precision
from retinalab.schema import SCHEMAS

__all__ = ["concluded", "fingerprints", "made_by", "provenance", "with_leaks", "with_share"]

_LEAKY = "leaky: photographs of one patient or duplicates stand on both sides of the split"

_LIBRARIES = (
    "torch", "torchvision", "lightning", "torchmetrics", "timm", "segmentation-models-pytorch", "kornia",
    "opencv-python-headless", "simplejpeg", "numpy", "scipy", "scikit-learn", "pandas", "pydantic",
)  # fmt: skip


def provenance(experiment: Experiment, parts: dict[str, Parts], started: datetime) -> dict[str, Any]:
    """Everything known before training starts.

    Args:
        experiment: the resolved experiment.
        parts: stage -> its photographs (of the first fold).
        started: when the command was given, ahead of preparing photographs.
    """
    return {
        "schema": SCHEMAS["provenance"],
        "schemas": dict(SCHEMAS),
        **made_by(),
        "citation": _citation(experiment.paper),
        "code": code_digests(experiment),
        "precision": {name: resolved_precision(stage.trainer) for name, stage in experiment.stages.items()},
        "seeds": list(range(experiment.seed, experiment.seed + experiment.seeds)),
        "folds": experiment.folds,
        "started": started.isoformat("T", "seconds"),
        "data": {stage: _data(found) for stage, found in parts.items()},
        "lesions": {stage: named(found.train) for stage, found in parts.items()},
        "split": {
            stage: {"origin": p.split.origin, "leaks": list(p.split.leaks)} for stage, p in parts.items()
        },
        "notes": [
            *dict.fromkeys(note for p in parts.values() for note in p.notes),
            *averaging_notes(experiment),
        ],
        "labels": _labels(experiment, parts),
    }


def made_by() -> dict[str, Any]:
    """The command, code and machine that make a result."""
    return {
        "command": " ".join(_command()),
        "retinalab": retinalab.__version__,
        "commit": _commit(),
        "versions": _versions(),
        "device": _device(),
    }


def fingerprints(parts: dict[str, Parts]) -> dict[str, dict[str, str]]:
    """Stage -> data set -> digest of photographs and labels, which a resumed run must have in common."""
    return {stage: dict(found.fingerprints) for stage, found in parts.items()}


def with_leaks(known: Mapping[str, Any], stage: str, leaks: Sequence[str]) -> dict[str, Any]:
    """The same provenance with the leaks of a further fold, which label the result as those of the first do."""
    entry = known["split"][stage]
    splits = {**known["split"], stage: {**entry, "leaks": list(dict.fromkeys([*entry["leaks"], *leaks]))}}
    labels = list(dict.fromkeys([*known["labels"], *[_LEAKY] * bool(leaks)]))
    return {**known, "split": splits, "labels": labels}


def with_share(known: Mapping[str, Any], job: str) -> dict[str, Any]:
    """The same provenance with what this process does a job with; each that had a share in it is named once.

    Args:
        known: as in ``provenance.json``.
        job: its name (:mod:`retinalab.runner.jobs`); empty where there is one.
    """
    mine = {
        "command": " ".join(_command()),
        "commit": _commit(),
        "versions": _versions(),
        "device": _device(),
    }
    trained = {name: list(each) for name, each in known.get("trained", {}).items()}
    entries = trained.setdefault(job or "all", [])
    if not any(one == mine for one in entries):
        entries.append(mine)
    return {**known, "trained": trained}


def _citation(name: str) -> str:
    """The publication of a paper's method; nothing where no plugin of that name is installed."""
    found = installed_papers().get(name)
    if not isinstance(found, Paper):
        return ""
    return ". ".join(filter(None, (found.citation.rstrip("."), found.title.rstrip("."), found.url)))


def concluded(known: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """The same provenance of a finished run, with a note where several states of the code had a share in it.

    Args:
        known: as in ``provenance.json``.
        seconds: that the last process took, which are added.
    """
    by_commit: dict[str, list[str]] = {}
    for name, entries in known.get("trained", {}).items():
        for entry in entries:
            by_commit.setdefault(entry["commit"], []).append(name)
    notes = list(known.get("notes", []))
    if len(by_commit) > 1:
        shares = ", ".join(f"{commit} ({', '.join(names)})" for commit, names in by_commit.items())
        notes.append(f"computed by different states of the code: {shares}")
    return {
        **known,
        "notes": list(dict.fromkeys(notes)),
        "seconds": round(known.get("seconds", 0) + seconds, 1),
        "finished": datetime.now(UTC).isoformat("T", "seconds"),
    }


def _data(parts: Parts) -> dict[str, Any]:
    described: dict[str, dict[str, Any]] = {}
    for name, part in parts.tests.items():
        info = _info(part)
        described[name] = {
            "title": info.title,
            "source": info.source,
            "licence": info.licence,
            "synthetic": info.synthetic,
            "fingerprint": parts.fingerprints.get(name, ""),
            "photographs": {"test": len(part)},
            "patients_known": bool((part.records.table["patient"] != "").all()),
        }
        learned = {part.name: _share(part, parts.tests[name]) for part in (parts.train, parts.val)}
        if any(learned.values()):
            described[name]["photographs"] = {**learned, **described[name]["photographs"]}
    return described


def _share(part: Part, own: Part) -> int:
    """Photographs of a pooled part that come from the data set of one test part."""
    return int(part.records.table["set"].isin(list(own.records.info)).sum())


def _labels(experiment: Experiment, parts: dict[str, Parts]) -> list[str]:
    labels = []
    tested = [parts[stage] for stage in experiment.evaluated]
    if any(_info(part).synthetic for p in tested for part in p.tests.values()):
        labels.append("synthetic: drawn photographs, not a result on patients")
    elif drawn := [stage for stage, p in parts.items() if _drawn(p.train)]:
        labels.append(f"trained on drawn photographs too (stage {', '.join(drawn)})")
    if any(p.split.leaks for p in parts.values()):
        labels.append(_LEAKY)
    if experiment.protocol.select_on == "test":
        labels.append("optimistic: the checkpoint was chosen on the test part")
    return labels


def _drawn(part: Part) -> bool:
    return any(part.records.info[name].synthetic for name in part.records.table["set"].unique())


def _info(part: Part) -> SetInfo:
    return part.records.info[part.records.table["set"].iloc[0]]


def _commit() -> str:
    folder = Path(retinalab.__file__).parent
    try:
        ran = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except OSError:
        return "unknown"
    return ran.stdout.strip() or "not a checkout"


def _command() -> list[str]:
    return redacted(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])).split(" ")


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _device() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
    }
