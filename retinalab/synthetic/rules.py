"""The clinical rules that turn lesions into grades, for drawn and for real photographs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from retinalab.errors import RetinalabError, unknown
from retinalab.records import LESIONS, Records

__all__ = [
    "HAEMORRHAGES_PER_QUADRANT",
    "QUADRANTS",
    "Grading",
    "grade_masks",
    "grade_record",
    "quadrant_counts",
]

HAEMORRHAGES_PER_QUADRANT = 20
"""More than this many haemorrhages in each of the four quadrants is severe."""
QUADRANTS = ("superior nasal", "superior temporal", "inferior nasal", "inferior temporal")
FOVEA_TO_DISC = 2.5
"""Disc diameters between fovea and disc centre: stands in for a disc diameter that was not measured."""
DIRECT = ("MA", "HE", "VH", "PH", "NV")
"""Lesions that are a sign of diabetic retinopathy by themselves; EX, SE and FP are not."""


@dataclass(frozen=True)
class Grading:
    """What the rules say about one photograph.

    Attributes:
        dr: ICDR severity 0-4 that the lesions support; None where 0 cannot be told from not annotated.
        dme: risk of macular edema 0-2; None where exudates are not annotated, or lack a fovea.
        fired: the rules that decided, in words.
        not_evaluable: what could not be evaluated, and why.
        at_least: whether something unannotated could still raise ``dr``.
    """

    dr: int | None
    dme: int | None
    fired: tuple[str, ...]
    not_evaluable: tuple[str, ...]
    at_least: bool = False


def grade_masks(
    masks: np.ndarray,
    *,
    fovea: tuple[float, float] | None = None,
    disc: tuple[float, float] | None = None,
    disc_diameter: float | None = None,
    annotated: Collection[str] = LESIONS,
    venous_beading: int | None = None,
    irma: int | None = None,
) -> Grading:
    """Grade a photograph from its lesion masks.

    DR (ICDR severity), the highest rule that holds:
        - 4: NV, VH or PH; or FP together with a direct sign (MA, HE, VH, PH, NV).
        - 3: SE together with a grade-2 sign; more than 20 haemorrhages in each of four quadrants; venous
          beading in two quadrants or more; IRMA in one or more.
        - 2: HE; or EX together with MA.
        - 1: MA only.
        - 0: none of these; EX, SE or FP without a direct sign belong to other diseases too.
    Risk of macular edema: 0 no exudate; 2 an exudate within one disc diameter of the fovea; 1 otherwise.

    Reference: SiAN, Table 1 and section 4.1; the distance rule is that of Messidor and IDRiD.
    Differs from the paper: it leaves combinations of indirect signs to experts; here one lesion suffices.

    Args:
        masks: one plane per lesion, non-zero where present.
        fovea: centre of the fovea in pixels (x, y); needed for the quadrants and, with exudates, for DME.
        disc: centre of the optic disc in pixels (x, y); quadrants then follow the axis from fovea to disc.
        disc_diameter: in pixels; estimated from fovea and disc (2.5 diameters apart) where absent.
        annotated: the lesions that the masks annotate; the others are unknown, not absent.
        venous_beading: number of quadrants with venous beading, if it was assessed.
        irma: number of quadrants with intraretinal microvascular abnormality, if it was assessed.

    Shape:
        - ``masks``: ``(8, H, W)``, any dtype, planes in the order of ``retinalab.records.LESIONS``.

    Raises:
        RetinalabError: another number of planes, or a lesion that does not exist.

    Example:
        >>> masks = np.zeros((8, 64, 64), bool)
        >>> masks[0, 10:12, 10:12] = True
        >>> grade_masks(masks, fovea=(32, 32), disc_diameter=10).dr
        1
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or len(masks) != len(LESIONS):
        raise RetinalabError(
            f"Lesion masks of shape {masks.shape}. Give ({len(LESIONS)}, H, W), planes ordered "
            f"{', '.join(LESIONS)}."
        )
    for name in annotated:
        if name not in LESIONS:
            raise unknown("lesion", name, LESIONS)
    present = {name: bool(masks[i].any()) for i, name in enumerate(LESIONS) if name in annotated}
    missing: list[str] = [f"{name}: not annotated" for name in LESIONS if name not in annotated]
    counts = None
    if present.get("HE"):
        if fovea is None:
            missing.append("haemorrhages by quadrant: no fovea")
        else:
            counts = quadrant_counts(masks[LESIONS.index("HE")], fovea, disc)
    if venous_beading is None:
        missing.append("venous beading: not given")
    if irma is None:
        missing.append("IRMA: not given")
    dr, fired = _severity(present, counts, venous_beading or 0, irma or 0)
    grade: int | None = dr
    if dr == 0 and any(name not in annotated for name in DIRECT):
        grade = None
        missing.append("grade 0: a direct sign of retinopathy is not annotated")
    lacking = set(LESIONS) - set(annotated)
    open_rules = bool(lacking) or (present.get("HE", False) and counts is None and dr < 3)
    dme, words = _edema(masks, present, fovea, disc, disc_diameter, missing)
    return Grading(grade, dme, (*fired, *words), tuple(missing), at_least=dr < 4 and open_rules)


