"""How well colours alone predict referable disease on real photographs: what a network has to beat.

python experiments/bench/shortcut.py ../shared/data
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from retinalab.metrics import evaluate
from retinalab.metrics.shortcut import colour_features, colour_probe
from retinalab.protocol import SCALES

ROWS = (("deepdrid", "dr", "icdr5"), ("dr600", "dr", "icdr5"), ("dr600", "maculopathy", "binary"))


def main() -> None:
    """Print a Markdown table: set, disease, split, AUC with interval, photographs, patients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data",
        type=Path,
        nargs="?",
        default=Path("../shared/data"),
        help="folder that holds deepdrid/ and dr600/ with their records.csv",
    )
    folder: Path = parser.parse_args().data
    if not folder.is_dir():
        print(f"no photographs at {folder}: not measured")
        return
    print(
        "| set | disease | split | AUC (95 % interval) | photographs | patients |\n|---|---|---|---|---|---|"
    )
    for name, disease, scale in ROWS:
        table = pd.read_csv(folder / name / "records.csv", dtype={"patient": str})
        table["set"] = name
        table[disease] = table[disease].fillna(-1).astype(int)
        features = np.concatenate(
            [colour_features(read(folder / name / image)[None]) for image in table["image"]]
        )
        splits = {"5 folds by patient": None}
        if "split" in table:
            splits["official"] = table["split"] == "train"
        for split, train in splits.items():
            predicted = colour_probe(features, table, disease, SCALES[scale], train)
            auc = evaluate(predicted, {disease: SCALES["referable"]})[f"test/{disease}/auc"]
            interval = f"{auc['value']:.3f} ({auc['low']:.3f}–{auc['high']:.3f})"
            print(f"| {name} | {disease} | {split} | {interval} | {auc['n']} | {auc['n_groups']} |")


def read(path: Path) -> np.ndarray:
    """A quarter of the size is enough for colours."""
    image = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4)
    if image is None:
        raise SystemExit(f"Cannot decode {path}.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


if __name__ == "__main__":
    main()
