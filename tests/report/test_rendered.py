"""The page in a real browser: nothing overflows, nothing is fetched, both colour schemes have contrast."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retinalab.report import write_report

MakeRun = Callable[..., Path]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROBE = """
<script>
window.addEventListener("load", () => {
  const width = document.documentElement.clientWidth;
  const wide = [...document.querySelectorAll("body *")].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 0.5 || box.left < -0.5);
  }).map(one => one.tagName + "." + (one.getAttribute("class") || "") + ": " + one.textContent.slice(0, 40));
  const style = getComputedStyle(document.body);
  const resources = performance.getEntriesByType("resource").map(one => one.name);
  parent.postMessage(JSON.stringify({
    width, wide, scroll: document.documentElement.scrollWidth,
    fetched: resources.filter(name => !name.startsWith("data:")),
    ink: style.color, paper: style.backgroundColor,
    pictures: [...document.images].filter(one => one.naturalWidth > 0).length
  }), "*");
});
</script>
"""
FRAME = """<!doctype html><meta name="color-scheme" content="light dark">
<iframe src="page.html" style="width: {width}px; height: 2000px; border: 0"></iframe>
<script>addEventListener("message", event => {{
  const out = document.createElement("pre");
  out.id = "probe"; out.textContent = event.data; document.body.append(out);
}});</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(
            "no Chromium on this machine to render the report; install one with: apt-get install chromium"
        )
    return found


def probe(browser: str, report: Path, folder: Path, width: int, dark: bool) -> dict[str, Any]:
    """Measure a copy of the report, every fold open, in a frame: a window is never narrower than 500 px."""
    page = report.read_text(encoding="utf-8").replace("<details>", "<details open>")
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace(
        "</body>", f"{PROBE}</body>"
    )
    (folder / "page.html").write_text(page, encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(width=width))
    flags = (
        "headless no-sandbox disable-gpu no-first-run disable-background-networking disable-component-update "
    )
    command = [
        browser,
        *(
            f"--{flag}"
            for flag in f"{flags} disable-sync hide-scrollbars virtual-time-budget=3000 dump-dom".split()
        ),
    ]
    command += [f"--user-data-dir={folder / 'profile'}", "--window-size=1600,2200"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    match = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert match, done.stderr[-2000:]
    content: dict[str, Any] = json.loads(unescape(match[1]))
    return content


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    channels = np.array([float(v) for v in re.findall(r"[\d.]+", colour)[:3]]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_it_fits_a_telephone_and_a_desk_in_light_and_dark(
    browser: str, make_run: MakeRun, tmp_path: Path
) -> None:
    folder = make_run(
        sets=("made", "messidor2"),
        seeds=(0, 1),
        names={0: "a_very_long_file_name_without_any_break_" * 6 + ".jpg", 1: "<script>.jpg"},
        provenance={
            "command": "retinalab exp canet " + "trainer.option_without_break=" * 12,
            "commit": "f" * 120,
        },
    )
    readers = "".join(f"dr,{'ReaderWithoutABreak' * 8}{k},0.9,0.8{k},messidor2,any\n" for k in range(7))
    (folder / "readers.csv").write_text(f"disease,reader,sensitivity,specificity,set,target\n{readers}")
    report = write_report(folder, lambda _, __: np.full((256, 256, 3), 90, dtype=np.uint8))
    for width, dark in ((400, True), (1400, False), (760, False)):
        found = probe(browser, report, tmp_path, width, dark)
        assert found["width"] == width
        assert found["wide"] == []
        assert found["scroll"] <= width
        assert found["fetched"] == []
        assert found["pictures"] > 20
        ink, paper = luminance(found["ink"]), luminance(found["paper"])
        assert (ink > paper) == dark
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7
