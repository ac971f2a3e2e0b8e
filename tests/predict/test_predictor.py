"""A run's networks give on a photograph's file what its own evaluation gave, in order and a batch at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.explain.grid import in_frame
from retinalab.explain.grid_tracking import GridTracking
from retinalab.metrics import read_table
from retinalab.predict.finished import FinishedRun, read_finished
from retinalab.predict.network import load_task
from retinalab.predict.photograph import Photograph
from retinalab.predict.predictor import Prediction, Predictor
from retinalab.runner import run as run_experiment

DISEASES = {"dr": 5, "dme": 3}


def by_image(predictions: list[Prediction]) -> dict[str, Prediction]:
    return {prediction.photograph.image: prediction for prediction in predictions}


def assert_same(run: FinishedRun, photographs: list[Photograph]) -> None:
    """Predictions of the files against the table that the run's own evaluation left."""
    table = read_table(run.path / "predictions.parquet", "predictions")
    found = by_image(list(Predictor(run, torch.device("cpu")).predict(photographs)))
    assert len(table) >= 6
    for row in table.itertuples():
        for disease, size in DISEASES.items():
            if not hasattr(row, f"{disease}_grade"):
                continue
            answer = found[str(row.image)].answers[disease]
            theirs = [getattr(row, f"{disease}_p{k}") for k in range(size)]
            assert answer.probabilities == pytest.approx(theirs, abs=1e-5)
            assert answer.grade == getattr(row, f"{disease}_grade")
            assert answer.confidence == max(answer.probabilities)


def test_the_same_probabilities_as_the_run_itself(graded: FinishedRun, photographs: list[Photograph]) -> None:
    assert_same(graded, photographs)


def test_the_same_on_real_photographs(shared_data: Path, tmp_path: Path, tiny: tuple[str, ...]) -> None:
    root = shared_data / "deepdrid"
    own = [
        f"data.root={root}",
        f"output={tmp_path / 'runs'}",
        f"data.cache={tmp_path / 'cache'}",
        "data.limit=4",
    ]
    more = ["protocol.diseases={dr: icdr5}", "data.view=whole", "data.background=null"]
    result = run_experiment(load_experiment("baseline", "deepdrid", [*tiny, *own, *more]))
    names = result.predictions["image"].unique()
    assert_same(read_finished(result.folder), [Photograph(name, root / name) for name in names])


def test_the_same_severity_as_the_run_itself(severity: FinishedRun, photographs: list[Photograph]) -> None:
    table = read_table(severity.path / "predictions.parquet", "predictions")
    found = by_image(list(Predictor(severity, torch.device("cpu")).predict(photographs)))
    for row in table.itertuples():
        for disease in DISEASES:
            answer = found[str(row.image)].answers[disease]
            assert answer.score == pytest.approx(getattr(row, f"{disease}_score"), abs=1e-5)
            assert answer.grade == getattr(row, f"{disease}_grade")
            assert answer.confidence is None


def test_folds_and_seeds_are_averaged(folded: FinishedRun, photographs: list[Photograph]) -> None:
    assert folded.children == ("fold-0_seed-0", "fold-0_seed-1", "fold-1_seed-0", "fold-1_seed-1")
    whole = list(Predictor(folded).predict(photographs[:5]))
    each = [list(Predictor(replace(folded, members=(m,))).predict(photographs[:5])) for m in folded.members]
    assert len(each) == 4
    for k, prediction in enumerate(whole):
        for disease in DISEASES:
            members = np.array([one[k].answers[disease].probabilities for one in each])
            answer = prediction.answers[disease]
            assert answer.probabilities == pytest.approx(members.mean(0), abs=1e-7)
            assert answer.grade == members.mean(0).argmax()
            assert members.std(0).max() > 1e-4


def test_the_map_of_an_ensemble_is_the_mean_of_its_members(
    folded: FinishedRun, photographs: list[Photograph]
) -> None:
    predictor = Predictor(folded)
    predictor.check_maps()
    (whole,) = predictor.predict(photographs[:1], maps=True)
    for disease in DISEASES:
        grade, size = whole.answers[disease].grade, predictor.networks[0].data.input_size
        maps = []
        for network in predictor.networks:
            layers = network.task.cam_layers(disease)
            given = _input(predictor, photographs[0])
            with torch.no_grad(), GridTracking(given) as tracking:
                features: torch.Tensor = layers.features(given)
            cells = torch.einsum("c,bchw->bhw", layers.linear.weight[grade].detach(), features)
            maps.append(in_frame(cells, tracking.grid(features), (size, size))[0])
        mean = torch.stack(maps).mean(0).numpy()
        np.testing.assert_allclose(whole.maps[disease].values, mean, atol=1e-5)


