"""Which photographs a page shows, in which order they are worth explaining, and that the page shows no others."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from retinalab.protocol import SCALES
from retinalab.report import write_report
from retinalab.report.folder import RunFolder, read_run
from retinalab.report.shown import shown_keys

MakeRun = Callable[..., Path]


def folder_with(table: pd.DataFrame) -> RunFolder:
    metrics = {"test/dr/kappa": {"value": 0.0}}
    return RunFolder(
        Path(), {}, {}, metrics, {"dr": SCALES["referable"]}, table, windows=None, baselines=None, history=()
    )


def test_the_first_of_every_list_comes_first() -> None:
    """By hand: errors e, a, d; certain and wrong e, a, d; certain and right b, c. f is of validation."""
    rows = [("a", 0, 0.9), ("b", 0, 0.2), ("c", 1, 0.6), ("d", 1, 0.3), ("e", 1, 0.01)]
    table = pd.DataFrame(rows, columns=["image", "dr", "dr_p1"]).assign(set="s", part="test", seed=0, fold=2)
    other = table.assign(image="f", part="val")
    later = table.assign(seed=1, dr_p1=1 - table["dr_p1"])
    table = pd.concat([later, other, table], ignore_index=True)
    table = table.assign(dr_p0=1 - table["dr_p1"], dr_grade=(table["dr_p1"] >= 0.5).astype(int))
    assert shown_keys(folder_with(table)) == [("test", ("s", image, 2)) for image in "ebacd"]


def test_the_page_shows_these_and_no_others(make_run: MakeRun) -> None:
    folder = make_run(sets=("made", "messidor2"), seeds=(0, 1))
    keys = shown_keys(read_run(folder))
    assert len(keys) == len(set(keys))
    page = write_report(folder).read_text()
    page = page[page.index('id="errors"') : page.index('id="notes"')]
    files = re.findall(r'<span class="file">(\w+): ([^<]+)</span>', page)
    assert set(files) == {key[:2] for _, key in keys}
    assert {part for part, _ in keys} == {"test"}
