"""The page of a check: read back with a parser, pictures decoded again, and laid out by a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retinalab.data.check.findings import KINDS, Check, Finding
from retinalab.errors import RetinalabError
from retinalab.report.check import write_check_page

from .browser import contrast, look
from .test_page import Page

SCRIPT = '<script>alert("1")</script> & co.jpg'
LONG = "a_very_long_file_name_without_any_break_" * 6 + ".jpg"
ORIGIN = "at most, from anatomy: under 125 µm in a field of 45°"


def row(
    features: str, auc: float | None, low: float | None, high: float | None, **more: Any
) -> dict[str, Any]:
    given = {"disease": "dr", "target": "referable", "kappa": None, "n": 60, "n_groups": 30, "note": ""}
    return {
        "features": features,
        "auc": auc,
        "low": low,
        "high": high,
        "strongest": "red higher (AUC 0.70)",
    } | (given | more)


def made(findings: Sequence[Finding] = (), **more: Any) -> Check:
    given: dict[str, Any] = {
        "set": "made",
        "title": "A <made> set",
        "root": "/data/made",
        "synthetic": False,
        "photographs": 1234,
        "patients": 30,
        "counts": [
            {"what": "photographs", "published": 1235, "found": 1234},
            {"what": "train dr=0", "published": 9, "found": 9},
            {"what": "dme=-1", "published": None, "found": 2},
        ],
        "cross": [
            {"dr": dr, "dme": dme, "photographs": n, "published": p}
            for dr, dme, n, p in ((0, 0, 7, 7), (1, 0, 3, 4), (1, 2, 5, 5), (10, 0, 1, 1), ("", 0, 2, 0))
        ],
        "facts": {"median width, pixels": 1956.0, "file types": "JPEG 3"},
        "lesion_pixels": [{"size": s, "pixels": s / 104, "source": ORIGIN} for s in (128, 512, 1024)],
        "probe": [row("all", 0.8, 0.7, 0.9, kappa=-0.125), row("file", 0.6, 0.55, 0.65)],
        "notes": ["3 files were <not> listed"],
        "skipped": ["overlaps: give --against"],
        "seconds": 62.0,
    }
    return Check(findings=findings, **(given | more))


def flat(value: int, shape: tuple[int, int] = (120, 192)) -> np.ndarray:
    return np.full((*shape, 3), (value, 255 - value, 90), np.uint8)


def pictures(page: Page) -> list[np.ndarray]:
    found = []
    for source in page.values("src"):
        head, _, body = source.partition(",")
        assert head == "data:image/jpeg;base64"
        found.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))))
    return found


def written(check: Check, folder: Path, thumbnails: dict[str, np.ndarray] | None = None) -> Page:
    path = write_check_page(check, folder, thumbnails or {})
    assert path == folder / "check.html"
    return Page(path)


def test_one_page_without_scripts_or_requests(tmp_path: Path) -> None:
    page = written(made([Finding("duplicate", ("a.jpg", "b.jpg"), "the same bytes")]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["check.html"]
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    links = [link for tag, one in page.elements for name, link in one.items() if name == "href"]
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(ids)
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "script" not in {tag for tag, _ in page.elements}
    assert "default-src 'none'" in page.source
    assert "Research use only" in page.text
    assert "synthetic" not in page.text.lower()
    assert "1 fault and 0 warnings in 1,234 photographs of 30 patients" in page.text
    assert "1 min 2 s" in page.text
    sections = [one["id"] for tag, one in page.elements if tag == "section"]
    assert sections == ["summary", "findings", "counts", "cross", "lesions", "shortcut", "notes"]


def test_the_gravest_come_first(tmp_path: Path) -> None:
    findings = [Finding(kind, (f"{kind}.jpg",), "told") for kind in reversed(KINDS)]
    page = written(made(findings), tmp_path)
    shown = [one["id"] for tag, one in page.elements if tag == "h3" and one.get("id") in KINDS]
    assert shown == [kind for kind in KINDS if KINDS[kind].severity == "fault"] + [
        kind for kind in KINDS if KINDS[kind].severity == "warning"
    ]
    titles = [cells[0].lower() for cells in page.rows if len(cells) == 3 and cells[1] in ("fault", "warning")]
    assert titles == [KINDS[kind].title.lower() for kind in shown]
    for kind in KINDS:
        assert KINDS[kind].meaning in page.text


def test_what_came_from_files_is_escaped(tmp_path: Path) -> None:
    findings = [Finding("duplicate", (SCRIPT, "b.jpg"), SCRIPT), Finding("missing", (SCRIPT,), SCRIPT)]
    check = made(findings, notes=[SCRIPT], skipped=[SCRIPT], root=SCRIPT, facts={SCRIPT: SCRIPT})
    page = written(check, tmp_path, {SCRIPT: flat(10)})
    assert "<script" not in page.source
    assert page.text.count(SCRIPT) == 9  # names and messages twice, note, skipped, root, a fact and its name
    assert SCRIPT in page.values("alt")
    assert "A <made> set" in page.text


def test_a_pair_stands_side_by_side(tmp_path: Path) -> None:
    pair = Finding("near-duplicate", ("a.jpg", "other:b.jpg"), "the same picture")
    lone = Finding("damaged", ("c.jpg",), "34 rows are grey")
    page = written(made([pair, lone]), tmp_path, {"a.jpg": flat(200), "other:b.jpg": flat(20)})
    first, second = pictures(page)
    assert first.shape == (100, 160, 3)  # 192 x 120 reduced to 160
    assert np.abs(first.astype(int) - (200, 55, 90)).max() < 6
    assert np.abs(second.astype(int) - (20, 235, 90)).max() < 6
    assert page.values("alt") == ["a.jpg", "other:b.jpg"]
    card = page.source[page.source.index('<ul class="found">') :].split("</li>\n</ul>")[0]
    assert card.count("<img") == 2
    assert "no picture at hand" not in page.text  # what has none at all is told in words
    assert "c.jpg: 34 rows are grey" in " ".join(page.text.split())


def test_a_picture_that_could_not_be_had_is_said_so(tmp_path: Path) -> None:
    finding = Finding("duplicate", tuple(f"{k}.jpg" for k in range(7)), "the same bytes")
    page = written(made([finding]), tmp_path, {f"{k}.jpg": flat(k) for k in (0, 2, 6)})
    assert len(pictures(page)) == 2
    assert page.text.count("no picture at hand") == 2
    assert "3 more photographs" in page.text
    assert "4.jpg, 5.jpg, 6.jpg" in page.text


def test_what_is_cut_is_counted(tmp_path: Path) -> None:
    findings = [Finding("duplicate", (f"{k}a.jpg", f"{k}b.jpg"), f"pair {k}") for k in range(250)]
    thumbnails = {name: flat(9) for one in findings[:60] for name in one.images}
    page = written(made(findings), tmp_path, thumbnails)
    assert len(pictures(page)) == 24
    text = " ".join(page.text.split())
    assert "Pictures of 12 of 250." in text
    assert "The other 200, in words" in text
    assert "38 more are not listed here." in text
    assert "pair 211" in text
    assert "pair 212" not in text
    assert (tmp_path / "check.html").stat().st_size < 200_000
    (tmp_path / "check.json").write_text("{}")
    again = written(made(findings), tmp_path)
    assert "50 more are not listed here; check.json has all." in " ".join(again.text.split())


def test_counts_and_cross_table(tmp_path: Path) -> None:
    page = written(made(), tmp_path)
    assert ["photographs", "1,235", "1,234", "−1"] in page.rows
    assert ["train, DR 0", "9", "9", ""] in page.rows
    assert ["DME unknown", "–", "2", ""] in page.rows
    start = next(k for k, cells in enumerate(page.rows) if cells[0] == "DR \\ DME")
    assert page.rows[start : start + 6] == [
        ["DR \\ DME", "0", "2", "all"],
        ["0", "7", "0", "7"],
        ["1", "3published 4", "5", "8"],
        ["10", "1", "0", "1"],
        ["unknown", "2published 0", "0", "2"],
        ["all", "13", "5", "18"],
    ]


def test_sizes_under_two_pixels_are_marked(tmp_path: Path) -> None:
    page = written(made(), tmp_path)
    assert ["128", "1.2 too small", ""] in page.rows
    assert ["512", "4.9", ""] in page.rows
    assert page.text.count("too small") == 1
    assert f"A{ORIGIN[1:]}." in page.text
    bars = [one["x2"] for tag, one in page.elements if tag == "line" and "bar" in one.get("class", "")]
    assert bars == ["12.5%", "50.0%", "100.0%"]
    marks = {one["x1"] for tag, one in page.elements if tag == "line" and one.get("class") == "limit"}
    assert "20.3%" in marks  # 2 / (1024 / 104)


def test_the_probe_is_drawn_where_its_figures_are(tmp_path: Path) -> None:
    page = written(made(), tmp_path)
    shown = [cells for cells in page.rows if "[" in cells[1]]
    assert [cells[0] for cells in shown[1:]] == ["all together warning", "file"]
    assert shown[1][1] == "0.800 [0.700, 0.900]kappa −0.125"
    assert shown[1][3:] == ["60 of 30 patients", "red higher (AUC 0.70)"]
    dots = [one["cx"] for tag, one in page.elements if tag == "circle" and "cx" in one]
    # the axis runs from 0.4 to 1: (0.8 - 0.4) / 0.6, (0.6 - 0.4) / 0.6; the third is the key's
    assert dots[:2] == ["66.7%", "33.3%"]
    spans = [
        (one["x1"], one["x2"])
        for tag, one in page.elements
        if tag == "line" and one.get("class", "").startswith("span") and "%" in one["x1"]
    ]
    assert spans == [("50.0%", "83.3%"), ("25.0%", "41.7%")]
    limits = [one["x1"] for tag, one in page.elements if tag == "line" and one.get("class") == "limit"]
    assert limits.count("41.7%") == 2  # 0.65


def test_a_low_interval_widens_the_axis_and_an_undefined_figure_says_why(tmp_path: Path) -> None:
    rows = [
        row("all", 0.5, 0.22, 0.7),
        row("file", None, None, None, disease="dme", strongest="", note="one class only"),
    ]
    page = written(made(probe=rows, patients=0), tmp_path)
    assert "0.2 to 1" in page.text
    assert "DME: referable" in page.text
    assert ["file", "undefined", "", "60", "one class only"] in page.rows
    assert "of unnamed patients" in page.text


def test_a_clean_and_drawn_set(tmp_path: Path) -> None:
    empty: dict[str, Any] = dict.fromkeys(
        ("counts", "cross", "lesion_pixels", "probe", "notes", "skipped"), ()
    )
    page = written(made(synthetic=True, **empty), tmp_path)
    assert "Nothing found in 1,234 photographs" in page.text
    assert "Drawn (synthetic) photographs" in page.text
    assert "Every check was made." in page.text
    assert {"lesions", "shortcut", "cross"}.isdisjoint(page.values("id"))
    assert "Nothing was found." in " ".join(page.text.split())
    some = written(made(**(empty | {"skipped": ["the probe"]})), tmp_path)
    assert "Nothing was found in the checks that were made." in " ".join(some.text.split())
    assert "1 check was not made" in " ".join(some.text.split())


def test_a_name_that_is_no_text_and_a_folder_that_is_none(tmp_path: Path) -> None:
    check = made([Finding("checksum", (b"caf\xe9.jpg".decode("utf-8", "surrogateescape"),), "changed")])
    assert "caf?.jpg" in written(check, tmp_path).text
    with pytest.raises(RetinalabError, match=r"^Cannot write check\.html into .*No such file") as caught:
        write_check_page(check, tmp_path / "no/such", {})
    assert "\n" not in str(caught.value)


def test_it_fits_a_telephone_and_a_desk_in_light_and_dark(browser: str, tmp_path: Path) -> None:
    findings = [Finding(kind, (LONG, f"{kind}.jpg", SCRIPT), "told_without_break_" * 9) for kind in KINDS]
    findings += [Finding("duplicate", tuple(f"{k}_{j}.jpg" for j in range(k)), "told") for k in range(1, 9)]
    thumbnails = {name: flat(90) for one in findings[::2] + findings[-8:] for name in one.images}
    check = made(
        findings,
        root="/data/" + "deep/" * 40 + "unbroken" * 20,
        title="Title" * 30,
        notes=[LONG],
        skipped=[LONG],
        facts={"file types": LONG},
        counts=[{"what": "train dr=0", "published": 12345678, "found": 87654321}],
        cross=[
            {"dr": dr, "dme": dme, "photographs": 12345, "published": 54321}
            for dr in (0, 1, 2, 3, 4, "")
            for dme in (0, 1, 2, "")
        ],
        lesion_pixels=[{"size": s, "pixels": s / 999, "source": f"{ORIGIN} {s}"} for s in (128, 1024)],
        probe=[
            row("a_group_without_break", 0.8, 0.7, 0.9, strongest=LONG),
            row(LONG, None, None, None, note=LONG),
        ],
    )
    page = write_check_page(check, tmp_path, thumbnails)
    found = look(browser, {"check": page}, tmp_path / "look", (400, 760, 1400), dark=True)
    for (_, width), one in found.seen.items():
        assert one.wide == []
        assert one.scroll <= width
        assert one.fetched == found.requests == []
        assert one.pictures > 20
        assert all(contrast(ink, under) >= 4.5 for ink, under, _ in one.texts)
