"""The command that writes a finished run's networks to a file for other programs."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, cast

from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.export.write import Exported, Format

__all__ = ["add_export_arguments", "export"]

_SUFFIX = {"onnx": ".onnx", "torch": ".pt2"}


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``retinalab export``."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder of a finished run, or one of its checkpoints"
    )
    parser.add_argument(
        "--to",
        required=True,
        type=lambda word: "torch" if word == "pt2" else word,
        choices=tuple(_SUFFIX),
        help="onnx, or torch (also pt2) for a program of torch.export (.pt2)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="file to write; default: model.onnx or model.pt2 in the run"
    )
    parser.add_argument("--stage", help="networks of this stage only; default: all that predict asks")
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        default="best",
        help="the one that the run's figures were measured with, or that of the last epoch",
    )


def export(known: argparse.Namespace) -> int:
    """Write the file, and print how it compares."""
    suffix = _SUFFIX[known.to]
    folder = known.run if known.run.is_dir() else known.run.parent
    out: Path = known.out or folder / f"model{suffix}"
    if out.suffix != suffix:
        raise RetinalabError(f"--out {out} does not end in {suffix}, as --to {known.to} does. Rename it.")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise RetinalabError(f"Cannot write {out}. Name a file in a folder that exists.")

    from retinalab.export.write import export_run
    from retinalab.predict.finished import read_finished

    run = read_finished(known.run, known.checkpoint)
    print("tracing the networks and holding them against the run, which takes a while", file=sys.stderr)
    _print(export_run(run, cast("Format", known.to), out, known.stage), known.to)
    return 0


def _print(made: Exported, to: str) -> None:
    mean = f", the mean of {made.networks} networks" if made.networks > 1 else ""
    text = f"Held against the run's networks (float32) on {made.photographs}:"
    print("\n".join(textwrap.wrap(text, 80)) + "\n")
    for one in made.compared:
        grade = f"same grade in {one.photographs - (one.differing or 0)} of {one.photographs}"
        print(
            f"  {one.name:<24} {grade if one.differing is not None else f'largest difference {one.largest:.1e}'}"
        )
    megabytes = made.path.stat().st_size / 1e6
    print(f"\nWritten: {made.path} ({to}, {megabytes:.1f} MB{mean})")
    licences = {
        f"{name}: {entry['licence']}" for name, entry in made.metadata["data"].items() if entry["licence"]
    }
    for line in sorted(licences):
        print(f"Licence of the data: {line}")
    print("\nResearch use only: not for diagnosis.")
