"""Maps in the report: which photographs, in what order, and whether colours lie where the network saw them."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from retinalab.metrics import write_table
from retinalab.metrics.tables import read_table
from retinalab.protocol import SCALES
from retinalab.report import write_report
from retinalab.report.gallery import gallery
from retinalab.report.maps import MapSection, drawing, map_section

MakeRun = Callable[..., Path]
SCALE = SCALES["referable"]


def predictions(**columns: Any) -> pd.DataFrame:
    """Worked by hand: e wrong 0.99, a wrong 0.9, d wrong 0.7; b right 0.8, c right 0.6."""
    rows = [("a", 0, 0.9), ("b", 0, 0.2), ("c", 1, 0.6), ("d", 1, 0.3), ("e", 1, 0.01)]
    out = pd.DataFrame(rows, columns=["image", "dr", "dr_p1"]).assign(set="s", fold=-1, seed=0)
    out = out.assign(dr_p0=1 - out["dr_p1"], dr_grade=(out["dr_p1"] >= 0.5).astype(int))
    return out.assign(**columns)


def map_row(image: str, name: str, values: np.ndarray, **columns: Any) -> dict[str, Any]:
    height, width = values.shape
    return {
        "image": image, "set": "s", "part": "test", "fold": -1, "seed": 0, "map": name,
        "height": height, "width": width, "native_height": height, "native_width": width, "extent": 1.0,
        "peak": float(values.max()), "values": (values * 255).round().astype(np.uint8).tobytes(), **columns,
    }  # fmt: skip


def flat(image: str, name: str, value: float, **columns: Any) -> dict[str, Any]:
    return map_row(image, name, np.full((2, 2), value), **columns)


def grey(_: str, __: str) -> np.ndarray:
    return np.full((320, 320, 3), 120, np.uint8)


def section(
    rows: list[dict[str, Any]], table: pd.DataFrame, count: int = 8, picture: Any = grey
) -> MapSection:
    shown = [gallery(table[table["dr"] >= 0], "dr", SCALE, None, count)]
    found = map_section(drawing(pd.DataFrame(rows), table, {"dr": SCALE}, picture), shown)
    assert found is not None
    return found


def decoded(source: str) -> np.ndarray:
    head, _, body = source.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))).astype(int)


def expected_colour(value: float, under: int) -> np.ndarray:
    """Matplotlib's viridis at 45 % over grey."""
    colour = np.array(mpl.colormaps["viridis"](value)[:3]) * 255
    return 0.55 * under + 0.45 * colour


def test_the_gallerys_photographs_and_those_where_a_map_is_strongest_stand_once() -> None:
    peaks = {"a": 0.3, "b": 0.2, "c": 0.9, "d": 0.1, "e": 0.5}
    rows = [flat(image, "one", value) for image, value in peaks.items()]
    rows += [flat(image, "two", 1 - value) for image, value in peaks.items()]
    found = section(rows, predictions(), count=1)
    assert [(g.title, [r.image for r in g.rows], g.above) for g in found.groups] == [
        ("DR: most certain and wrong", ["e"], 0),
        ("DR: most certain and right", ["b"], 0),
        ("where a map is strongest", ["c", "d"], 0),
    ]
    c, d = found.groups[2].rows
    assert (c.strongest, d.strongest) == ("one", "two")
    assert [(o.name, o.peak) for o in c.overlays] == [("one", "0.90"), ("two", "0.10")]
    assert c.verdicts == ["DR reference: 1 referable, predicted: 1 referable"]
    assert d.verdicts == ["DR reference: 1 referable, predicted: 0 not referable"]
    whole = section(rows, predictions())
    assert [(len(g.rows), g.above) for g in whole.groups] == [(3, 0), (2, 0), (0, 2)]


def test_the_map_of_the_shown_seed_and_fold_is_taken() -> None:
    table = pd.concat([predictions(fold=0), predictions(fold=1, dr_p1=0.05, dr_p0=0.95, dr_grade=0)])
    table = pd.concat([table, table.assign(seed=1)])
    rows = [
        flat(image, "one", 0.1 + 0.2 * fold + 0.1 * seed, fold=fold, seed=seed)
        for image in "abcde" for fold in (0, 1) for seed in (0, 1)
    ]  # fmt: skip
    found = section(rows, table)
    wrong, right = ({row.image: row.overlays[0].peak for row in group.rows} for group in found.groups[:2])
    assert wrong == {"e": "0.10", "c": "0.30", "d": "0.30", "a": "0.10"}
    assert right == {"a": "0.30", "b": "0.30", "c": "0.10"}


def test_unknown_references_absent_predictions_and_values_that_are_no_numbers() -> None:
    rows = [flat("x", "one", 0.5), flat("b", "one", 0.25, peak=np.nan)]
    found = section(rows, predictions(dr=[0, -1, 1, 1, 1]))
    assert found.groups[0].rows == []
    last = found.groups[-1].rows
    assert [(row.image, row.verdicts) for row in last] == [("x", [])]
    table = predictions(image=["x", "b", "c", "d", "e"], dr=-1)
    found = section([flat("x", "one", 0.5)], table)
    assert found.groups[-1].rows[0].verdicts == ["DR reference: unknown, predicted: 1 referable"]
    only = section([flat("e", "one", 0.25, peak=np.nan)], predictions())
    assert [row.overlays[0].peak for row in only.groups[0].rows] == ["undefined"]


