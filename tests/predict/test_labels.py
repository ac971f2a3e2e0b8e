"""Labels by the names that public files use, and figures against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from retinalab.errors import RetinalabError
from retinalab.predict.labels import Judged, read_labels
from retinalab.predict.photograph import Photograph
from retinalab.predict.predictor import Answer, Prediction
from retinalab.protocol import SCALES

BOTH = {"dr": SCALES["icdr5"], "dme": SCALES["risk3"]}
DR = {"dr": SCALES["icdr5"]}

FILES = {
    "Messidor-2": "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable\nA.JPG,3,1,1\nb.png,,0,1\n",
    "IDRiD": "Image name,Retinopathy grade,Risk of macular edema ,,\nA,3,1,,\nb,,0,,\n",
    "ours": "image,patient,dr,dme,dr_grade\nx/A.tif,7,3,1,0\ny/b.tif,7,,0,0\n",
}


@pytest.mark.parametrize("name", ["Messidor-2", "IDRiD", "ours"])
def test_columns_by_the_names_that_public_files_use(tmp_path: Path, name: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(FILES[name])
    labels = read_labels(path, BOTH)
    assert labels.grades == {"dr": {"a": 3, "b": -1}, "dme": {"a": 1, "b": 0}}
    assert labels.patients == ({"a": "7", "b": "7"} if name == "ours" else {})


@pytest.mark.parametrize("header", ["image,level", "id_code,diagnosis", "file,grade", "picture,score"])
def test_a_file_of_two_columns(tmp_path: Path, header: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"{header}\n10_left,0\n10_right,4\n")
    assert read_labels(path, DR).grades == {"dr": {"10_left": 0, "10_right": 4}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image,dr\n", ["holds no label"]),
        ("image,dr\na,1\nb,5\nc,7\n", ["row 3: dr is 5, outside icdr5", "0 to 4; 2 such rows"]),
        ("image,dr\na,1\nb,mild\n", ["row 3: dr is 'mild', not a whole number"]),
        ("image,dr\nx/a.png,1\ny/A.jpg,1\n", ["row 3: 'y/A.jpg' has a label already"]),
        ("image,eye,sex\na,1,2\n", ["Unknown column 'dr'", "eye, image, sex"]),
        ("eye,sex,dr\na,1,2\n", ["Unknown column 'image'"]),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(RetinalabError) as error:
        read_labels(path, BOTH)
    assert "\n" not in str(error.value)
    for part in (str(path), *expected):
        assert part in str(error.value)


def test_photographs_without_any_label(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,dr\na,1\n")
    labels = read_labels(path, DR)
    with pytest.raises(
        RetinalabError, match=r"it names 'a', they 'b' \(folders, suffixes and case do not count\)"
    ):
        labels.matched([Photograph("x/B.png", Path("x/B.png"))])
    twice = [Photograph(f"{folder}/A.png", Path(f"{folder}/A.png")) for folder in "xy"]
    with pytest.raises(RetinalabError, match=r"'x/A.png' and 'y/A.png' bear the same name 'a'"):
        labels.matched(twice)
    assert labels.matched([twice[0], Photograph("b.png", Path("b.png"))]) == 1


def test_agreement_is_that_of_scikit_learn(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 5, 60)
    probabilities = generator.dirichlet(np.ones(5), 60)
    probabilities[np.arange(60), truth] += 0.4
    probabilities /= probabilities.sum(1, keepdims=True)
    path = tmp_path / "labels.csv"
    pd.DataFrame({"image": [f"IM{k:03d}" for k in range(60)], "level": truth}).to_csv(path, index=False)
    judged = Judged(read_labels(path, DR))
    for k, row in enumerate(probabilities):
        photograph = Photograph(f"folder/im{k:03d}.png", Path("x"))
        judged.add(Prediction(photograph, {"dr": Answer(int(row.argmax()), tuple(row))}))
    judged.add(Prediction(Photograph("unknown.png", Path("x")), {"dr": Answer(0, (1.0, 0, 0, 0, 0))}))
    figures = judged.figures(DR)
    kappa = cohen_kappa_score(truth, probabilities.argmax(1), weights="quadratic")
    assert figures["test/dr/kappa"]["value"] == pytest.approx(kappa)
    auc = roc_auc_score(truth >= 2, probabilities[:, 2:].sum(1))
    assert figures["test/dr/auc_referable"]["value"] == pytest.approx(auc)
    low, high = figures["test/dr/kappa"]["low"], figures["test/dr/kappa"]["high"]
    assert low is not None
    assert high is not None
    assert low < kappa < high
    assert figures["test/dr/kappa"]["n"] == 60


def test_what_was_not_graded_takes_no_part(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,dr\na,1\nb,2\n")
    judged = Judged(read_labels(path, DR))
    judged.add(Prediction(Photograph("a.png", Path("a.png")), reason="It is black."))
    assert (judged.ungraded, judged.figures(DR)) == (1, {})
