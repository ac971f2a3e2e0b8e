"""How well the label is predicted without looking at the retina, on real photographs: what a network has to beat.

python experiments/bench/shortcut.py ../shared/data
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from retinalab.data.decode import decode
from retinalab.data.fov import crop_to_square, field_of_view
from retinalab.metrics.shortcut import frame_of, photograph_features, probe
from retinalab.protocol import SCALES

SETS = {"deepdrid": {"dr": "icdr5"}, "dr600": {"dr": "icdr5", "maculopathy": "binary"}}
SIZE = 256


def main() -> None:
    """Print a Markdown table: set, disease, split, group of features, AUC with interval, kappa, strongest features."""
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
    cv2.setNumThreads(1)
    print(
        "| set | disease | split | features | AUC (95 % interval) | kappa | photographs | patients | strongest |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, scales in SETS.items():
        table = pd.read_csv(folder / name / "records.csv", dtype={"patient": str}).assign(set=name)
        for disease in scales:
            table[disease] = table[disease].fillna(-1).astype(int)
        features = np.stack([read(folder / name / image) for image in table["image"]])
        splits = {"5 folds by patient": None}
        if "split" in table:
            splits["official"] = table["split"] == "train"
        for split, train in splits.items():
            for row in probe(features, table, {d: SCALES[scale] for d, scale in scales.items()}, train):
                auc = f"{row['auc']:.3f} ({row['low']:.3f}–{row['high']:.3f})"
                kappa = "" if row["kappa"] is None else f"{row['kappa']:.3f}"
                print(
                    f"| {name} | {row['disease']}, {row['target']} | {split} | {row['features']} | {auc} | {kappa} "
                    f"| {row['n']} | {row['n_groups']} | {row['strongest']} |"
                )


def read(path: Path) -> np.ndarray:
    """Features of one file, from the photograph and its working image."""
    photograph = decode(path, SIZE)
    field = field_of_view(photograph, str(path))
    return photograph_features(crop_to_square(photograph, field, SIZE), frame_of(photograph, field), path)


if __name__ == "__main__":
    main()
