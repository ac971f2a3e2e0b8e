"""Reading and quickly checking a set of EyePACS's size: 35,126 photographs by name, none of them opened.

    python experiments/bench/index_speed.py --out runs/bench/index_speed.json

Writes a label file with the published grades and a sparse file of 0.6 MB for every photograph into a temporary
folder. Wall time, medians over repeats, the rows measured in turn; the ratio is to reading the label file with pandas
and listing the folder. A command counts from its start to its end, imports included. Goals: index 5 s, quick check
30 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from measure import FOLDER, interleaved, write

from retinalab.data.sets import open_set

_PUBLISHED = (25810, 2443, 5292, 873, 708)
_BYTES = 620_000
_BASE = "read the labels and list the folder"
_GOALS = {"retinalab data index": 5.0, "retinalab data check --quick": 30.0}


def write_set(root: Path, photographs: int) -> None:
    """Both eyes of patients 1, 2, ... with the published shares of grades, in Kaggle's layout."""
    share = np.cumsum(_PUBLISHED) / sum(_PUBLISHED)
    grades = np.searchsorted(share, (np.arange(photographs) + 0.5) / photographs)
    np.random.default_rng(0).shuffle(grades)
    names = [f"{index // 2 + 1}_{('left', 'right')[index % 2]}" for index in range(photographs)]
    pd.DataFrame({"image": names, "level": grades}).to_csv(root / "trainLabels.csv", index=False)
    (root / "train").mkdir()
    for name in names:
        with (root / "train" / f"{name}.jpeg").open("wb") as file:
            file.truncate(_BYTES)


def plainly(root: Path) -> None:
    """What no reader can do without."""
    pd.read_csv(root / "trainLabels.csv", dtype=str)
    with os.scandir(root / "train") as entries:
        sorted(entry.name for entry in entries)


def command(root: Path, *words: str) -> None:
    """One command line of retinalab; a check that finds a fault exits with status 1."""
    made = [sys.executable, "-m", "retinalab.cli", "data", *words, "--root", str(root)]
    done = subprocess.run(made, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(made)}: exit status {done.returncode}\n{done.stderr[-1000:]}")


def measure(root: Path, repeats: int) -> dict[str, list[float]]:
    """Seconds of every row and repeat, the rows in turn."""
    rows: dict[str, Callable[[], object]] = {
        _BASE: lambda: plainly(root),
        "records, in this process": lambda: open_set("eyepacs", root).records(),
        "retinalab data index": lambda: command(root, "index", "eyepacs"),
        "retinalab data check --quick": lambda: command(root, "check", "eyepacs", "--quick"),
    }
    return interleaved(rows, repeats, warm=0)


def main(words: list[str] | None = None) -> None:
    """Print a Markdown table of the medians and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=int, default=sum(_PUBLISHED))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the temporary folder is made")
    parser.add_argument("--out", type=Path, default=FOLDER / "index_speed.json", help="JSON file")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        write_set(Path(name), options.photographs)
        taken = measure(Path(name), options.repeats)
    medians = {name: float(np.median(seconds)) for name, seconds in taken.items()}
    print(f"{options.photographs:,} photographs, medians of {options.repeats}")
    print("| row | seconds | ratio | goal |\n|---|---|---|---|")
    for name, seconds in medians.items():
        goal = f"{_GOALS[name]:g} s" if name in _GOALS else ""
        print(f"| {name} | {seconds:.2f} | {seconds / medians[_BASE]:.1f} | {goal} |")
    result = {
        "photographs": options.photographs,
        "goals": _GOALS,
        "medians": medians,
        "seconds": taken,
    }
    write(options.out, result)


if __name__ == "__main__":
    main()
