"""What a photograph is shown as, in which order, and what follows from the seed."""

from __future__ import annotations

import numpy as np
import pytest

from retinalab.errors import RetinalabError
from retinalab.robustness.conditions import DONORS, NAMES, Condition, Shown, conditions
from retinalab.robustness.corruptions import CORRUPTIONS
from retinalab.robustness.field import Field
from retinalab.robustness.recording import Tones, tones_of

Retina = tuple[np.ndarray, Field]


def test_all_ways_of_showing_a_photograph() -> None:
    found = conditions(NAMES, (5, 1, 5))
    assert found[:5] == (
        Condition("original"),
        Condition("flip"),
        *(Condition("colours", draw=k) for k in range(DONORS)),
    )
    assert found[5:] == tuple(Condition(name, severity) for name in CORRUPTIONS for severity in (1, 5))
    assert conditions(["views"], (1,)) == (Condition("original"),)
    assert conditions(["jpeg", "haze"], (2,))[1:] == (Condition("haze", 2), Condition("jpeg", 2))


def test_faults_of_the_user() -> None:
    with pytest.raises(
        RetinalabError, match=r"Unknown corruption or change 'defocuss'. Did you mean 'defocus'"
    ):
        conditions(["defocuss"], (1,))
    with pytest.raises(RetinalabError, match=r"Nothing to test. Choose of: views, flip"):
        conditions([], (1,))
    for severities, said in (((0, 3), "0, 3"), ((), "none"), ((6,), "6")):
        with pytest.raises(RetinalabError, match=f"Severities {said} are not all of 1 to 5"):
            conditions(["haze"], severities)


def test_a_photograph_mirrored_and_in_others_colours(retina: Retina) -> None:
    image, _ = retina
    donors = (Tones((-1.0, 0.2, 0.03), (0.2, 0.05, 0.01)), Tones((-1.2, 0.4, 0.06), (0.25, 0.04, 0.02)))
    several = (Condition("original"), Condition("flip"), Condition("colours"), Condition("colours", draw=1))
    shown = Shown("set/1.png", image, donors).under(several, 0)
    np.testing.assert_array_equal(shown[0], image)
    np.testing.assert_array_equal(shown[1], image[:, ::-1])
    for given, donor in zip(shown[2:], donors, strict=True):
        found = tones_of(given, Field.seen(image))
        np.testing.assert_allclose(found.mean, donor.mean, atol=0.03)
        np.testing.assert_allclose(found.deviation, donor.deviation, atol=0.03)


def test_draws_follow_from_seed_and_photograph_alone(retina: Retina) -> None:
    image, _ = retina
    everything = conditions(NAMES[3:], (1, 2, 3, 4, 5))
    shown = Shown("set/1.png", image).under(everything, 7)
    alone = [Shown("set/1.png", image).under([one], 7)[0] for one in everything]
    np.testing.assert_array_equal(shown, np.stack(alone))
    lash = [Condition("lash", 4)]
    others = [Shown("set/2.png", image).under(lash, 7), Shown("set/1.png", image).under(lash, 8)]
    for other in others:
        assert (other != Shown("set/1.png", image).under(lash, 7)).any()
