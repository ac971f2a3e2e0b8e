"""CLPI's Figure 7 on test photographs with lesion masks: true lesions, predicted units, two class activation maps.

    make exp PAPER=clpi
    make exp PAPER=clpi ARGS='grading.start_from=null grading.task.statistics=update grading.task.generator_rate=1'
    python experiments/bench/clpi_figure7.py RUN --minus RUN --out FOLDER
    python experiments/bench/clpi_figure7.py RUN --minus RUN --image IDRiD_55 IDRiD_57 --out FOLDER

The first run is CLPI; the second, CLPI-, has not learned from lesion patches. Writes one picture for each photograph
into FOLDER; without --image, of some with every kind of lesion and few of each. Photographs that either run has learned
from are never taken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from retinalab_clpi.figure7 import read_pair
from retinalab_clpi.figure7_drawing import draw_figure7

from retinalab.errors import RetinalabError
from retinalab.records import photograph_name


def main(argv: Sequence[str] | None = None) -> None:
    """Read both runs, draw the photographs, print the paths."""
    options = arguments(argv)
    try:
        pair = read_pair(options.run, options.minus)
        images = pair.named(options.image) if options.image else pair.telling(options.count)
        options.out.mkdir(parents=True, exist_ok=True)
        for image in images:
            path = options.out / f"figure7-{photograph_name(image)}.png"
            draw_figure7(pair, image, path)
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
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run of CLPI")
    parser.add_argument(
        "--minus", type=Path, metavar="RUN", required=True, help="one without lesion patches (CLPI-)"
    )
    parser.add_argument("--image", nargs="+", metavar="NAME", help="test photographs of the first run")
    parser.add_argument("--count", type=int, default=3, help="of photographs where none is named")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the pictures")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
