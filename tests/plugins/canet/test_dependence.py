"""Directed pairs of diseases."""

from __future__ import annotations

import pytest
from retinalab_canet.dependence import dependence_pairs

from retinalab.errors import RetinalabError


@pytest.mark.parametrize("word", ["all", "both"])
def test_all_means_every_ordered_pair(word: str) -> None:
    assert set(dependence_pairs(word, ["dr", "dme"])) == {("dr", "dme"), ("dme", "dr")}
    # section V: "if there are five correlated diseases, 20 disease-dependent attention modules"
    assert len(dependence_pairs(word, ["dr", "dme", "glaucoma", "amd", "cataract"])) == 20
    assert dependence_pairs(word, ["dr"]) == ()


def test_one_direction_in_every_spelling() -> None:
    for given in ("dr2dme", "dr->dme", ["dr2dme"], ["dr->dme", "dr2dme"]):
        assert dependence_pairs(given, ["dr", "dme"]) == (("dr", "dme"),)
    assert dependence_pairs("none", ["dr", "dme"]) == ()


def test_an_ungraded_disease_is_named_with_the_choices() -> None:
    with pytest.raises(
        RetinalabError, match=r"'dr2dne'\. Did you mean 'dr2dme'\? Choices: all, dme2dr, dr2dme, none\."
    ):
        dependence_pairs("dr2dne", ["dr", "dme"])
    with pytest.raises(RetinalabError, match="The diseases graded here: dr"):
        dependence_pairs(["dr2dme"], ["dr"])
