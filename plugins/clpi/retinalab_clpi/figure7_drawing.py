"""Figure 7 as a picture of four panels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from retinalab.explain import covered
from retinalab.protocol import Scale
from retinalab_clpi.detection.truth import Boxes
from retinalab_clpi.figure7 import Explained, Grader, Pair, Tested
from retinalab_clpi.generator import LESION_CLASSES

__all__ = ["draw_figure7"]

_Style = Literal["-"] | tuple[float, tuple[float, float]]
_LINES: tuple[tuple[str, _Style], ...] = (("#56b4e9", "-"), ("#f0e442", "-"), ("#ffffff", (0, (2, 1))))
_MANY = 60
_NAMES = {"EX": "exudate", "HE": "haemorrhage", "MA": "microaneurysm"}
USE = "Research use only: not for diagnosis."


def draw_figure7(pair: Pair, image: str, path: Path) -> None:
    """Draw one photograph: true lesions, units that predict a lesion, and the activation maps of CLPI- and CLPI.

    Reference: Figure 7. The maps are of each network's own grade, each scaled to its own range.

    Differs from the paper: true lesions are the 68×68 squares that the generator learns from, where the paper draws
    its annotators' boxes.

    Args:
        pair: the two runs.
        image: one of its photographs.
        path: PNG.
    """
    tested = pair.read(image)
    clpi = pair.clpi.explain(tested.pixels, pair.disease)
    minus = pair.minus.explain(tested.pixels, pair.disease)
    scale = pair.clpi.scales[pair.disease]
    figure = Figure(figsize=(13.2, 4.5), layout="constrained")
    panels = figure.subplots(1, 4)
    size = tested.pixels.shape[0]
    for panel in panels:
        panel.set(xticks=[], yticks=[], xlim=(0, size), ylim=(size, 0))
    _show(panels[0], tested.pixels, f"lesions marked: {len(tested.lesions['labels'])}")
    _boxes(panels[0], tested.lesions)
    panels[0].set_xlabel(_reference(tested, pair.disease, scale))
    units = clpi.units["labels"]
    _show(panels[1], tested.pixels, f"units that predict a lesion: {len(units)}")
    _boxes(panels[1], clpi.units)
    panels[1].set_xlabel("lesion attention generator of CLPI")
    for panel, grader, found, name in (
        (panels[2], pair.minus, minus, "CLPI−"),
        (panels[3], pair.clpi, clpi, "CLPI"),
    ):
        _show(panel, _activation(tested, grader, found), f"class activation map of {name}")
        levels = scale.levels
        panel.set_xlabel(f"predicted: {found.grade} {levels[found.grade]} ({found.probability:.2f})")
    handles = [
        Line2D([], [], color=colour, linestyle=style, linewidth=2.5, label=f"{lesion} {_NAMES[lesion]}")
        for lesion, (colour, style) in zip(LESION_CLASSES, _LINES, strict=True)
    ]
    figure.legend(
        handles=handles, loc="outside lower left", ncols=3, fontsize=9, facecolor="0.35", labelcolor="white"
    )
    labels = list(dict.fromkeys((*pair.clpi.run.labels, *pair.minus.run.labels)))
    figure.suptitle(image, fontsize=10)
    said = "; ".join(["maps: violet least to yellow most of each", *labels, USE])
    figure.supxlabel(said, fontsize=8, color="0.35", x=0.99, ha="right")
    figure.savefig(path, dpi=150, metadata={"Comment": USE})


def _show(panel: Axes, pixels: np.ndarray, title: str) -> None:
    size = pixels.shape[0]
    panel.imshow(pixels, extent=(0, size, size, 0), interpolation="antialiased")
    panel.set_title(title, fontsize=11)


def _boxes(panel: Axes, boxes: Boxes) -> None:
    width = 1.3 if len(boxes["labels"]) <= _MANY else 0.7
    for (left, top, right, bottom), label in zip(
        boxes["boxes"].tolist(), boxes["labels"].tolist(), strict=True
    ):
        colour, style = _LINES[label - 1]
        panel.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, color=colour, ls=style, lw=width)
        )


def _activation(tested: Tested, grader: Grader, found: Explained) -> np.ndarray:
    size = tested.pixels.shape[0]
    return covered(tested.pixels, found.activation, grader.framing.seen(size, size))


def _reference(tested: Tested, disease: str, scale: Scale) -> str:
    grade = "unknown" if tested.grade < 0 else f"{tested.grade} {scale.levels[tested.grade]}"
    unjudged = f"; not marked: {', '.join(tested.unjudged)}" if tested.unjudged else ""
    return f"{disease.upper()} reference: {grade}{unjudged}"
