"""Contact sheets: grades, cameras, lesions and faults at a glance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np

from retinalab.records import LESION_NAMES, LESIONS
from retinalab.synthetic.camera import CAMERAS, FAULTS
from retinalab.synthetic.world import Scene, World, WorldOptions

__all__ = ["contact_sheet"]

_GRADES = ("no retinopathy", "mild", "moderate", "severe", "proliferative")
_MARGIN = 22


def contact_sheet(seed: int = 0, size: int = 192, columns: int = 8) -> np.ndarray:
    """A sheet of photographs: a row per grade, per camera, per lesion (a crop around it) and per fault.

    Args:
        seed: of the world.
        size: of a photograph's field of view in pixels.
        columns: photographs in a row.

    Shape:
        - Returns: ``(H, W, 3)``, uint8, RGB.
    """
    plain = World(WorldOptions(photographs=4000, seed=seed, faults=0.0))
    rows = []
    for grade, words in enumerate(_GRADES):
        found = _scenes(plain, partial(_of_grade, grade), columns)
        rows.append(_row(f"DR {grade}: {words}", [_tile(plain, scene, size) for scene in found], size))
    for name in CAMERAS:
        world = World(WorldOptions(photographs=400, seed=seed, faults=0.0, cameras=(name,)))
        tiles = [_tile(world, world.scene(4 * k + 2 * (k % 2)), size) for k in range(columns)]
        rows.append(_row(f"camera {name}", tiles, size))
    for lesion in LESIONS:
        found = _scenes(plain, partial(_with_lesion, lesion), columns)
        tiles = [_close_up(plain, scene, lesion, size) for scene in found]
        rows.append(_row(f"{lesion}: {LESION_NAMES[lesion]}", tiles, size))
    faulty = World(WorldOptions(photographs=4000, seed=seed, faults=1.0))
    for fault in FAULTS:
        tiles = []
        for level in (1, 2, 3):
            count = columns // 3 + (level <= columns % 3)
            found = _scenes(faulty, partial(_with_fault, fault, level), count)
            tiles += [_tile(faulty, scene, size) for scene in found]
        rows.append(_row(f"fault {fault.replace('_', ' ')}, slight to severe", tiles, size))
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _scenes(world: World, wanted: Callable[[Scene], bool], count: int) -> list[Scene]:
    """The first scenes that are wanted, one per patient."""

    def found() -> Iterator[Scene]:
        last = -1
        for index in range(len(world)):
            scene = world.scene(index)
            if scene.patient != last and wanted(scene):
                last = scene.patient
                yield scene

    scenes = found()
    return [scene for _, scene in zip(range(count), scenes, strict=False)]


def _of_grade(grade: int, scene: Scene) -> bool:
    return scene.dr == grade and scene.view == 0


def _with_lesion(lesion: str, scene: Scene) -> bool:
    return scene.view == 0 and any(each.kind == lesion for each in scene.lesions)


def _with_fault(fault: str, level: int, scene: Scene) -> bool:
    return scene.fault == fault and scene.fault_level == level


def _tile(world: World, scene: Scene, size: int) -> np.ndarray:
    return _centred(world.render(scene.index, size).image, size)


def _close_up(world: World, scene: Scene, lesion: str, size: int) -> np.ndarray:
    """A square around the largest lesion of a kind, about three and a half disc diameters wide."""
    photograph = world.render(scene.index, 2 * size)
    largest = max((each for each in scene.lesions if each.kind == lesion), key=lambda each: each.extent)
    matrix = scene.frame(2 * size).matrix
    x, y = np.round(matrix[:, :2] @ [largest.x, largest.y] + matrix[:, 2]).astype(int)
    height, width = photograph.image.shape[:2]
    side = min(size, height, width)
    left, top = int(np.clip(x - side // 2, 0, width - side)), int(np.clip(y - side // 2, 0, height - side))
    return _centred(photograph.image[top : top + side, left : left + side], size)


def _centred(image: np.ndarray, size: int) -> np.ndarray:
    """Cut or padded to a square of the size."""
    square = np.zeros((size, size, 3), np.uint8)
    height, width = image.shape[:2]
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    part = image[top : top + size, left : left + size]
    down, right = (size - part.shape[0]) // 2, (size - part.shape[1]) // 2
    square[down : down + part.shape[0], right : right + part.shape[1]] = part
    return square


def _row(title: str, tiles: list[np.ndarray], size: int) -> np.ndarray:
    strip = np.hstack(tiles) if tiles else np.zeros((size, size, 3), np.uint8)
    head = np.zeros((_MARGIN, strip.shape[1], 3), np.uint8)
    cv2.putText(
        head, title, (6, _MARGIN - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA
    )
    return np.vstack([head, strip])