def _severity(
    present: Mapping[str, bool], counts: tuple[int, ...] | None, beading: int, irma: int
) -> tuple[int, list[str]]:
    has = {name: present.get(name, False) for name in LESIONS}
    moderate = [
        words
        for holds, words in (
            (has["HE"], "haemorrhage"),
            (has["EX"] and has["MA"], "hard exudate together with microaneurysm"),
        )
        if holds
    ]
    direct = [name for name in DIRECT if has[name]]
    four = [
        words
        for holds, words in (
            (has["NV"], "neovascularisation"),
            (has["VH"], "vitreous haemorrhage"),
            (has["PH"], "preretinal haemorrhage"),
            (has["FP"] and bool(direct), f"fibrous proliferation together with {', '.join(direct)}"),
        )
        if holds
    ]
    three = [
        words
        for holds, words in (
            (has["SE"] and bool(moderate), "soft exudate together with a grade-2 sign"),
            (
                counts is not None and min(counts) > HAEMORRHAGES_PER_QUADRANT,
                f"more than {HAEMORRHAGES_PER_QUADRANT} haemorrhages in each quadrant {counts}",
            ),
            (beading >= 2, f"venous beading in {beading} quadrants"),
            (irma >= 1, f"IRMA in {irma} quadrants"),
        )
        if holds
    ]
    for grade, words in ((4, four), (3, three), (2, moderate)):
        if words:
            return grade, [f"DR {grade}: {word}" for word in words]
    if has["MA"]:
        return 1, ["DR 1: microaneurysms without haemorrhage or hard exudate"]
    alone = [name for name in ("EX", "SE", "FP") if has[name]]
    if alone:
        return 0, [f"DR 0: {', '.join(alone)} without a direct sign of retinopathy"]
    return 0, ["DR 0: no lesion"]


def _edema(
    masks: np.ndarray,
    present: Mapping[str, bool],
    fovea: tuple[float, float] | None,
    disc: tuple[float, float] | None,
    diameter: float | None,
    missing: list[str],
) -> tuple[int | None, list[str]]:
    if "EX" not in present:
        missing.append("DME: hard exudates are not annotated")
        return None, []
    if not present["EX"]:
        return 0, ["DME 0: no hard exudate"]
    if fovea is None:
        missing.append("DME: hard exudates, but no fovea")
        return None, []
    if diameter is None and disc is not None:
        diameter = float(np.hypot(disc[0] - fovea[0], disc[1] - fovea[1])) / FOVEA_TO_DISC
        missing.append(
            f"disc diameter: not given, taken as the distance from fovea to disc / {FOVEA_TO_DISC}"
        )
    if diameter is None:
        missing.append("DME: no disc diameter")
        return None, []
    rows, columns = np.nonzero(masks[LESIONS.index("EX")])
    nearest = float(np.hypot(columns - fovea[0], rows - fovea[1]).min()) / diameter
    if nearest <= 1:
        return 2, [f"DME 2: hard exudate {nearest:.2f} disc diameters from the fovea"]
    return 1, [f"DME 1: nearest hard exudate {nearest:.2f} disc diameters from the fovea"]


def quadrant_counts(
    mask: np.ndarray, fovea: tuple[float, float], disc: tuple[float, float] | None = None
) -> tuple[int, int, int, int]:
    """Connected components per quadrant around the fovea, each counted where its centroid lies.

    Args:
        mask: ``(H, W)``, non-zero where present.
        fovea: (x, y) in pixels.
        disc: (x, y) in pixels; the axis then runs from fovea to disc, else the disc is taken to the right.

    Returns:
        Counts in the order of :data:`QUADRANTS`.
    """
    _, _, _, centres = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask != 0).view(np.uint8), connectivity=8
    )
    offset = centres[1:] - np.asarray(fovea, float)
    axis = np.array([1.0, 0.0]) if disc is None else np.asarray(disc, float) - np.asarray(fovea, float)
    axis /= max(float(np.hypot(*axis)), 1e-9)
    down = np.array([-axis[1], axis[0]]) * (1.0 if axis[0] >= 0 else -1.0)
    nasal, inferior = offset @ axis >= 0, offset @ down >= 0
    first, second, third, fourth = (
        int(np.sum((nasal == n) & (inferior == i))) for i in (False, True) for n in (True, False)
    )
    return first, second, third, fourth


def grade_record(records: Records, row: int, disc_diameter: float | None = None) -> Grading:
    """Grade one row of a record table from its mask files, with its fovea and disc where known.

    Raises:
        RetinalabError: no lesion is annotated, or a mask file cannot be read or differs in size.
    """
    entry = records.table.iloc[row]
    root = records.roots[entry["set"]]
    annotated = [name for name in LESIONS if entry[f"annotated_{name}"]]
    planes: dict[str, np.ndarray] = {}
    for name in annotated:
        if entry[f"mask_{name}"]:
            path = root / entry[f"mask_{name}"]
            plane = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if plane is None:
                raise RetinalabError(
                    f"Cannot read the mask {path} (row {row}). Restore the file or empty its cell."
                )
            planes[name] = plane > 0
    if not annotated:
        raise RetinalabError(f"{entry['image']} has no annotated lesion. Give a record with masks.")
    shapes = {plane.shape for plane in planes.values()} or {(1, 1)}
    if len(shapes) > 1:
        raise RetinalabError(
            f"The masks of {entry['image']} have several sizes: {sorted(shapes)}. Give one size."
        )
    shape = shapes.pop()
    masks = np.stack([planes.get(name, np.zeros(shape, bool)) for name in LESIONS])
    return grade_masks(
        masks,
        fovea=_point(entry["fovea_x"], entry["fovea_y"]),
        disc=_point(entry["disc_x"], entry["disc_y"]),
        disc_diameter=disc_diameter,
        annotated=annotated,
    )


def _point(x: float, y: float) -> tuple[float, float] | None:
    return None if np.isnan(x) or np.isnan(y) else (float(x), float(y))