def _input(predictor: Predictor, photograph: Photograph) -> torch.Tensor:
    from retinalab.predict.prepare import read_working

    (batches,) = predictor.batches.values()
    pixels = read_working(photograph.path, batches.data.size).pixels
    return batches.make(pixels[None])["image"]


def test_what_cannot_be_graded_has_a_reason_and_the_others_their_answers(
    graded: FinishedRun, photographs: list[Photograph], tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "cut.jpg").write_bytes(photographs[0].path.read_bytes()[:500])
    bad = [Photograph(name, tmp_path / name) for name in ("text.jpg", "cut.jpg", "gone.jpg")]
    mixed = [bad[0], photographs[0], bad[1], photographs[1], bad[2]]
    found = list(Predictor(graded).predict(mixed))
    assert [p.photograph for p in found] == mixed
    assert [bool(p.reason) for p in found] == [True, False, True, False, True]
    assert "is text, not an image" in found[0].reason
    assert "truncated or damaged" in found[2].reason
    assert "No file" in found[4].reason
    alone = list(Predictor(graded).predict(photographs[:2]))
    for one, other in zip(alone, (found[1], found[3]), strict=True):
        assert one.answers["dr"].probabilities == pytest.approx(other.answers["dr"].probabilities, abs=1e-6)
    assert not found[0].answers
    assert [p.reason for p in Predictor(graded).predict(bad)] == [
        found[0].reason,
        found[2].reason,
        found[4].reason,
    ]


def test_photographs_are_taken_as_they_are_needed(graded: FinishedRun, photographs: list[Photograph]) -> None:
    taken = 0

    def endless() -> Iterator[Photograph]:
        nonlocal taken
        while True:
            taken += 1
            yield photographs[taken % len(photographs)]

    predictor = Predictor(graded)
    predictions = predictor.predict(endless())
    for number in range(1, 40):
        next(predictions)
        assert taken <= number + 2 * predictor.batch
    predictions.close()  # type: ignore[attr-defined]


def test_a_network_that_gives_no_number_is_no_grade(
    graded: FinishedRun, photographs: list[Photograph], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(graded)
    with torch.no_grad():
        predictor.networks[0].task.network.get_parameter("heads.dr.bias").fill_(torch.nan)
    (found,) = predictor.predict(photographs[:1])
    assert "no finite number" in found.reason
    assert not found.answers


def test_weights_that_training_began_with_are_not_asked_for(graded: FinishedRun, tmp_path: Path) -> None:
    checkpoint = graded.members[0].checkpoint
    stored = torch.load(checkpoint, weights_only=True)
    stored["hyper_parameters"]["config"]["weights"] = str(tmp_path / "gone.safetensors")
    torch.save(stored, tmp_path / "moved.ckpt")
    images = torch.rand(1, 3, 48, 48)
    ours, theirs = load_task(tmp_path / "moved.ckpt", "baseline"), load_task(checkpoint, "baseline")
    assert torch.equal(ours(images)["dr"], theirs(images)["dr"])
    assert not ours.training


class _Wicked:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch wicked",)


def test_a_checkpoint_that_would_run_code_is_refused(
    graded: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "hyper_parameters": _Wicked()}, tmp_path / "best.ckpt")
    with pytest.raises(RetinalabError, match="holds more than plain data and is not read") as error:
        load_task(tmp_path / "best.ckpt", "baseline")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "wicked").exists()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "cannot be read as weights"),
        (lambda path: path.write_bytes(b""), "cannot be read as weights"),
        (lambda path: torch.save({"state_dict": {}}, path), "'hyper_parameters'"),
        (lambda path: torch.save([1], path), "cannot be used by task 'baseline'"),
    ],
)
def test_a_damaged_checkpoint_is_named(
    graded: FinishedRun, tmp_path: Path, harm: object, reason: str
) -> None:
    path = Path(shutil.copy(graded.members[0].checkpoint, tmp_path / "best.ckpt"))
    harm(path)  # type: ignore[operator]
    with pytest.raises(RetinalabError, match=reason) as error:
        load_task(path, "baseline")
    assert "best.ckpt" in str(error.value)
    assert "\n" not in str(error.value)
