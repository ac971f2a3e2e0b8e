"""``evaluate``: a run's folder or a table made elsewhere; the clinical reading in 80 columns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import accuracy_score, precision_score, recall_score

from retinalab.cli import main
from retinalab.metrics import write_table
from retinalab.records import LESIONS


def predictions(
    count: int = 60, seeds: tuple[int, ...] = (0,), sets: tuple[str, ...] = ("made",)
) -> pd.DataFrame:
    frames = []
    for name in sets:
        for part in ("val", "test"):
            for seed in seeds:
                truth, draw = (
                    np.random.default_rng([len(name), len(part)]),
                    np.random.default_rng([seed, len(part)]),
                )
                grade = truth.integers(0, 5, count)
                logits = -((grade[:, None] + draw.normal(0, 0.9, count)[:, None] - np.arange(5)) ** 2)
                shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
                table = pd.DataFrame(shares, columns=[f"dr_p{k}" for k in range(5)])
                table = table.assign(dr=grade, dr_grade=shares.argmax(axis=1), part=part, seed=seed, set=name)
                table["image"] = [f"{part}/photograph-{k}.png" for k in range(count)]
                table["patient"] = [f"{part}{k // 2}" for k in range(count)]
                table["eye"] = ["left", "right"] * (count // 2)
                table["camera"] = np.where(
                    np.arange(count) < count - 6, "a camera of a very long name", "van"
                )
                for lesion in LESIONS:
                    table[f"lesion_{lesion}"] = int(lesion == "MA")
                    table[f"lesion_{lesion}_p"] = truth.uniform(size=count)
                frames.append(table)
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of two seeds on two sets, with ungradable photographs that its protocol left out."""
    folder = tmp_path / "run-1"
    folder.mkdir()
    table = predictions(seeds=(0, 1), sets=("made", "other"))
    write_table(table, folder / "predictions.parquet", "predictions")
    rows = [{"image": f"dark-{k}.png", "set": "made", "patient": f"dark{k}", "dr": -1} for k in range(3)]
    dark = pd.DataFrame(
        [{**row, "seed": seed, "part": "test", "gradable": False} for row in rows for seed in (0, 1)]
    )
    write_table(dark, folder / "ungradable.parquet", "predictions")
    protocol = {"diseases": {"dr": "icdr5"}, "split": "held-out"}
    (folder / "experiment.yaml").write_text(yaml.safe_dump({"name": "x", "paper": "y", "protocol": protocol}))
    (folder / "provenance.json").write_text("{}")
    metric = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 60, "n_groups": 30}
    (folder / "metrics.json").write_text(json.dumps({"test/dr/kappa": metric, "test@other/dr/kappa": metric}))
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table made elsewhere: no validation, no patients, no probabilities."""
    one = predictions()
    path = tmp_path / "answers.csv"
    one[one["part"] == "test"][["image", "dr", "dr_grade"]].rename(columns={"dr": "truth"}).to_csv(
        path, index=False
    )
    return path


def test_a_runs_figures_are_those_of_its_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run)]) == 0
    told = capsys.readouterr().out
    one = predictions(seeds=(0, 1))
    tested = one[one["part"] == "test"]
    right = np.mean([accuracy_score(rows["dr"], rows["dr_grade"]) for _, rows in tested.groupby("seed")])
    (line,) = (line for line in told.splitlines() if line.startswith("test/dr/accuracy "))
    assert float(line.split()[1]) == pytest.approx(right, abs=5e-4)
    assert "test@other/dr/kappa" in told
    assert told.endswith("\nResearch use only: not for diagnosis.\n")


def test_a_run_that_maps_lesions_alone_keeps_its_keys(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "predictions.parquet").unlink()
    counts = dict.fromkeys(("tp", "fp", "fn", "hits", "misses", "false_components"), 2)
    row = {"image": "a.png", "set": "made", "part": "test", "group": "made/a", "lesion": "MA", **counts}
    histograms = {"hist_in": [[0] * 255 + [4]], "hist_out": [[4] + [0] * 255]}
    write_table(pd.DataFrame([row]).assign(**histograms), run / "lesions.parquet", "lesions")
    assert main(["evaluate", str(run)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("test/lesion/MA/f1"))
    assert float(line.split()[1]) == 0.5
    assert main(["evaluate", str(run), "--clinical"]) == 2
    assert "hold no graded disease" in capsys.readouterr().err


def test_the_clinical_reading_of_a_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clinical.json"
    asked = ["--prevalence", "0.05", "--specificity", "0.8", "--subgroup", "camera", "--subgroup", "set"]
    assert main(["evaluate", str(run), "--clinical", *asked, "--json", str(out)]) == 0
    told = capsys.readouterr().out
    assert told.endswith("\nResearch use only: not for diagnosis.\n")
    assert max(map(len, told.splitlines())) <= 80
    for words in (
        "Stated prevalence 0.05 (as given)", "Means over 2", "Referable (grade 2 and above)",
        "Vision-threatening (grade 3 and above)", "specificity 0.8 val.", "sensitivity 0.95 val.",
        "worse eye, 30 patients",
        "after temperature scaling", "Ungradable: 3 of 63 photographs; 3 without a reference grade",
        "Lesions against grades", "of the first seed", "by camera", "DR by test set", "fewer than 20 patients",
    ):  # fmt: skip
        assert words in told, words
    content = json.loads(out.read_text(encoding="utf-8"))
    point = content["sets"][0]["diseases"][0]["targets"][0]["points"][0]["figures"]
    one = predictions(seeds=(0, 1))
    tested = one[one["part"] == "test"]
    for name, figure in (("sensitivity", recall_score), ("ppv", precision_score)):
        each = [figure(rows["dr"] >= 2, rows["dr_grade"] >= 2) for _, rows in tested.groupby("seed")]
        assert point[name]["value"] == pytest.approx(np.mean(each))
    assert [one["prefix"] for one in content["sets"]] == ["test", "test@other"]


def test_predictions_made_elsewhere_without_validation(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(table), "--map", "dr=truth", "--clinical"]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    joined = " ".join(told.split())
    assert "! no validation part: thresholds and temperatures cannot be fixed" in joined
    assert "specificity 0.9 on validation: no validation photograph with a known grade" in joined
    assert "Calibration not applicable" in joined
    assert "the patients are unknown" in joined


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prevalence", "0.1"], "--prevalence belongs to the clinical reading. Add --clinical"),
        (["--clinical", "--prevalence", "10"], "prevalence is 10, not a share between 0 and 1"),
        (["--clinical", "--ungradable", "quality"], "not of the form COLUMN=VALUE"),
        (["--clinical", "--subgroup", "camra"], "Did you mean 'camera'?"),
        (["--clinical", "--json", "nowhere/at/all.json"], "Name a file in a folder that exists"),
        (["--scale", "dr=icdr5"], "--scale is for tables made elsewhere"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path / "none.csv")]) == 2
    assert "Give a CSV or Parquet table of predictions, or a run's folder" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "Give the folder of a finished run" in capsys.readouterr().err


def test_it_needs_no_torch(table: Path) -> None:
    code = (
        "import sys; from retinalab.cli import main; import retinalab.report.folder; "
        f"assert main(['evaluate', {str(table)!r}, '--map', 'dr=truth', '--clinical']) == 0; "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("image", "", "row 2 names no image (1 such row)"),
        ("seed", "first", "seed 'first' is no whole number (1 such row)"),
        ("fold", "0.5", "fold '0.5' is no whole number (1 such row)"),
    ],
)
def test_rows_that_cannot_be_counted_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, cell: str, message: str
) -> None:
    """Whether figures or a clinical reading are asked for, in one line."""
    given = pd.DataFrame(
        {"image": ["a", "b"], "dr": [0, 1], "dr_grade": [0, 1], "seed": [0, 0], "fold": [0, 0]}
    )
    given = given.astype(object)
    given.loc[1, column] = cell
    path = tmp_path / "table.csv"
    given.to_csv(path, index=False)
    for more in ([], ["--clinical"]):
        assert main(["evaluate", str(path), *more]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1


def test_a_report_of_a_run_without_its_experiment(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that was copied by half is named, with what it lacks."""
    (run / "experiment.yaml").unlink()
    assert main(["report", str(run)]) == 2
    assert "is no finished run: it has no experiment.yaml." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"part": "Test"}, "Unknown part 'Test'. Did you mean 'test'?"),
        ({"image": "one.png", "patient": "p"}, "'one.png' stands there twice"),
        ({"dr_p0": -0.3}, "are no probabilities: they begin -0.3"),
        ({f"dr_p{k}": 5.0 for k in range(5)}, "add up to 25"),
    ],
)
def test_rows_that_would_mislead_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], said: str
) -> None:
    given = predictions()
    given.loc[[3, 5], list(change)] = list(change.values())
    given.loc[[3, 5], ["eye", "part"]] = ["left", change.get("part", "val")]
    file = tmp_path / "table.csv"
    given.to_csv(file, index=False)
    assert main(["evaluate", str(file)]) == 2
    assert said in capsys.readouterr().err


