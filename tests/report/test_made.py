"""Generated photographs in the report: counts, labels, the review's figures and strips, as the run's files say."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from retinalab.errors import RetinalabError
from retinalab.report import write_report
from retinalab.report.folder import read_run
from retinalab.report.made import MadeSection, made_sections

MakeRun = Callable[..., Path]

FIGURE = {"value": 0.25, "low": 0.125, "high": 0.5, "n": 9, "n_groups": 4, "note": ""}
NONE = {"value": None, "low": None, "high": None, "n": 9, "n_groups": 4, "note": "undefined: why not"}
SPREAD = {"0": 0.01, "0.05": 0.01, "0.25": 0.02, "0.5": 0.031, "0.75": 0.04, "0.95": 0.05, "1": 0.06}
BITS = {"0": 30.0, "0.05": 40.0, "0.25": 60.0, "0.5": 71.0, "0.75": 80.0, "0.95": 90.0, "1": 99.0}


def review(**changes: Any) -> dict[str, Any]:
    labels = {"grades": ["none", "mild", "unknown"], "before": [30, 2, 0], "after": [30, 11, 0]}
    return {
        "made": 10,
        "left_out": 1,
        "labels": {"dr": labels},
        "changed": {
            "of_the_square": {"n": 9, "quantiles": SPREAD, "note": ""},
            "on_disc": FIGURE,
            "cover_disc": FIGURE | {"value": 0.02},
            "on_vessels": NONE,
            "cover_vessels": NONE,
        },
        "likeness": {
            "made": {"n": 9, "quantiles": BITS, "note": "", "near": 2},
            "original": {"n": 32, "quantiles": None, "note": "", "near": 0},
            "tests": {"messidor2": 8, "idrid": 3},
        },
        "told_apart": {
            "whole": FIGURE | {"value": 0.9},
            "tiles": NONE,
            "both": FIGURE,
            "matched": {"disease": "dr", "counts": [3, 0, 6]},
        },
    } | changes


def leave(folder: Path, stage: str = "make", found: dict[str, Any] | None = None, count: int = 10) -> Path:
    """What a stage leaves; two photographs are shown, the second of which is left out."""
    place = folder / "made" / stage
    place.mkdir(parents=True)
    table = pd.DataFrame({"dr": [3] * count, "target": 0, "left_out": [k == 1 for k in range(count)]})
    table = table.assign(source_image="<a>.jpg", target_image="b.jpg")
    table.to_parquet(place / "made.parquet")
    (place / "notes.txt").write_text("Grade 4 has no training photograph.\n")
    if found is not None:
        (place / "review.json").write_text(json.dumps(found))
    for number in range(min(2, count)):
        strip(place, number, ["source, severity 2", "result"])
    return place


def strip(place: Path, number: int, captions: list[str]) -> None:
    folder = place / "pictures" / f"{number:05d}"
    folder.mkdir(parents=True)
    for k in range(len(captions)):
        Image.fromarray(np.full((320, 320, 3), 40 + 100 * k, np.uint8)).save(folder / f"{k}.jpg")
    (folder / "captions.json").write_text(json.dumps(captions))


def sections(folder: Path) -> list[MadeSection]:
    return made_sections(read_run(folder))


def decoded(source: str) -> np.ndarray:
    head, _, body = source.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def test_a_run_that_made_none_says_nothing_of_it(make_run: MakeRun) -> None:
    page = write_report(make_run()).read_text()
    assert "Generated photographs" not in page
    assert "#made" not in page


def test_counts_labels_and_figures_are_those_of_the_files(make_run: MakeRun) -> None:
    folder = make_run()
    leave(folder, found=review())
    (one,) = sections(folder)
    assert (one.stage, one.child, one.children, one.used, one.left_out) == ("make", "", 1, 9, 1)
    assert one.notes == ["Grade 4 has no training photograph."]
    (labels,) = one.labels
    assert labels.grades == ["0 none", "1 mild"]
    assert labels.rows == [("before", [30, 2]), ("made", [0, 9]), ("after", [30, 11])]
    figures = {figure.name: figure for figure in one.figures}
    found = [(figure.text, figure.beside, figure.counted, figure.note) for figure in one.figures]
    patients = "9 photographs of 4 patients"
    assert len(figures) == 8
    assert found[0] == ("3.1 [1.0, 6.0] % of the square", "", "9 photographs", "")
    assert found[1] == ("25.0 % [12.5, 50.0]", "covers 2.0 % [12.5, 50.0] of the field", patients, "")
    assert found[2] == ("undefined", "", patients, "undefined: why not")
    assert found[3][:3] == ("71 [30, 99]", "training photographs: undefined", "9 made, 32 training")
    assert found[4][:2] == ("2 of 9", "training photographs: 0 of 32")
    assert "Nearest test photograph of messidor2, idrid, of 256 bits, median [least, most]" in figures
    matched = "0.5 where they cannot be told apart; on either side 3 of grade 0, 6 of grade 2 (DR)"
    assert found[5][:3] == ("0.900 [0.125, 0.500]", matched, patients)
    assert "a network may learn in the place of lesions" in found[5][3]
    assert found[6] == ("undefined", matched, patients, "undefined: why not")
    assert found[7][0] == "0.250 [0.125, 0.500]"


def test_a_review_of_grades_that_were_not_matched_says_so(make_run: MakeRun) -> None:
    folder = make_run()
    old = review(told_apart={"originals": FIGURE, "targets": NONE})
    old["likeness"].pop("tests")
    leave(folder, found=old)
    names = [figure.name for figure in sections(folder)[0].figures]
    assert names[3] == "Nearest test photograph, of 256 bits, median [least, most]"
    assert names[5:] == [
        "Told from training photographs of whatever grade by sharpness and colours, AUC",
        "Told from those they were made from by sharpness and colours, AUC",
    ]


def test_unknown_grades_have_a_column_where_there_are_some(make_run: MakeRun) -> None:
    folder = make_run()
    labels = {"grades": ["none", "mild", "unknown"], "before": [30, 2, 5], "after": [30, 2, 14]}
    leave(folder, found=review(labels={"dme": labels}))
    assert sections(folder)[0].labels[0].grades == ["0 none", "1 mild", "unknown"]
    assert sections(folder)[0].labels[0].rows[1] == ("made", [0, 0, 9])


def test_how_many_photographs_those_made_were_made_from_stands_below_their_number(make_run: MakeRun) -> None:
    folder = make_run()
    counted = review()["labels"]["dr"] | {"sources": [0, 2, 0], "targets": [0, 8, 0]}
    leave(folder, found=review(labels={"dr": counted}))
    (labels,) = sections(folder)[0].labels
    assert labels.rows[3:] == [
        ("made from: different sources", [0, 2]),
        ("made from: different targets", [0, 8]),
    ]
    assert "made from: different sources" in write_report(folder).read_text()


def test_a_strip_says_how_many_of_its_grade_share_its_source(make_run: MakeRun) -> None:
    folder = make_run()
    place = leave(folder, found=review(), count=6)
    table = pd.read_parquet(place / "made.parquet")
    table["dr"] = [3, 3, 3, 3, 3, 1]
    table["source_image"] = ["a.jpg", "a.jpg", "a.jpg", "b.jpg", "a.jpg", "a.jpg"]
    table["target_image"] = [f"{k}.jpg" for k in range(6)]
    table.to_parquet(place / "made.parquet")  # the second is left out
    first, second = sections(folder)[0].strips
    assert first.said == ["DR: 3 severe", "from a.jpg, as 3 of the 4 of this grade", "into 0.jpg"]
    assert second.said[1:] == ["from a.jpg", "into 1.jpg", "not trained on"]


def test_strips_are_small_pictures_with_what_is_known_of_them(make_run: MakeRun) -> None:
    folder = make_run()
    leave(folder, found=review())
    first, second = sections(folder)[0].strips
    assert first.name == "00000"
    alike = ", as 9 of the 9 of this grade"
    assert first.said == ["DR: 3 severe", f"from <a>.jpg{alike}", f"into b.jpg{alike}"]
    assert second.said[-1] == "not trained on"
    assert [caption for caption, _ in first.pictures] == ["source, severity 2", "result"]
    for (_, source), value in zip(first.pictures, (40, 140), strict=True):
        assert decoded(source).shape == (160, 160, 3)
        assert abs(decoded(source).astype(int) - value).max() <= 2


def test_at_most_16_strips_are_shown_from_the_first_to_the_last(make_run: MakeRun) -> None:
    folder = make_run()
    place = leave(folder, found=review(), count=40)
    for number in range(2, 40):
        strip(place, number, ["one"])
    names = [one.name for one in sections(folder)[0].strips]
    assert len(names) == 16
    assert (names[0], names[-1]) == ("00000", "00039")


def test_stages_stand_in_order_and_the_first_seed_is_shown(make_run: MakeRun) -> None:
    stages = {name: {} for name in ("round-2.make", "round-10.make")}
    folder = make_run(experiment={"stages": stages})
    for seed, count in ((10, 3), (2, 4)):
        for stage in ("round-10.make", "round-2.make"):
            leave(folder / f"seed-{seed}", stage, review(), count)
    found = sections(folder)
    assert [(one.stage, one.child, one.children, one.used) for one in found] == [
        ("round-2.make", "seed-2", 2, 3),
        ("round-10.make", "seed-2", 2, 3),
    ]
    assert "The first of 2 folds or seeds, seed-2." in write_report(folder).read_text()


def test_the_page_holds_it_escaped_and_its_pictures_within(make_run: MakeRun) -> None:
    folder = make_run()
    leave(folder, found=review())
    page = write_report(folder).read_text()
    assert page.count('<section id="made">') == 1
    assert "9 photographs made and trained on; 1 left out." in page
    assert "from &lt;a&gt;.jpg" in page
    assert not re.search(r'src="(?!data:)', page)


def test_without_a_review_the_page_says_so(make_run: MakeRun) -> None:
    folder = make_run()
    leave(folder)
    (one,) = sections(folder)
    assert not one.figures
    assert not one.labels
    assert "No figures: the run left no review of them." in write_report(folder).read_text()


def test_where_nothing_was_made_only_the_notes_stand(make_run: MakeRun) -> None:
    folder = make_run()
    place = folder / "made" / "make"
    place.mkdir(parents=True)
    pd.DataFrame().to_parquet(place / "made.parquet")
    (place / "notes.txt").write_text("No photograph to cut lesions from.\n")
    (place / "review.json").write_text(json.dumps(review(made=0, left_out=0)))
    (one,) = sections(folder)
    assert (one.used, one.figures, one.strips, one.missing) == (0, [], [], "")
    page = write_report(folder).read_text()
    assert "0 photographs made and trained on." in page
    assert "No photograph to cut lesions from." in page


@pytest.mark.parametrize("name", ["review.json", "pictures/00000/captions.json", "pictures/00000/1.jpg"])
def test_a_broken_file_is_named(make_run: MakeRun, name: str) -> None:
    folder = make_run()
    place = leave(folder, found=review())
    (place / name).write_text("{")
    with pytest.raises(RetinalabError, match=f"{name}' cannot be read"):
        sections(folder)
