"""Thousands of damaged images, label files and experiments: none may crash, hang, run code or pass for another.

For each format of photographs and of masks, ``--count`` files that are altered at random are decoded; for each data
set, as many label files and as many experiments are read. A file is *refused* in one line that names it, gives the
*same* pixels as before, or *other* pixels (a flipped bit that no decoder sees: a manifest of checksums tells it). It
must never end in another error (*crash*) or in one that names no file (*unnamed*), take longer than the limit (*slow*),
or give other pixels after truncation, a header of another size or the content of another kind (*silent*). Not known is
what stands over in a compressed TIFF or lossy WebP file whose header tells a smaller size.

Figures are written after every row; the same command again goes on with the rows that are left.

    python experiments/bench/fuzz.py --count 2000
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from mutations import FORMATS, IMAGE_KINDS, SILENT, TEXT_KINDS, altered_image, altered_text

from retinalab.data.decode import decode, read_mask
from retinalab.data.sets import open_set, set_names
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.predict.pixels import pixels_of, size_of
from retinalab.testing import write_fake_set

__all__ = ["LIMIT", "Labelled", "experiment_case", "image_case", "main"]

LIMIT = 5.0
"""Seconds of the clock for one case; a busy machine needs some."""
_FAULTS = ("crash", "unnamed", "slow", "silent", "climbs", "ran")
_EXPERIMENT = """\
name: fuzzed
paper: baseline
protocol: {diseases: {dr: icdr5}, split: held-out}
data:
  set: SET
  root: ROOT
  size: 64
  options: {}
  augment: {rotation: 20}
stages:
  train:
    task: {name: baseline, backbone: resnet18, learning_rate: 1.0e-3}
    trainer: {max_epochs: 1, precision: 32-true}