def test_probabilities_printed_with_two_decimals_pass(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    predictions().round(2).to_csv(file, index=False)
    assert main(["evaluate", str(file)]) == 0


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("", [], "is empty. Give a CSV with a header and a row for each photograph"),
        ("image,dr,dr_grade\n", [], "has a header and no rows. Give a row for each photograph"),
        ("image,dr,dr_grade\na,-1,0\nb,-1,1\n", [], "the reference dr is unknown (-1) in all 2 rows. Give grades"),
        ("image,dr,dr,dr_grade\na,0,1,0\n", [], "has 2 columns 'dr'. Remove or rename all but the one that is meant."),
        ("image,dr,dr_grade\na,0,0\n", ["--map", "=dr"], "--map '=dr' is not of the form OURS=THEIRS"),
        ("image,dr,dr_grade\na,0,0\n", ["--map", "dr="], "--map 'dr=' is not of the form OURS=THEIRS"),
        ("image,dr,dr_grade\na,0,0\n", ["--scale", "=icdr5"], "--scale '=icdr5' is not of the form DISEASE=SCALE"),
    ],
)  # fmt: skip
def test_a_table_that_holds_nothing_to_judge_says_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, more: list[str], said: str
) -> None:
    path = tmp_path / "given.csv"
    path.write_text(text)
    for reading in ([], ["--clinical"]):
        assert main(["evaluate", str(path), *more, *reading]) == 2
        found = capsys.readouterr()
        assert said in found.err
        assert found.err.count("\n") == 1
        assert found.out == ""


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("image", "Column image names single photographs or patients, and makes no subgroups."),
        ("dr", "Column dr is the reference that grades are held against, and makes no subgroups."),
        ("dr_p3", "Column dr_p3 is what was predicted, and makes no subgroups."),
    ],
)
def test_a_column_that_makes_no_subgroups_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], column: str, said: str
) -> None:
    assert main(["evaluate", str(run), "--clinical", "--subgroup", column]) == 2
    assert said in capsys.readouterr().err


