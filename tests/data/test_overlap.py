"""Photographs on two sides are found by file, name and picture, and refused, left out or labelled."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from retinalab.config import DataConfig, TestConfig
from retinalab.data import pictures
from retinalab.data.overlap import find_overlap, settle
from retinalab.data.part import OVERLAP_COLUMNS
from retinalab.data.parts import Parts, load_parts
from retinalab.data.pictures import same_pictures
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.testing import write_fake_set

PROTOCOL = Protocol(diseases={"dr": "icdr5"})
PUBLISHED = Protocol(diseases={"dr": "icdr5"}, split="as-published")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def photograph(path: Path, seed: int) -> None:
    """A disc on black, filled with vessel-like noise that follows from the seed."""
    generator = np.random.default_rng(seed)
    noise = sum(
        (layer := cv2.GaussianBlur(generator.normal(size=(160, 160)), (0, 0), sigma)) / layer.std()
        for sigma in (2, 4)
    )
    disc = np.zeros((160, 160), np.uint8)
    cv2.circle(disc, (80, 80), 76, 1, cv2.FILLED)
    image = np.stack([50 + 3 * noise, 95 + 18 * noise, 170 + 12 * noise], axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8) * disc[..., None])


def write_set(root: Path, parts: str, first: int = 0) -> Path:
    """A table of two photographs a patient: one part a patient, by its first letter (t train, v val, e test)."""
    names = {"t": "train", "v": "val", "e": "test"}
    rows = []
    for patient, letter in enumerate(parts):
        for eye in ("left", "right"):
            image = f"images/{first + patient}_{eye}.png"
            photograph(root / image, 10 * (first + patient) + (eye == "right"))
            row = {"image": image, "patient": patient, "eye": eye, "dr": patient % 5, "part": names[letter]}
            rows.append(row)
    pd.DataFrame(rows).to_csv(root / "records.csv", index=False)
    return root


def copied(source: Path, target: Path) -> None:
    """The same picture saved again: three quarters of the size, darker, as JPEG in a PNG's clothes."""
    image = cv2.imread(str(source))
    small = cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".jpg", (small * 0.9).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    cv2.imwrite(str(target), cv2.imdecode(coded, cv2.IMREAD_COLOR))


def loaded(root: Path, cache: Path, protocol: Protocol = PROTOCOL, **options: Any) -> Parts:
    test, roots = options.pop("test", None), options.pop("roots", {})
    given = {"set": "table", "root": root, "size": 112, "cache": cache, **options}
    return load_parts(DataConfig.model_validate(given), protocol, roots, test)


def names(parts: Parts, part: str) -> list[str]:
    return list(getattr(parts, part).records.table["image"])


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """Four train, one val, two test patients; train photograph 1_left is test photograph 5_right, saved again."""
    root = write_set(tmp_path / "own", "ttttvee")
    copied(root / "images/5_right.png", root / "images/1_left.png")
    return root


def test_a_copy_within_one_set_is_refused_with_sets_number_first_pair_and_remedies(
    leaky: Path, cache: Path
) -> None:
    with pytest.raises(RetinalabError) as caught:
        loaded(leaky, cache)
    assert str(caught.value) == (
        "1 photograph of train (own) is in test (own) too, 1 by picture; the first: own:'images/1_left.png' is "
        "own:'images/5_right.png' (by picture). Leave the side that learns out, with its patients, by "
        "data.overlap=exclude; choose other sets; or use protocol.split=as-published, where the result is labelled "
        "as leaky."
    )


