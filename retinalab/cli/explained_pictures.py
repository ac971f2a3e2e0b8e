"""What ``retinalab explain --images`` does: a page of maps over a researcher's own photographs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from retinalab.cli.explained import RESEARCH, run_banners, whole
from retinalab.cli.explained_summary import WIDTH
from retinalab.counted import counted
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.explain.saliency import Method
    from retinalab.predict.explained import Explained

__all__ = ["MOST", "pictured"]

MOST = 500
"""Photographs of a page; more are longer than anybody scrolls."""


def pictured(
    out: Path,
    runs: Sequence[Explained],
    disease: str,
    methods: Sequence[Method] | None,
    gate: float,
    inputs: Sequence[str],
    limit: int | None,
) -> int:
    """Make maps of photographs and write the page; the folder appears whole or not at all.

    Args:
        out: the folder.
        runs: whose first networks are asked.
        disease: whose grade is explained.
        methods: of the maps; None: all that a network has.
        gate: floor of ``gmsm``.
        inputs: files, folders, globs or lists.
        limit: the first so many.

    Raises:
        RetinalabError: nothing to explain, too much for a page, or a network without a map that is asked for.
    """
    import torch

    from retinalab.predict.inputs import Inputs
    from retinalab.predict.pictured import Pictures
    from retinalab.report.saliency import write_pictures_page
    from retinalab.report.saliency_tiles import tile

    given = Inputs(inputs)
    total = given.survey().count
    count = total if limit is None else min(limit, total)
    if count > MOST:
        raise RetinalabError(
            f"{count:,} photographs are too many for one page (at most {MOST}). Give --limit N, or fewer inputs."
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures = Pictures(runs, disease, methods, gate, device)
    photographs = islice(iter(given), count)
    with tqdm(total=count, unit="photo", ncols=WIDTH, disable=None) as bar:
        tiles, refused = [], 0
        for one in pictures.shown(photographs):
            tiles.append(tile(one))
            refused += not one.maps
            bar.update()
    of = "" if count == total else f", the first of {total:,}"
    left = f"; {counted(refused, 'picture')} of something else, or not readable" * bool(refused)
    about = [
        (term, f"{run.name}, stage {run.stage}: {run.run.path.resolve().name}")
        for run, term in zip(runs, ("Run", *("Against",) * len(runs)), strict=False)
    ]
    about.append(("Photographs", f"{counted(count, 'photograph')}{of}{left}"))
    about.append(("Explained", f"{disease}; gate of gmsm {gate:g}"))
    if pictures.notes:
        about.append(("Notes", "; ".join(note.rstrip(".") for note in pictures.notes)))
    title = " against ".join(run.name for run in runs)
    with whole(out) as folder:
        write_pictures_page(title, about, [RESEARCH, *run_banners(runs)], tiles, folder / "maps.html")
    print(f"{counted(count - refused, 'photograph')} explained{left}\n\nPage: {out / 'maps.html'}")
    print("\nResearch use only: not for diagnosis.")
    return 0
