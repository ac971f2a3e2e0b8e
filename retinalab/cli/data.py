"""Commands on data sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from retinalab.counted import counted
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from retinalab.records import Records

__all__ = ["data_index", "data_sets", "data_synth", "write_csv"]


def data_sets(known: argparse.Namespace) -> int:
    """List the data sets that can be read."""
    from retinalab.data.sets import set_class, set_names

    for name in set_names():
        info = set_class(name).info
        print(f"{name:16s}{info.title}\n{'':16s}{info.licence}")
    return 0


def data_index(known: argparse.Namespace) -> int:
    """Read a data set's labels and sum them up."""
    records = _records(known)
    table = records.table
    named = table.loc[table["patient"] != "", "patient"].nunique()
    patients = counted(named, "patient") if named else "patients unknown"
    print(f"{counted(len(table), 'photograph')} of {table['set'].iloc[0]}, {patients}")
    for disease in ("dr", "dme"):
        counts = sorted(table[disease].value_counts().to_dict().items())
        if [grade for grade, _ in counts] != [-1]:
            listed = (f"{'unknown' if grade == -1 else grade}: {count}" for grade, count in counts)
            print(f"{disease}: {', '.join(listed)}")
    for note in records.notes:
        print(note)
    if known.out:
        write_csv(table, known.out, known.root)
    return 0


def write_csv(table: pd.DataFrame, path: Path, root: Path | None) -> None:
    """Write a table outside the data set's folder.

    Raises:
        RetinalabError: it lies in the folder of the data set, or cannot be written.
    """
    if root is not None and path.resolve().is_relative_to(root.resolve()):
        raise RetinalabError(
            f"{path} lies in the folder of the data set, which is never written to. Name another file."
        )
    try:
        table.to_csv(path, index=False)
    except OSError as error:
        raise RetinalabError(f"Cannot write {path}: {error.strerror or error}. Name another file.") from error


def _write_picture(path: Path, picture: np.ndarray) -> None:
    import cv2

    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise RetinalabError(f"A sheet is written as .png or .jpg, not as {path.name!r}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, picture[..., ::-1])[1].tobytes())
    except OSError as error:
        raise RetinalabError(f"Cannot write {path}: {error.strerror or error}. Name another file.") from error


def _records(known: argparse.Namespace) -> Records:
    from retinalab.data.sets import open_set
    from retinalab.overrides import overridden

    options = overridden({}, known.rest)
    return open_set(known.set, known.root, options.get("options", options), strict=known.strict).records()


def data_synth(known: argparse.Namespace) -> int:
    """Draw photographs of the synthetic world."""
    from retinalab.experiment import resolve_model
    from retinalab.synthetic import World, WorldOptions, contact_sheet, write_world

    if known.sheet is None and known.out is None:
        raise RetinalabError("retinalab data synth needs --out FOLDER (or --sheet FILE.png).")
    if known.size is not None and not 32 <= known.size <= 4096:
        raise RetinalabError(f"--size {known.size} is outside 32 to 4096 pixels.")
    if known.sheet is not None:
        _write_picture(known.sheet, contact_sheet(seed=known.seed, size=known.size or 192))
        print(known.sheet)
        return 0
    options = resolve_model(WorldOptions, {"photographs": known.count, "seed": known.seed}, "world")
    with tqdm(total=known.count, desc="drawing", unit="photo", ncols=80) as bar:
        write_world(World(options), known.out, known.size or 512, lambda done, _: bar.update(done - bar.n))
    print(f"{counted(known.count, 'drawn photograph')} in {known.out}")
    return 0