def test_excluded_photographs_go_with_their_patient_and_the_test_part_stays(leaky: Path, cache: Path) -> None:
    parts = loaded(leaky, cache, overlap="exclude")
    assert names(parts, "train") == [f"images/{p}_{e}.png" for p in (0, 2, 3) for e in ("left", "right")]
    assert len(parts.tests["table"]) == 4
    assert parts.split.leaks == ()
    frame = parts.split.frame()
    assert sorted(frame.loc[frame["part"] == "train", "image"]) == sorted(names(parts, "train"))
    (note,) = parts.notes
    assert note.endswith("left out of train, with 1 more of the same patients (images/1_left.png)")
    table = parts.overlaps
    assert tuple(table) == OVERLAP_COLUMNS
    assert table[["image", "other_image", "by", "left_out"]].to_numpy().tolist() == [
        ["images/1_left.png", "images/5_right.png", "picture", True],
        ["images/1_right.png", "", "patient", True],
    ]


def test_as_published_an_overlap_is_a_leak_that_labels_the_result(leaky: Path, cache: Path) -> None:
    parts = loaded(leaky, cache, PUBLISHED)
    assert len(parts.train) == 8
    (leak,) = parts.split.leaks
    assert leak.startswith("1 photograph of train (own) is in test (own) too")
    assert leak in parts.notes
    assert parts.overlaps["left_out"].tolist() == [False]
    kept = loaded(leaky, cache, PUBLISHED, overlap="exclude")
    assert (kept.split.leaks, len(kept.train)) == ((), 6)


def test_copies_in_validation_count_on_both_of_its_sides(tmp_path: Path, cache: Path) -> None:
    root = write_set(tmp_path / "own", "ttttvvee")
    copied(root / "images/6_left.png", root / "images/4_left.png")
    copied(root / "images/5_left.png", root / "images/0_right.png")
    with pytest.raises(RetinalabError) as caught:
        loaded(root, cache)
    lines = str(caught.value).splitlines()
    assert [line.split(" too")[0] for line in lines] == [
        "1 photograph of val (own) is in test (own)",
        "1 photograph of train (own) is in val (own)",
    ]
    parts = loaded(root, cache, overlap="exclude")
    assert [len(part) for part in (parts.train, parts.val, parts.tests["table"])] == [6, 2, 4]


def test_where_the_test_part_chooses_its_photographs_are_not_reported_as_copies(
    tmp_path: Path, cache: Path
) -> None:
    root = write_set(tmp_path / "own", "tttee")
    parts = loaded(root, cache, PUBLISHED.model_copy(update={"select_on": "test"}))
    assert parts.split.leaks == ()
    assert not len(parts.overlaps)


def test_copies_within_a_part_and_other_pictures_are_no_overlap(tmp_path: Path, cache: Path) -> None:
    root = write_set(tmp_path / "own", "ttttvee")
    copied(root / "images/0_left.png", root / "images/1_left.png")
    parts = loaded(root, cache)
    assert not len(parts.overlaps)
    assert parts.notes == ()


def test_one_file_read_through_two_sets_is_found(fake_sets: Path, cache: Path) -> None:
    """Every photograph of the training side, by file and not by picture."""
    root = fake_sets / "dr600"
    with pytest.raises(
        RetinalabError, match=r"photographs of train \(mine\) are in test \(dr600\) too, \d+ by file"
    ):
        loaded(
            root,
            cache,
            options={"name": "mine"},
            size=48,
            test=TestConfig(sets=("dr600",)),
            roots={"dr600": root},
        )


def test_sets_that_share_names_are_compared_by_name(tmp_path: Path, cache: Path) -> None:
    """Retinal-Lesions says that it shares EyePACS' names: other pictures under one name are one photograph."""
    eyepacs = write_fake_set("eyepacs", tmp_path / "eyepacs", 24)
    lesions = write_fake_set("retinal_lesions", tmp_path / "lesions", 8, seed=500)
    own = lesions / "images_896x896"
    renamed = {"10003_left": "13_left", "10003_right": "13_right"}
    for old, new in renamed.items():
        (own / f"{old}.jpg").rename(own / f"{new}.jpg")
        masks = lesions / "lesion_segs_896x896"
        if (masks / old).is_dir():
            (masks / old).rename(masks / new)
    grades = lesions / "dr_grades.csv"
    text = grades.read_text()
    for old, new in renamed.items():
        text = text.replace(old, new)
    grades.write_text(text)
    roots = {"retinal_lesions": lesions}
    options: dict[str, Any] = {"set": "eyepacs", "size": 48, "roots": roots}
    options["test"] = TestConfig(sets=("retinal_lesions",))
    with pytest.raises(
        RetinalabError, match=r"\(eyepacs\) (is|are) in test \(retinal_lesions\) too, \d by name"
    ):
        loaded(eyepacs, cache, **options)
    parts = loaded(eyepacs, cache, overlap="exclude", **options)
    held = [*names(parts, "train"), *names(parts, "val")]
    assert not any(Path(image).stem in renamed.values() for image in held)
    assert len(parts.tests["retinal_lesions"]) == 8


