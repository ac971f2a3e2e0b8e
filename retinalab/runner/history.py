"""The history of logged metrics, kept whole over interruptions: Lightning's logger starts its file anew."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

__all__ = ["join_history", "set_aside"]

_FILE = "metrics.csv"


def set_aside(folder: Path) -> None:
    """Put the file of an earlier session beside, before a logger would delete it.

    Args:
        folder: ``history/<stage>`` of a run.
    """
    current = folder / _FILE
    if current.is_file():
        os.replace(current, folder / f"session-{len(_sessions(folder)) + 1}.csv")


def join_history(folder: Path) -> None:
    """Write the sessions' rows as one file; what was trained again counts as in the later session."""
    sessions = [*_sessions(folder), *[path for path in [folder / _FILE] if path.is_file()]]
    if len(sessions) < 2:
        for path in sessions:
            os.replace(path, folder / _FILE)
        return
    whole = pd.DataFrame()
    for rows in (pd.read_csv(path, dtype=str, keep_default_na=False) for path in sessions):
        kept = whole[_steps(whole) < _steps(rows).min()] if len(whole) and len(rows) else whole
        whole = pd.concat([frame for frame in (kept, rows) if len(frame)], ignore_index=True).fillna("")
    temporary = folder / f".{_FILE}.{os.getpid()}.tmp"
    whole.to_csv(temporary, index=False)
    os.replace(temporary, folder / _FILE)
    for path in _sessions(folder):
        path.unlink()


def _steps(rows: pd.DataFrame) -> pd.Series:
    return rows["step"].astype(int)


def _sessions(folder: Path) -> list[Path]:
    return sorted(folder.glob("session-*.csv"), key=lambda path: int(path.stem.rpartition("-")[2]))
