"""Options of CLPI that exclude each other are refused before anything is trained."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from retinalab_clpi.config import ClpiConfig, LesionPatchConfig

from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment


def test_grades_need_a_way_to_the_generator() -> None:
    with pytest.raises(ValidationError, match="no way to the generator"):
        ClpiConfig(shortcut=False)
    with pytest.raises(RetinalabError, match=r"no way to the generator.*gradient=all"):
        load_experiment("clpi", "synthetic", ["grading.task.shortcut=false"])


@pytest.mark.parametrize(
    "given",
    [{"gradient": "all"}, {"gradient": "none"}, {"variant": "plain"}, {"variant": "attention"}],
)
def test_without_the_shortcut_other_ways_are_taken(given: dict[str, str]) -> None:
    assert not ClpiConfig.model_validate({"shortcut": False, **given}).shortcut


def test_patches_are_never_made_smaller() -> None:
    with pytest.raises(ValidationError, match="patch_side"):
        LesionPatchConfig(patch_side=64)
