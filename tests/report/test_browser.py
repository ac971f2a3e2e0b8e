"""Every kind of page in a real browser: nothing overflows or is fetched, all text has contrast in both schemes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .browser import Look, chromium, contrast, look
from .made_pages import all_pages

WIDTHS = (400, 1000, 1400)
KINDS = ("run", "regression", "comparison", "table", "saliency", "check", "robustness")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = all_pages(tmp_path_factory.mktemp("pages"))
    assert tuple(found) == KINDS
    return found


@pytest.fixture(scope="module", params=["light", "dark"])
def seen(
    request: pytest.FixtureRequest,
    browser: str,
    pages: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Look, bool]:
    dark = request.param == "dark"
    return look(browser, pages, tmp_path_factory.mktemp("look") / request.param, WIDTHS, dark), dark


def test_every_page_fits_a_telephone_a_tablet_and_a_desk(seen: tuple[Look, bool]) -> None:
    for (name, width), one in seen[0].seen.items():
        assert one.wide == [], (name, width)
        assert one.scroll <= width, (name, width)
        assert one.broken == 0, (name, width)
    assert seen[0].seen["run", 400].pictures > 60


def test_all_text_has_contrast_in_both_schemes(seen: tuple[Look, bool]) -> None:
    found, dark = seen
    for (name, width), one in found.seen.items():
        assert contrast(one.ink, [one.paper]) > 7, (name, width)
        assert (contrast(one.paper, ["rgb(0, 0, 0)"]) < 3) == dark, (name, width)
        faint = [(sample, ink, under) for ink, under, sample in one.texts if contrast(ink, under) < 4.5]
        assert faint == [], (name, width)


def test_nothing_is_fetched_and_the_console_is_silent(
    seen: tuple[Look, bool], pages: dict[str, Path]
) -> None:
    assert seen[0].requests == []
    assert seen[0].console == []
    assert all(one.fetched == [] for one in seen[0].seen.values())
    for name, page in pages.items():
        source = page.read_text(encoding="utf-8")
        assert not re.search(r"url\(|@import|<script|\bsrc(?!=\"data:)=|https?://[^<]*\"", source), name


def test_the_browser_would_tell(browser: str, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    page.write_text(
        f'<!doctype html><html><head><meta charset="utf-8">{policy}</head><body style="background: #fff">'
        '<p style="color: #999">pale</p><p style="width: 900px">wide</p>'
        '<img src="http://127.0.0.1:9/picture.png" alt=""></body></html>',
        encoding="utf-8",
    )
    found = look(browser, {"bad": page}, tmp_path / "look", (400,), dark=False)
    one = found.seen["bad", 400]
    assert any("wide" in element for element in one.wide)
    assert one.scroll > 400
    assert one.fetched == found.requests == ["http://127.0.0.1:9/picture.png"]
    assert any("Content Security Policy" in line for line in found.console)
    assert [sample for ink, under, sample in one.texts if contrast(ink, under) < 4.5] == ["P: pale"]


@pytest.mark.parametrize(
    ("ink", "under", "ratio"),
    [
        ("rgb(0, 0, 0)", ["rgb(255, 255, 255)"], 21.0),
        ("rgb(119, 119, 119)", ["rgb(255, 255, 255)"], 4.48),  # #777 on white, as WCAG's tutorials give it
        ("rgb(255, 255, 255)", ["rgba(0, 0, 0, 0.5)", "rgb(0, 0, 0)"], 21.0),
        ("rgb(0, 0, 0)", [], 21.0),
    ],
)
def test_contrast_of_known_pairs(ink: str, under: list[str], ratio: float) -> None:
    assert contrast(ink, under) == pytest.approx(ratio, abs=0.01)


def test_chromium_is_looked_for_by_its_names() -> None:
    found = chromium()
    assert found is None or Path(found).is_file()