def test_a_prevalence_in_per_cent(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(table), "--map", "dr=truth", "--clinical", "--prevalence", "7%"]) == 0
    assert "Stated prevalence 0.07 (as given)" in capsys.readouterr().out


def test_what_is_undefined_says_why_and_one_is_singular(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Grades of which none is 3 or above, and no validation."""
    path = tmp_path / "given.csv"
    path.write_text("image,patient,dr,dr_grade\na,p,0,0\nb,p,1,1\nc,p,3,2\n")
    assert main(["evaluate", str(path), "--clinical"]) == 0
    told = capsys.readouterr().out
    joined = " ".join(told.split())
    assert "predicted grade 3 or above: PPV and PPV at 0.1 undefined: none is called positive" in joined
    assert "worse eye, 1 patient" in joined
    assert "3 photographs of 1 patient" in joined
    assert "1 patients" not in joined


@pytest.mark.parametrize("more", [["--test", "dr/kappa"], ["--all-pairs"]])
def test_a_matrix_tests_no_differences(
    run: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert main(["compare", str(run), "--matrix", "dr/kappa", *more]) == 2
    assert f"--matrix tests no differences. Leave out {more[0]}" in capsys.readouterr().err


def test_a_report_of_a_run_without_its_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "predictions.parquet").unlink()
    assert main(["report", str(run)]) == 2
    said = capsys.readouterr().err
    assert "has no predictions.parquet, from which figures such as test/dr/kappa were made" in said
    assert not (run / "report.html").exists()
