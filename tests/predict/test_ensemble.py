"""Several runs and several views: every network in every view counts alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

import retinalab.predict.prepare
from retinalab.errors import RetinalabError
from retinalab.predict.alike import check_alike
from retinalab.predict.finished import FinishedRun
from retinalab.predict.opened import open_all
from retinalab.predict.photograph import Photograph
from retinalab.predict.pixels import pixels_of
from retinalab.predict.predictor import Prediction, Predictor
from retinalab.predict.prepare import read_working
from retinalab.predict.views import VIEWS
from retinalab.protocol import SCALES

DISEASES = ("dr", "dme")


def alone(run: FinishedRun, photographs: list[Photograph]) -> list[list[Prediction]]:
    """What each network says by itself."""
    return [list(Predictor(replace(run, members=(member,))).predict(photographs)) for member in run.members]


def test_runs_are_averaged_network_by_network(
    graded: FinishedRun, folded: FinishedRun, photographs: list[Photograph]
) -> None:
    some = photographs[:3]
    whole = list(Predictor(graded, others=[folded]).predict(some))
    each = alone(graded, some) + alone(folded, some)
    assert len(each) == 5
    for k, prediction in enumerate(whole):
        for disease in DISEASES:
            members = np.array([one[k].answers[disease].probabilities for one in each])
            mean, answer = members.mean(axis=0), prediction.answers[disease]
            assert answer.probabilities == pytest.approx(mean, abs=1e-7)
            assert answer.grade == mean.argmax()
            assert answer.entropy == pytest.approx(scipy.stats.entropy(mean), abs=1e-6)
            shared = scipy.stats.entropy(mean) - scipy.stats.entropy(members, axis=1).mean()
            assert answer.mutual_information == pytest.approx(shared, abs=1e-6)
            assert answer.sd is None


def test_a_single_network_has_entropy_and_no_disagreement(
    graded: FinishedRun, photographs: list[Photograph]
) -> None:
    (found,) = Predictor(graded).predict(photographs[:1])
    assert found.answers["dr"].entropy == pytest.approx(
        scipy.stats.entropy(found.answers["dr"].probabilities)
    )
    assert found.answers["dr"].mutual_information is None


def test_severity_has_a_deviation_between_views(severity: FinishedRun, photographs: list[Photograph]) -> None:
    views = [list(Predictor(severity, views=[view]).predict(photographs[:2])) for view in VIEWS]
    for k, found in enumerate(Predictor(severity, views=VIEWS).predict(photographs[:2])):
        scores = [view[k].answers["dr"].score for view in views]
        assert found.answers["dr"].score == pytest.approx(np.mean(scores), abs=1e-6)
        assert found.answers["dr"].sd == pytest.approx(np.std(scores), abs=1e-6)
        assert found.answers["dr"].entropy is None
    assert views[0][0].answers["dr"].sd is None


def test_views_are_members_and_their_maps_are_turned_back(
    graded: FinishedRun, photographs: list[Photograph]
) -> None:
    predictor = Predictor(graded, views=VIEWS)
    predictor.check_maps()
    (found,) = predictor.predict(photographs[:1], maps=True)
    (network,) = predictor.networks
    pixels = torch.from_numpy(read_working(photographs[0].path, network.data.size).pixels)[None]
    answers, maps = [], []
    for flip in (False, True):
        for turns in range(4):
            seen = torch.rot90(pixels.flip(2) if flip else pixels, turns, (1, 2)).contiguous().numpy()
            batch = network.batches.make(seen)
            answers.append(network.answers(batch)["dr"][0])
            one = torch.from_numpy(network.maps(batch, "dr", np.array([found.answers["dr"].grade])))
            one = torch.rot90(one, -turns, (1, 2))
            maps.append((one.flip(2) if flip else one)[0].numpy())
    assert found.answers["dr"].probabilities == pytest.approx(np.mean(answers, axis=0), abs=1e-6)
    np.testing.assert_allclose(found.maps["dr"].values, np.mean(maps, axis=0), atol=1e-5)
    assert np.std(answers, axis=0).max() > 1e-5


def test_a_photograph_is_decoded_and_prepared_once(
    graded: FinishedRun, photographs: list[Photograph], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []

    def counting(*given: object) -> np.ndarray:
        read.append(given)
        return pixels_of(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(retinalab.predict.prepare, "pixels_of", counting)
    list(Predictor(graded).predict(photographs[:4]))
    once = len(read)
    several = Predictor(graded, others=[graded, graded])
    list(several.predict(photographs[:4]))
    assert len(read) == 2 * once
    assert len(several.voices) == 3
    assert len(several.makers) == 1


def test_others_diseases_and_scales_are_refused_in_a_line(graded: FinishedRun, severity: FinishedRun) -> None:
    with pytest.raises(RetinalabError, match=r"dr on icdr5 \(severity\).* cannot be averaged") as error:
        Predictor(graded, others=[severity])
    assert "\n" not in str(error.value)
    for other in ({"dr": SCALES["messidor4"]}, {"dme": SCALES["risk3"]}, {}):
        with pytest.raises(RetinalabError, match="cannot be averaged"):
            check_alike((graded, severity), [({"dr": SCALES["icdr5"]}, frozenset()), (other, frozenset())])


def test_the_same_network_twice_is_refused(graded: FinishedRun) -> None:
    with pytest.raises(RetinalabError, match="hold the same network"):
        open_all([graded.path, graded.members[0].checkpoint])


def test_maps_of_other_views_are_not_laid_over_one_another(graded: FinishedRun, folded: FinishedRun) -> None:
    with pytest.raises(RetinalabError, match="different sizes or views") as error:
        Predictor(graded, others=[folded]).check_maps()
    assert "--cam" in str(error.value)