test: {sets: [], readers: null}
"""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise ``TimeoutError`` in what takes longer."""

    def late(_: int, __: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(path: Path, read: Callable[[], str], name: str = "") -> tuple[str, str]:
    """What reading came to, and the error's words, which must hold the path or the name (by default the path's)."""
    try:
        with limited(LIMIT), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(), ""
    except RetinalabError as error:
        named = str(path) in str(error) or (name or path.name) in str(error)
        return ("refused" if named else "unnamed"), str(error)
    except TimeoutError:
        return "slow", f"over {LIMIT} s"
    except Exception as error:  # noqa: BLE001 - what it is, is the question
        return "crash", f"{type(error).__name__}: {error}"


def image_case(folder: Path, format_: str, kind: str, seed: int, mask: bool = False) -> tuple[str, str]:
    """Decode one altered image; one of refused, same, other, silent, crash and slow, and why."""
    whole, damaged = altered_image(format_, kind, seed, mask)
    path = folder / "eye"
    read = read_mask if mask else pixels_of if format_ == "DICOM" else decode
    path.write_bytes(whole)

    def before() -> str:
        nonlocal expected
        expected = read(path)
        return "read"

    expected: np.ndarray | None = None
    found, why = outcome(path, before)
    if kind == "mode" or found != "read":
        return (found if kind == "mode" or found == "slow" else "crash"), why
    path.write_bytes(damaged)

    def after() -> str:
        pixels = read(path)
        size_of(path)
        same = expected is not None and pixels.shape == expected.shape and bool((pixels == expected).all())
        return "same" if same else "silent" if kind in SILENT else "other"

    return outcome(path, after)


class Labelled:
    """A drawn copy of a data set whose label files are altered one by one and put back.

    Args:
        name: of the data set.
        folder: an empty one.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.root = write_fake_set(name, folder, 6)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        labels = [
            path for path in files if path.suffix.lower() in (".csv", ".txt", ".xls", ".meta", ".gnd", ".gz")
        ]
        self.files = labels[:4]
        self.images = [path for path in files if path not in labels]

    def case(self, kind: str, seed: int) -> tuple[str, str]:
        """Read the set with one label file altered, or with one file renamed where the layout has no label file."""
        draw = random.Random(f"{self.name} {kind} {seed}")
        if not self.files:
            return self._renamed(draw)
        file = draw.choice(self.files)
        whole = file.read_bytes()
        file.write_bytes(altered_text(whole, kind, seed))
        try:
            return outcome(self.root, self._read, file.name)
        finally:
            file.write_bytes(whole)

    def _renamed(self, draw: random.Random) -> tuple[str, str]:
        file = draw.choice(self.images)
        name = altered_text(
            file.name.encode(), draw.choice(("flip", "cell", "removed")), draw.randrange(10**6)
        )
        target = file.parent / name.replace(b"/", b"").replace(b"\0", b"")[:200].decode(
            "utf-8", "surrogateescape"
        )
        if target == file.parent or target.name in (".", "..") or target.exists():
            return "read", ""
        file.rename(target)
        try:
            return outcome(self.root, self._read)
        finally:
            target.rename(file)

    def _read(self) -> str:
        records = open_set(self.name, self.root).records()
        columns = ["image", *(c for c in records.table if str(c).startswith("mask_"))]
        paths = [str(path) for column in columns for path in records.table[column] if path]
        return (
            "climbs" if any(p.startswith("/") or ".." in p.split("/") or "\0" in p for p in paths) else "read"
        )


def experiment_case(folder: Path, name: str, kind: str, seed: int) -> tuple[str, str]:
    """Load one altered experiment of a data set."""
    path, touched = folder / "fuzzed.yaml", folder / "touched"
    text = _EXPERIMENT.replace("SET", name).replace("ROOT", str(folder))
    path.write_bytes(
        altered_text(text.encode(), kind, seed).replace(b"[true]", f"['touch {touched}']".encode())
    )
    found, why = outcome(path, lambda: str(load_experiment("baseline", str(path)) and "read"))
    return ("ran", str(path)) if touched.exists() else (found, why)


def main(words: Sequence[str] | None = None) -> int:
    """Run every case that is left, print a table and write the figures; 1 where any case failed."""
    from measure import FOLDER, write

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="cases of each format and each data set")
    parser.add_argument("--only", default="", help="rows whose name holds this word")
    parser.add_argument("--out", type=Path, default=FOLDER / "fuzz.json")
    known = parser.parse_args(words)
    logging.disable(logging.WARNING)
    done = _left_by(known.out, known.count)
    with tempfile.TemporaryDirectory() as place:
        for row, case, kinds in _rows(Path(place)):
            if known.only in row and row not in done:
                start = time.perf_counter()
                counted, faults = _row(row, case, kinds, known.count)
                seconds = round(time.perf_counter() - start, 1)
                done[row] = {"outcomes": counted, "faults": faults, "seconds": seconds}
                write(known.out, {"count": known.count, "rows": done})
            if row in done and known.only in row:
                shown = ", ".join(f"{n:,} {name}" for name, n in done[row]["outcomes"].items())
                print(f"{row:24s} {known.count:>5,}  {shown}", flush=True)
    failed = [fault for row in done.values() for fault in row["faults"]]
    print(*failed[:40], sep="\n")
    return int(bool(failed))


def _left_by(out: Path, count: int) -> dict[str, Any]:
    """Rows without a fault that an earlier command of as many cases wrote."""
    known = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    rows = known.get("rows", {}) if known.get("count") == count else {}
    return {name: row for name, row in rows.items() if not row["faults"]}


def _row(
    row: str, case: Callable[[str, int], tuple[str, str]], kinds: Sequence[str], count: int
) -> tuple[dict[str, int], list[str]]:
    """How often each outcome was met, and the cases that failed."""
    counted: Counter[str] = Counter()
    faults = []
    for seed in range(count):
        kind = kinds[seed % len(kinds)]
        found, why = case(kind, seed)
        counted[found] += 1
        if found in _FAULTS:
            faults.append(f"{row}, {kind} {seed}: {found}: {' '.join(why.split())[:200]}")
    return dict(sorted(counted.items())), faults


def _rows(folder: Path) -> Iterator[tuple[str, Callable[[str, int], tuple[str, str]], Sequence[str]]]:
    for mask in (False, True):
        for name in FORMATS if mask else (*FORMATS, "DICOM"):
            row = f"{'mask' if mask else 'photograph'} {name}"
            yield row, lambda kind, seed, n=name, m=mask: image_case(folder, n, kind, seed, m), IMAGE_KINDS  # type: ignore[misc]
    for name in set_names():
        if name != "synthetic":
            (below := folder / name).mkdir()
            yield f"labels {name}", Labelled(name, below).case, TEXT_KINDS
        yield (
            f"experiment {name}",
            lambda kind, seed, n=name: experiment_case(folder, n, kind, seed),  # type: ignore[misc]
            TEXT_KINDS,
        )


if __name__ == "__main__":
    sys.exit(main())
