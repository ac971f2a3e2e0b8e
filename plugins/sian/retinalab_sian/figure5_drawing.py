"""Figure 5 as a picture of four panels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from retinalab.explain import LESION_COLOURS, covered, with_lesions
from retinalab.protocol import Scale
from retinalab.records import LESION_NAMES, LESIONS
from retinalab_sian.figure5 import PRESENT, Compared, Said, Tested

__all__ = ["draw_figure5"]

USE = "Research use only: not for diagnosis."


def draw_figure5(compared: Compared, image: str, path: Path) -> None:
    """Draw one photograph: as it is, its true lesions, ABN's attention, and SiAN's lesion maps.

    Lesions have the palette of every overlay; a pixel is a lesion's from a probability of 0.5 on. The attention is
    drawn as it is, from 0 to 1.

    Reference: Figure 5.

    Args:
        compared: the two runs.
        image: one of its photographs.
        path: PNG.
    """
    tested = compared.read(image)
    sian, abn = (one.says(tested.pixels, compared.disease) for one in (compared.sian, compared.abn))
    assert abn.attention is not None
    scale = compared.sian.scales[compared.disease]
    figure = Figure(figsize=(13.2, 4.6), layout="constrained")
    panels = figure.subplots(1, 4)
    size = tested.pixels.shape[0]
    seen = compared.abn.framing.seen(size, size)
    shown = (
        (tested.pixels, "photograph", _reference(tested, compared.disease, scale)),
        (with_lesions(tested.pixels, tested.masks), "lesions marked", _listed(tested.marked)),
        (covered(tested.pixels, abn.attention, seen), "ABN: attention", _predicted(abn, scale)),
        (
            with_lesions(tested.pixels, sian.lesions),
            f"SiAN: lesions, probability from {PRESENT:g}",
            _predicted(sian, scale),
        ),
    )
    for panel, (pixels, title, below) in zip(panels, shown, strict=True):
        _show(panel, pixels, title, below)
    handles = [_handle(lesion, lesion in tested.masks, lesion in sian.lesions) for lesion in LESIONS]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
    labels = dict.fromkeys((*compared.sian.run.labels, *compared.abn.run.labels))
    low, high = float(abn.attention.min()), float(abn.attention.max())
    attention = f"attention: dark 0 to yellow 1, here {low:.2f} to {high:.2f}"
    figure.suptitle(f"{image}\n{'; '.join([attention, *labels, USE])}", fontsize=9)
    figure.savefig(path, dpi=150, metadata={"Comment": USE})


def _show(panel: Axes, pixels: np.ndarray, title: str, below: str) -> None:
    panel.imshow(pixels, interpolation="antialiased")
    panel.set(xticks=[], yticks=[], xlabel=below)
    panel.set_title(title, fontsize=11)


def _handle(lesion: str, judged: bool, taught: bool) -> Patch:
    """The legend's entry, with what is not known of the lesion."""
    red, green, blue = (value / 255 for value in LESION_COLOURS[lesion])
    missing = [
        word for word, there in (("not marked in this set", judged), ("not taught", taught)) if not there
    ]
    label = f"{lesion} {LESION_NAMES[lesion].split(' (')[0]}" + f" ({', '.join(missing)})" * bool(missing)
    return Patch(facecolor=(red, green, blue), edgecolor="black", label=label)


def _listed(lesions: tuple[str, ...]) -> str:
    return ", ".join(lesions) or "none"


def _reference(tested: Tested, disease: str, scale: Scale) -> str:
    grade = "unknown" if tested.grade < 0 else f"{tested.grade} {scale.levels[tested.grade]}"
    return f"{disease.upper()} reference: {grade}"


def _predicted(said: Said, scale: Scale) -> str:
    return f"predicted: {said.grade} {scale.levels[said.grade]} ({said.probability:.2f})"
