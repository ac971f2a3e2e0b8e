"""What a stage's review says: counts by hand, anatomy where the drawn photographs have it, and a whole run's file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from retinalab.config import DataConfig
from retinalab.data.made import write_made
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets.synthetic import Synthetic
from retinalab.experiment import resolve
from retinalab.runner import Result, run
from retinalab.runner.anatomy import Anatomy, DrawnAnatomy
from retinalab.runner.modules import evaluated_parts, stage_modules
from retinalab.runner.review import changed_columns, few_sources, review
from retinalab.tasks.maker import Made

SIDE = 128


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Part:
    """Six drawn photographs at a working size."""
    source = Synthetic(options={"photographs": 6, "seed": 3})
    records = source.world.records(Path())
    cache = prepare(source, records, Preparation(SIDE, folder=tmp_path_factory.mktemp("cache")), processes=1)
    return Part("train", records, cache, np.arange(6))


def anatomy(part: Part) -> DrawnAnatomy:
    return DrawnAnatomy(DataConfig(set="synthetic", options={"photographs": 6, "seed": 3}), part)


def test_the_anatomy_lies_on_the_working_image(drawn: Part) -> None:
    found, table = anatomy(drawn), drawn.records.table
    for row in (0, 3, 5):
        here = found.of(row)
        assert here is not None
        image = drawn.cache.images(np.array([row]))[0].astype(float)
        seen = image.max(-1) > 12
        assert (here.field & seen).sum() / (here.field | seen).sum() > 0.94  # a rim of a pixel is 0.03
        x0, y0, side = drawn.cache.boxes[row]
        y, x = np.nonzero(here.disc)
        centre = [
            (table.at[row, f"disc_{axis}"] - start) * SIDE / side for axis, start in (("x", x0), ("y", y0))
        ]
        if min(centre) > 15 and max(centre) < SIDE - 15:  # not cut by the border of the field
            assert abs(x.mean() - centre[0]) < 2
            assert abs(y.mean() - centre[1]) < 2
        near = here.field & ~here.vessels & ~here.disc
        assert image[here.vessels & ~here.disc][:, 1].mean() < image[near][:, 1].mean()


def test_photographs_that_are_not_drawn_have_no_known_anatomy(drawn: Part) -> None:
    table = drawn.records.table.assign(set="table")
    part = Part("train", type(drawn.records)(table, {}, {}), drawn.cache, drawn.rows)
    assert anatomy(part).of(0) is None


class Halves(DrawnAnatomy):
    """The field is all of 4 x 4 pixels, its left half the disc, its upper row a vessel; photograph 9 is not drawn."""

    def __init__(self) -> None:
        pass

    def of(self, position: int) -> Anatomy | None:
        if position == 9:
            return None
        field, disc, vessels = np.ones((4, 4), bool), np.zeros((4, 4), bool), np.zeros((4, 4), bool)
        disc[:, :2] = True
        vessels[0] = True
        return Anatomy(field, disc, vessels)


def test_changed_pixels_are_counted_by_hand() -> None:
    changed = np.zeros((5, 4, 4), bool)
    changed[0, 0, :3] = True  # 3 pixels, all on the vessel, 2 on the disc
    changed[1, 1:3, 1:3] = True  # 4, none on the vessel, 2 on the disc
    changed[2] = True  # not measured
    changed[4, 0, 0] = True  # not drawn
    rows = pd.DataFrame({"target": [0, 1, 2, 3, 9]})
    made = Made(np.zeros((5, 4, 4, 3), np.uint8), rows, changed)
    found = changed_columns(made, np.array([True, True, False, True, True]), Halves())
    assert found["changed"].tolist() == [3, 4, 16, 0, 1]
    assert found["changed_vessels"].fillna(-1).tolist() == [3, 0, -1, -1, -1]
    assert found["changed_disc"].fillna(-1).tolist() == [2, 2, -1, -1, -1]
    assert found["disc_pixels"].fillna(-1).tolist() == [8, 8, -1, -1, -1]
    assert found["vessels_pixels"].fillna(-1).tolist() == [4, 4, -1, -1, -1]
    assert found["field_pixels"].fillna(-1).tolist() == [16, 16, -1, -1, -1]


def read(place: Path) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    found: dict[str, Any] = json.loads((place / "review.json").read_text(), parse_constant=refuse)
    return found


def module_of(result: Result, stage: str = "first") -> FundusDataModule:
    """The photographs of a stage, read again."""
    experiment = resolve(yaml.safe_load((result.folder / "experiment.yaml").read_text()))
    return stage_modules(experiment, None, 0)[stage]


def test_the_nearest_test_photograph_may_lie_in_any_set(make: Callable[..., Any], tmp_path: Path) -> None:
    experiment = make("rounds", "test.sets=[table2]", "test.options={table2: {set: table}}")
    modules = stage_modules(experiment, None, 0)
    tests = evaluated_parts(experiment, modules)
    assert {name: len(part) for name, part in tests.items()} == {"table": 8, "table2": 8}
    assert list(modules["round-1.make"].parts.tests) == ["table"]
    train = modules["round-1.make"].parts.train
    images = train.cache.images(train.rows[:3])
    table = pd.DataFrame({"dr": 1, "dme": 0, "target": range(3), "left_out": False, "changed": 5})
    write_made(tmp_path / "make", 0, images, table)
    scales = {"dr": "icdr5", "dme": "risk3"}
    counted = review(tmp_path / "make", table, modules["first"], scales, tests)["labels"]["dr"]
    assert "sources" not in counted  # a maker that cuts out of nothing
    assert counted["targets"] == [0, 3, 0, 0, 0, 0]
    told = table.assign(source=[7, 7, 9], target=[0, 0, 1], dr=[1, 1, -1], left_out=[False, False, False])
    counted = review(tmp_path / "make", told, modules["first"], scales, tests)["labels"]["dr"]
    assert counted["sources"] == counted["targets"] == [0, 1, 0, 0, 0, 1]
    bits = {}
    for name, tested in (("one", tests), ("both", tests | {"copied": train})):
        found = review(tmp_path / "make", table, modules["first"], scales, tested)
        bits[name] = found["likeness"]["made"]["quantiles"]
        assert list(found["likeness"]["tests"]) == list(tested)
    assert bits["one"]["0"] > 0
    assert bits["both"]["1"] == 0  # each is a photograph of that set


def test_grades_made_from_few_sources_are_named() -> None:
    made = {
        1: [1, 2, 3, 4, 5, 1, 2],  # five
        2: [1, 2, 3, 4, 1, 1],  # four
        3: [6, 6, 6],  # one
        4: [1, 2, 3],  # three, each once
        -1: [8, 8],
        0: [*range(6)] * 10 + [0],  # six, more than ten times each
    }
    rows = [{"dr": g, "source": one, "left_out": False} for g, sources in made.items() for one in sources]
    rows += [{"dr": 3, "source": 9, "left_out": True}, {"dr": 4, "source": 1, "left_out": True}]
    table = pd.DataFrame(rows)
    assert few_sources(table, {"dr": "icdr5", "dme": "risk3"}) == [
        "DR: 61 photographs of grade 0 none were made from 6 sources only, and repeat what these show.",
        "DR: 6 photographs of grade 2 moderate were made from 4 sources only, and repeat what these show.",
        "DR: 3 photographs of grade 3 severe were made from 1 source only, and repeat what it shows.",
    ]
    assert few_sources(table.drop(columns="source"), {"dr": "icdr5"}) == []
    assert few_sources(pd.DataFrame(), {"dr": "icdr5"}) == []


def test_a_run_leaves_the_review_beside_its_photographs(make: Callable[..., Any]) -> None:
    result = run(make("rounds", "round.rounds=1"))
    place = result.folder / "made" / "round-1.make"
    found, table = read(place), pd.read_parquet(place / "made.parquet")
    assert (found["made"], found["left_out"]) == (10, 1)
    kept = table[~table["left_out"]]
    for disease, size in (("dr", 5), ("dme", 3)):
        labels = found["labels"][disease]
        assert len(labels["before"]) == len(labels["after"]) == len(labels["grades"]) == size + 1
        assert sum(labels["before"]) == 20
        added = np.array(labels["after"]) - labels["before"]
        assert added.tolist() == [*np.bincount(kept[disease], minlength=size), 0]
    assert found["changed"]["of_the_square"]["quantiles"]["0.5"] == 1.0
    assert found["changed"]["on_disc"]["value"] is None
    assert "drawn photographs only" in found["changed"]["on_disc"]["note"]
    assert found["likeness"]["made"]["n"] == 9
    assert found["likeness"]["original"]["n"] == 20
    assert found["likeness"]["tests"] == {"table": 8}
    told, train = found["told_apart"], module_of(result).parts.train.records.table
    possible = [np.bincount(one, minlength=5) for one in (kept["dr"], train["dr"][train["dr"] >= 0])]
    assert told["matched"]["disease"] == "dr"
    assert (np.array(told["matched"]["counts"]) <= np.minimum(*possible)).all()
    for name in ("whole", "tiles", "both"):
        assert told[name]["n"] in (0, 2 * sum(told["matched"]["counts"]))
        assert told[name]["value"] is None  # too few of 20 patients
        assert told[name]["note"].startswith("undefined")
    assert "Generated photographs" in (result.folder / "report.html").read_text()


def test_a_round_that_makes_nothing_has_figures_that_say_so(make: Callable[..., Any]) -> None:
    result = run(make("rounds", "round.rounds=1", "round.make.task.count=0"))
    found = read(result.folder / "made" / "round-1.make")
    assert (found["made"], found["left_out"]) == (0, 0)
    assert found["labels"]["dr"]["before"] == found["labels"]["dr"]["after"]
    assert found["likeness"]["made"]["n"] == 0
    for figure in (found["told_apart"]["tiles"], found["changed"]["on_vessels"]):
        assert figure["value"] is None
        assert figure["note"] == "undefined: no photograph was made that is trained on"
    page = (result.folder / "report.html").read_text()
    assert "Nothing was asked for." in page
