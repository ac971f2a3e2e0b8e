"""SiAN's Figure 5 on test photographs with lesion masks: true lesions, ABN's attention, SiAN's lesion maps.

    make exp PAPER=sian
    make exp PAPER=sian EXP=synthetic-grades ARGS='train.task.variant=abn'
    python experiments/bench/sian_figure5.py RUN --abn RUN --out FOLDER
    python experiments/bench/sian_figure5.py RUN --abn RUN --image 10003_left --out FOLDER

The first run is SiAN, or Lesion-Concat with a network that maps lesions; the second grades with ABN. Writes one picture
for each photograph into FOLDER; without --image, of each reference grade in turn the one with most kinds of lesions.
Photographs that either run has learned from are never taken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from retinalab_sian.figure5 import read_compared
from retinalab_sian.figure5_drawing import draw_figure5

from retinalab.errors import RetinalabError
from retinalab.records import photograph_name


def main(argv: Sequence[str] | None = None) -> None:
    """Read both runs, draw the photographs, print the paths."""
    options = arguments(argv)
    try:
        compared = read_compared(options.run, options.abn)
        images = compared.named(options.image) if options.image else compared.telling(options.count)
        options.out.mkdir(parents=True, exist_ok=True)
        for image in images:
            path = options.out / f"figure5-{photograph_name(image)}.png"
            draw_figure5(compared, image, path)
            print(path)
    except RetinalabError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    except OSError as error:
        print(f"Cannot write into {options.out} ({error}). Name another folder with --out.", file=sys.stderr)
        raise SystemExit(2) from error


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run of SiAN")
    parser.add_argument("--abn", type=Path, metavar="RUN", required=True, help="one that grades with ABN")
    parser.add_argument("--image", nargs="+", metavar="NAME", help="test photographs of the first run")
    parser.add_argument("--count", type=int, default=5, help="of photographs where none is named")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the pictures")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
