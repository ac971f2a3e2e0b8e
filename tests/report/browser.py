"""Pages in headless Chromium: what overflows, what is fetched, what the console says, and every colour of text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Look", "Seen", "chromium", "contrast", "look"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "disable-sync",
    "disable-component-update", "disable-default-apps", "hide-scrollbars", "virtual-time-budget=4000", "dump-dom",
    "enable-logging=stderr", "log-level=0", "host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
PROBE = """
<script>
window.addEventListener("load", () => {
  const root = document.documentElement, width = root.clientWidth;
  const all = [...document.querySelectorAll("body, body *")];
  const wide = all.filter(one => {
    const box = one.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 0.5 || box.left < -0.5);
  }).map(one => one.tagName + "." + (one.getAttribute("class") || "") + ": " + one.textContent.slice(0, 40));
  const words = all.filter(one => one.getClientRects().length &&
    [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
  const texts = {};
  for (const one of words) {
    const under = [];
    for (let up = one; up; up = up.parentElement) under.push(getComputedStyle(up).backgroundColor);
    const style = getComputedStyle(one), drawn = one instanceof SVGElement;
    const key = JSON.stringify([drawn ? style.fill : style.color, under.filter(c => c !== "rgba(0, 0, 0, 0)")]);
    texts[key] ??= one.tagName + ": " + one.textContent.trim().slice(0, 40);
  }
  const body = getComputedStyle(document.body);
  parent.postMessage(JSON.stringify({
    name: NAME, width, wide, scroll: Math.max(root.scrollWidth, document.body.scrollWidth),
    fetched: performance.getEntriesByType("resource").map(one => one.name).filter(name => !name.startsWith("data:")),
    ink: body.color, paper: body.backgroundColor, texts: Object.entries(texts),
    pictures: [...document.images].filter(one => one.naturalWidth > 0).length,
    broken: [...document.images].filter(one => one.naturalWidth === 0).length,
  }), "*");
});
</script>
"""
FRAMES = """<!doctype html><meta name="color-scheme" content="light dark"><body>
<script>addEventListener("message", event => {
  const out = document.createElement("pre");
  out.className = "probe"; out.textContent = event.data; document.body.append(out);
});</script>
"""


@dataclass(frozen=True)
class Seen:
    """One page at one width.

    Attributes:
        width: of its window, pixels.
        scroll: width of what is in it.
        wide: elements that leave it on a side.
        fetched: addresses that it asked for.
        ink, paper: colours of the body's text and background.
        texts: colour, backgrounds from the inside out, and a sample, of every kind of text that is drawn.
        pictures, broken: that could and could not be decoded.
    """

    width: int
    scroll: int
    wide: list[str]
    fetched: list[str]
    ink: str
    paper: str
    texts: list[tuple[str, list[str], str]]
    pictures: int
    broken: int


@dataclass(frozen=True)
class Look:
    """What one start of the browser showed: pages by name and width, its console, and requests to a network."""

    seen: Mapping[tuple[str, int], Seen]
    console: list[str]
    requests: list[str]


def chromium() -> str | None:
    """The browser, where one is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def look(browser: str, pages: Mapping[str, Path], folder: Path, widths: Sequence[int], dark: bool) -> Look:
    """Measure copies of pages, every fold open, each in a frame: a window is never narrower than 500 px.

    The pages themselves stand beside the copies, with their policy, so that the console tells of what it forbids.
    """
    folder.mkdir()
    frames = [FRAMES]
    for name, page in pages.items():
        frames.append(f'<iframe src="{page.as_uri()}" width="{widths[0]}" height="2000"></iframe>')
        copy = folder / f"{name}.html"
        copy.write_text(_with_probe(page.read_text(encoding="utf-8"), name), encoding="utf-8")
        frames += [
            f'<iframe src="{copy.name}" style="width: {w}px; height: 2000px; border: 0"></iframe>'
            for w in widths
        ]
    (folder / "frames.html").write_text("\n".join(frames), encoding="utf-8")
    log = folder / "net.json"
    command = [browser, *(f"--{flag}" for flag in FLAGS), f"--user-data-dir={folder / 'profile'}"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--window-size=1600,2200"]
    command += [f"--log-net-log={log}", (folder / "frames.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = [
        json.loads(unescape(one)) for one in re.findall(r'<pre class="probe">(.*?)</pre>', done.stdout, re.S)
    ]
    seen = {(one["name"], one["width"]): _seen(one) for one in found}
    assert set(seen) == {(name, width) for name in pages for width in widths}, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Look(seen, console, list(_requests(log)))


def contrast(ink: str, under: Sequence[str]) -> float:
    """WCAG 2 contrast of text on backgrounds from the inside out, each over the next; white lies below all."""
    paper = np.ones(3)
    for colour in reversed(under):
        paper = _over(colour, paper)
    light = sorted(_luminance(one) for one in (_over(ink, paper), paper))
    return float((light[1] + 0.05) / (light[0] + 0.05))


def _with_probe(page: str, name: str) -> str:
    page = page.replace("<details>", "<details open>")
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    return page.replace("</body>", f"{PROBE.replace('NAME', json.dumps(name), 1)}</body>")


def _seen(one: Mapping[str, Any]) -> Seen:
    texts = [(*json.loads(key), sample) for key, sample in one["texts"]]
    return Seen(**{key: value for key, value in one.items() if key not in ("name", "texts")}, texts=texts)


def _requests(log: Path) -> Iterator[str]:
    """Addresses that pages asked for by the browser's own log; what it asks for itself has no origin there."""
    content = json.loads(log.read_text(encoding="utf-8"))
    start = content["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    for event in content["events"]:
        given = event.get("params", {}) if event["type"] == start else {}
        asked = given.get("initiator", "not an origin") != "not an origin"
        if asked and not str(given["url"]).startswith(("file:", "data:")):
            yield str(given["url"])


def _over(colour: str, paper: np.ndarray) -> np.ndarray:
    red, green, blue, *alpha = (float(v) for v in re.findall(r"[\d.]+", colour.replace(" / ", " ")))
    scale = 1.0 if colour.startswith("color(") else 255.0
    share = alpha[0] if alpha else 1.0
    mixed: np.ndarray = share * np.array([red, green, blue]) / scale + (1 - share) * paper
    return mixed


def _luminance(colour: np.ndarray) -> float:
    """Relative luminance of WCAG 2."""
    linear = np.where(colour <= 0.03928, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
