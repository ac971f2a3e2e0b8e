"""Lesions in colour: one palette, told apart by all common kinds of colour vision, small lesions above large ones."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest

from retinalab.explain import LESION_COLOURS, lesion_sheet, with_lesions
from retinalab.records import LESIONS

DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
"""Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB."""


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_eight_colours_that_can_be_told_apart(deficiency: str) -> None:
    assert tuple(LESION_COLOURS) == LESIONS
    colours = np.array(list(LESION_COLOURS.values())) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.array(DEFICIENCIES[deficiency]).T).clip(0, 1)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = cv2.cvtColor(encoded[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    least = min(np.linalg.norm(a - b) for a, b in combinations(lab, 2))
    assert least > 9
    grey = cv2.cvtColor(np.full((1, 1, 3), 60 / 255, np.float32), cv2.COLOR_RGB2LAB)[0, 0]
    assert min(np.linalg.norm(one - grey) for one in lab) > 20


def test_a_lesion_is_tinted_and_outlined_around() -> None:
    photograph = np.full((40, 60, 3), 100, np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[10, 20] = True
    shown = with_lesions(photograph, {"HE": mask})
    colour = LESION_COLOURS["HE"]
    assert shown[10, 20].tolist() == [round((100 + c) / 2) for c in colour]
    assert shown[9, 20].tolist() == list(colour)
    changed = (shown != 100).any(2)
    assert changed.sum() == 5
    assert (shown[30, 50] == 100).all()


def test_a_small_lesion_lies_above_a_large_one() -> None:
    photograph = np.zeros((40, 40, 3), np.uint8)
    large, small = np.ones((40, 40), bool), np.zeros((40, 40), bool)
    small[20, 20] = True
    shown = with_lesions(photograph, {"MA": small, "VH": large})
    assert shown[19, 20].tolist() == list(LESION_COLOURS["MA"])
    assert shown[5, 5].tolist() == [round(c / 2) for c in LESION_COLOURS["VH"]]


def test_the_sheet_shows_photograph_overlay_and_legend() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    mask = np.zeros((200, 300), bool)
    sheet = lesion_sheet(photograph, {"EX": mask}, {"EX": "0.20", "NV": "not taught"}, ["one", "two"])
    pixels = np.asarray(sheet)
    assert np.array_equal(pixels[:200, :300], photograph)
    assert np.array_equal(pixels[:200, -300:], with_lesions(photograph, {"EX": mask}))
    below = pixels[200:].reshape(-1, 3)
    assert (below == LESION_COLOURS["EX"]).all(1).any()
    assert not (below == LESION_COLOURS["NV"]).all(1).any()