def test_coarse_maps_are_drawn_in_their_own_cells() -> None:
    values = np.arange(16).reshape(4, 4) / 15
    drawn = decoded(
        section([map_row("e", "one", values)], predictions()).groups[0].rows[0].overlays[0].source
    )
    assert drawn.shape == (160, 160, 3)
    for row in range(4):
        for column in range(4):
            cell = drawn[40 * row + 2 : 40 * row + 38, 40 * column + 2 : 40 * column + 38]
            byte = round(values[row, column] * 255) / 255
            assert np.abs(cell - expected_colour(byte, 120)).max() <= 6


def test_a_central_square_lies_where_the_network_saw_it() -> None:
    row = map_row("e", "one", np.ones((7, 7)), extent=0.75)
    found = section([row], predictions())
    assert found.central == "75 %"
    drawn = decoded(found.groups[0].rows[0].overlays[0].source)
    inside, outside = expected_colour(1.0, 120), np.full(3, 60.0)
    for place in (24, 80, 136):
        assert np.abs(drawn[80, place] - inside).max() <= 6
        assert np.abs(drawn[place, 80] - inside).max() <= 6
    for place in (0, 15, 144, 159):
        assert np.abs(drawn[80, place] - outside).max() <= 6
        assert np.abs(drawn[place, 80] - outside).max() <= 6


def test_a_reduced_map_is_drawn_smoothly_and_says_so() -> None:
    values = np.tile(np.linspace(0, 1, 32), (32, 1))
    large = map_row("e", "fine", values, native_height=512, native_width=512)
    found = section([large, flat("e", "coarse", 0.5)], predictions())
    assert found.sizes == [
        "fine: 512 × 512 places, kept as the means of 32 × 32 areas and drawn smoothly.",
        "coarse: 2 × 2 places, each drawn as its own rectangle.",
    ]
    green = decoded(found.groups[0].rows[0].overlays[0].source)[80, :, 1]
    assert np.abs(np.diff(green)).max() <= 3


def test_without_pictures_maps_lie_on_plain_grey() -> None:
    found = section([flat("e", "one", 1.0)], predictions(), picture=None)
    row = found.groups[0].rows[0]
    assert row.source == ""
    assert np.abs(decoded(row.overlays[0].source)[80, 80] - expected_colour(1.0, 96)).max() <= 6


def test_the_legend_goes_from_the_least_to_the_greatest() -> None:
    drawn = decoded(section([flat("e", "one", 1.0)], predictions()).legend)[6]
    for place, value in ((1, 0.0), (128, 0.5), (254, 1.0)):
        assert np.abs(drawn[place] - expected_colour(value, 96)).max() <= 6


def with_maps(folder: Path, names: tuple[str, ...]) -> Path:
    table = read_table(folder / "predictions.parquet", "predictions")
    draw = np.random.default_rng(0)
    rows = [
        map_row(row["image"], name, draw.random((4, 4)), set=row["set"], part=row["part"], fold=row["fold"],
                seed=row["seed"])
        for _, row in table.iterrows() for name in names
    ]  # fmt: skip
    write_table(pd.DataFrame(rows), folder / "maps.parquet", "maps")
    return folder


def test_every_test_set_has_its_maps_and_the_page_stays_small(make_run: MakeRun) -> None:
    names = ("<b>one</b>", "two", "three", "four")
    folder = with_maps(make_run(sets=("made", "messidor2"), seeds=(0, 1), diseases={"dr": "icdr5"}), names)
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (160, 160, 3), dtype=np.uint8)
    page = write_report(folder, lambda *_: noise).read_text()
    assert page.count("<h3>Maps over the photographs</h3>") == 2
    assert page.count("DR: most certain and wrong</h4>") == 2
    assert "<b>one" not in page
    assert len(re.findall(r"<span>&lt;b&gt;one&lt;/b&gt; \d\.\d\d</span>", page)) >= 2 * 16
    plain = write_report(folder, grey).read_text()
    assert len(plain) < 1_000_000


@pytest.mark.parametrize("kept", [False, True])
def test_a_run_without_graded_photographs_still_shows_its_maps(make_run: MakeRun, kept: bool) -> None:
    folder = make_run()
    if kept:
        with_maps(folder, ("one",))
    (folder / "predictions.parquet").unlink()
    page = write_report(folder, grey).read_text()
    assert ("where a map is strongest" in page) == kept
    assert ("Maps over the photographs" in page) == kept


def test_a_map_that_is_scaled_by_itself_is_no_stronger_than_another() -> None:
    rows = [flat(image, "own", value) for image, value in (("a", 0.3), ("c", 0.9))]
    rows += [flat(image, "scaled", 1.0) for image in "abe"] + [flat("d", "scaled", 0.0)]
    captions = {"scaled": "what raises it", "absent": "of another set"}
    table = predictions()
    shown = [gallery(table, "dr", SCALE, None)]
    found = map_section(drawing(pd.DataFrame(rows), table, {"dr": SCALE}, grey, captions), shown)
    assert found is not None
    assert found.captions == ["scaled: what raises it"]
    assert found.sizes == ["own: 2 × 2 places, each drawn as its own rectangle."]
    drawn = {row.image: row for group in found.groups for row in group.rows}
    assert {image: row.strongest for image, row in drawn.items() if row.strongest} == {"c": "own"}
    peaks = {(image, one.name): one.peak for image, row in drawn.items() for one in row.overlays}
    assert peaks == {
        ("a", "own"): "0.30", ("c", "own"): "0.90", ("a", "scaled"): "", ("b", "scaled"): "", ("e", "scaled"): "",
        ("d", "scaled"): "(empty)",
    }  # fmt: skip
    alone = map_section(drawing(pd.DataFrame(rows[2:]), table, {"dr": SCALE}, grey, captions), shown)
    assert alone is not None
    assert [group.title for group in alone.groups] == [
        "DR: most certain and wrong", "DR: most certain and right",
    ]  # fmt: skip