def test_an_earlier_stage_may_not_have_seen_what_a_later_one_is_tested_on(
    tmp_path: Path, cache: Path
) -> None:
    """Another split of the same set: its photographs and its patients are on two sides of the two stages."""
    root = write_set(tmp_path / "own", "ttttvee")
    tested = list(loaded(root, cache).tests.values())
    other = pd.read_csv(root / "records.csv")
    shutil.copytree(root, tmp_path / "again" / "own")
    other["part"] = ["test"] * 2 + ["val"] * 2 + ["train"] * 10
    other.to_csv(tmp_path / "again" / "own" / "records.csv", index=False)
    earlier = loaded(tmp_path / "again" / "own", cache)
    with pytest.raises(
        RetinalabError, match=r"4 photographs of train \(own\) are in test \(own\) too, 4 by file;"
    ):
        settle(earlier, "refuse", False, tested)
    kept = settle(earlier, "exclude", False, tested)
    assert not set(names(kept, "train")) & set(tested[0].records.table["image"])
    assert len(kept.train) == len(earlier.train) - 4
    found = find_overlap(earlier.train, tested[0], one_split=False)
    assert found.pairs.groupby("row")["by"].agg(set).tolist() == [{"file", "patient"}] * 4


def test_leaving_everything_out_is_said(tmp_path: Path, cache: Path) -> None:
    root = write_set(tmp_path / "own", "tvee")
    for eye in ("left", "right"):
        copied(root / f"images/2_{eye}.png", root / f"images/0_{eye}.png")
    with pytest.raises(RetinalabError, match=r"without them train is empty\. Choose other sets"):
        loaded(root, cache, overlap="exclude")


def test_of_large_parts_the_answer_is_kept_until_anything_that_it_follows_from_changes(
    leaky: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = loaded(leaky, cache, PUBLISHED)
    train, test = parts.train, parts.tests["table"]
    plainly = same_pictures(train, test)
    assert [(row, other) for row, other, _ in plainly] == [(2, 1)]
    assert not list(cache.glob("pictures-*.json"))
    monkeypatch.setattr(pictures, "REMEMBERED", 1)
    assert same_pictures(train, test) == plainly
    assert len(list(cache.glob("pictures-*.json"))) == 1

    def never(*_: Any) -> Any:
        raise AssertionError("looked again")

    monkeypatch.setattr(pictures, "near_pairs", never)
    assert same_pictures(train, test) == plainly
    for changed in (
        lambda: same_pictures(train.keep(np.arange(len(train)) > 0), test),
        lambda: same_pictures(train, test, {(0, 0)}),
        lambda: same_pictures(test, train),
    ):
        with pytest.raises(AssertionError, match="looked again"):
            changed()


def test_where_nothing_can_be_kept_it_is_looked_for_each_time(
    leaky: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = loaded(leaky, cache, PUBLISHED)
    monkeypatch.setattr(pictures, "REMEMBERED", 1)
    monkeypatch.setattr(pictures, "_beside", lambda _: Path("/proc/nowhere"))
    assert [pair[:2] for pair in same_pictures(parts.train, parts.tests["table"])] == [(2, 1)]
