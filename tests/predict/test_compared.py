"""What two runs are compared on: one disease at one size, and photographs by their names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from retinalab.errors import RetinalabError
from retinalab.predict.compared import named_photographs, shared_disease

PHOTOGRAPHS = {"b/IDRiD_55.jpg": None, "IDRiD_57.jpg": None}


def grading(size: int, *diseases: str) -> Any:
    return SimpleNamespace(data=SimpleNamespace(size=size), scales=dict.fromkeys(diseases))


def test_the_first_disease_that_both_grade_is_compared() -> None:
    assert shared_disease(grading(64, "dr", "dme"), grading(64, "dme", "dr")) == "dr"
    assert shared_disease(grading(64, "dr", "dme"), grading(64, "dme")) == "dme"


def test_runs_of_other_sizes_or_diseases_are_refused() -> None:
    with pytest.raises(RetinalabError, match=r"photographs of 64 and of 96 pixels.*one data\.size"):
        shared_disease(grading(64, "dr"), grading(96, "dr"))
    with pytest.raises(
        RetinalabError, match=r"different diseases \(dr; dme\)\. Give two runs of one protocol"
    ):
        shared_disease(grading(64, "dr"), grading(64, "dme"))


def test_folder_and_suffix_of_a_name_may_be_left_out() -> None:
    assert named_photographs(PHOTOGRAPHS, ["idrid_55", "IDRiD_57.jpg"]) == list(PHOTOGRAPHS)
    with pytest.raises(RetinalabError, match=r"Unknown photograph 'IDRiD_56'.*lesion masks that neither run"):
        named_photographs(PHOTOGRAPHS, ["IDRiD_56"])
