"""The plan of a stage that makes photographs: made once, kept beside them, and followed wherever the stage goes on."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from retinalab.runner.folder import write_json
from retinalab.tasks.maker import Plan

__all__ = ["PLAN", "keep_plan", "plan_key", "seen_before"]

PLAN = "plan.parquet"
"""Name of the plan beside the photographs; ``seen.parquet`` is what the network answered, ``plan.json`` on what."""

_SEEN, _KEY = "seen.parquet", "plan.json"

_log = logging.getLogger(__name__)


def plan_key(weights: Mapping[str, Tensor], table: pd.DataFrame, *words: object) -> str:
    """Digest of everything that a plan follows from.

    Args:
        weights: of the network that looks.
        table: the photographs that it looks at.
        words: anything else, such as the maker's options and the seed; their text counts.
    """
    digest = hashlib.sha256(repr(words).encode())
    for name, value in weights.items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    digest.update(_digest(table.astype(str)).encode())
    return digest.hexdigest()


def seen_before(place: Path, key: str) -> pd.DataFrame | None:
    """What the network answered, as it was kept for the same key; None where it was not.

    Answers differ in their last digits with how many photographs a network takes at once, and thresholds would carry
    that into the plan: an interrupted stage goes by the answers that it began with.
    """
    return pd.read_parquet(place / _SEEN) if _kept(place).get("key") == key else None


def keep_plan(place: Path, key: str, seen: pd.DataFrame, plan: Plan, stage: str) -> None:
    """Keep a plan; photographs that lie there of another one are removed, and made anew.

    Args:
        place: folder of the stage's photographs.
        key: from :func:`plan_key`.
        seen: the network's answers.
        plan: what the maker chose by them.
        stage: its name, for the log.
    """
    described = {"key": key, "plan": _digest(plan.rows)}
    if _kept(place) == described:
        return
    if place.exists():
        _log.warning("%s: what lies in %s was made by another plan and is made anew", stage, place)
        shutil.rmtree(place)
    place.mkdir(parents=True)
    seen.to_parquet(place / _SEEN)
    plan.rows.to_parquet(place / PLAN)
    write_json(place / _KEY, described)


def _kept(place: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((place / _KEY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def _digest(table: pd.DataFrame) -> str:
    digest = hashlib.sha256(repr([*map(str, table.columns)]).encode())
    if len(table):
        digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()
