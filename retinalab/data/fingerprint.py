"""Digests that tell whether two runs saw the same photographs and labels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd

from retinalab.data.sets import PhotographSet
from retinalab.records import LESIONS, Records

__all__ = ["content_key", "fingerprint"]


def content_key(source: PhotographSet, records: Records, masks: bool) -> str:
    """Digest of what preparation reads: names, sizes and times of the files, or the rules by which they are drawn."""
    digest = hashlib.sha256()
    if source.drawn:
        digest.update(json.dumps([source.drawn, records.table["image"].tolist()]).encode())
        return digest.hexdigest()
    columns = ["image", *(f"mask_{lesion}" for lesion in LESIONS if masks)]
    root = records.roots[records.table["set"].iloc[0]]
    for column in columns:
        for name in records.table[column]:
            digest.update(f"{name}\0{_stamp(root / name) if name else ''}\n".encode())
    return digest.hexdigest()


def fingerprint(source: PhotographSet, records: Records) -> str:
    """Twelve hexadecimal digits over the photographs' names and file sizes and every record column."""
    digest = hashlib.sha256(source.drawn.encode())
    digest.update(pd.util.hash_pandas_object(records.table.astype(str), index=False).to_numpy().tobytes())
    if not source.drawn:
        sizes = (_size(records.path(row)) for row in range(len(records)))
        digest.update(",".join(map(str, sizes)).encode())
    return digest.hexdigest()[:12]


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "absent"
    return f"{status.st_size} {status.st_mtime_ns}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
