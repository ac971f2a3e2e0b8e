"""The whole page: read back with a parser, against the files that it was made from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import confusion_matrix

from retinalab.errors import RetinalabError
from retinalab.metrics import read_table, write_table
from retinalab.report import write_report

MakeRun = Callable[..., Path]

SCRIPT = "<script>alert(1)</script>.jpg"
SECTIONS = ("protocol", "results", "metrics", "confusion", "roc", "learning", "gallery", "notes", "reproduce")
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements with attributes, the text of each table row, all text; complains where tags do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if self._open and ("td" in self._open or "th" in self._open):
            self.rows[-1][-1] += data

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]


def grey(_: str, __: str) -> np.ndarray:
    return np.full((300, 300, 3), 128, dtype=np.uint8)


def metrics_of(folder: Path) -> dict[str, dict[str, float | None]]:
    content: dict[str, dict[str, float | None]] = json.loads((folder / "metrics.json").read_text())
    return content


def printed(value: float | None) -> str:
    return f"{value:.3f}".replace("-", "−") if value is not None else "undefined"


def check_every_metric(page: Page, folder: Path) -> None:
    rows = {row[0]: row for row in page.rows if row and "/" in row[0]}
    for key, metric in metrics_of(folder).items():
        text = printed(metric["value"])
        if metric["low"] is not None:
            text += f" [{printed(metric['low'])}, {printed(metric['high'])}]"
        assert rows[key][1] == text, key
        assert rows[key][2:4] == [str(metric["n"]), str(metric["n_groups"])], key


def test_nothing_is_fetched_and_every_section_is_there(make_run: MakeRun) -> None:
    folder = make_run()
    assert write_report(folder, grey) == folder / "report.html"
    page = Page(folder / "report.html")
    loaded = [v for name in ("src", "srcset", "data", "poster", "xlink:href") for v in page.values(name)]
    loaded += [a["href"] for tag, a in page.elements if "href" in a and tag != "a"]
    assert loaded
    assert all(value.startswith("data:") for value in loaded)
    assert {tag for tag, _ in page.elements}.isdisjoint(
        {"script", "iframe", "object", "embed", "base", "form"}
    )
    assert not re.search(r"url\(|@import|https?://", page.source)
    ids = page.values("id")
    assert [one for one in ids if one in SECTIONS] == list(SECTIONS)
    assert all(a["href"][1:] in ids for tag, a in page.elements if tag == "a")


def test_every_metric_is_printed_with_its_interval(make_run: MakeRun) -> None:
    folder = make_run()
    write_report(folder)
    page = Page(folder / "report.html")
    check_every_metric(page, folder)
    kappa, area = metrics_of(folder)["test/dr/kappa"], metrics_of(folder)["test/dr/auc_referable_colour"]
    headline = {row[0]: row for row in page.rows if row}
    low, high = printed(kappa["low"]), printed(kappa["high"])
    assert headline["DR quadratic weighted kappa"][1] == f"{printed(kappa['value'])} [{low}, {high}]"
    assert headline["DR AUC, referable"][5].startswith(f"{printed(area['value'])} [0.610, 0.770]")
    assert "60 photographs, 30 patients" in headline["Joint accuracy (all diseases right)"]


def test_confusion_matrices_agree_with_scikit_learn(make_run: MakeRun) -> None:
    folder = make_run(sets=("made", "messidor2"))
    write_report(folder)
    page = Page(folder / "report.html")
    table = read_table(folder / "predictions.parquet", "predictions")
    for name in ("made", "messidor2"):
        rows = table[(table["part"] == "test") & (table["set"] == name)]
        expected = confusion_matrix(rows["dr"], rows["dr_grade"], labels=range(5))
        for grade, counts in enumerate(expected):
            total = counts.sum()
            cells = [f"{count}{100 * count / total:.0f} %" for count in counts]
            assert [str(grade), *cells, str(total)] in page.rows


def test_names_from_files_stay_text(make_run: MakeRun) -> None:
    folder = make_run(
        names=dict.fromkeys([3], SCRIPT),
        provenance={
            "notes": ["left out <img src=x onerror=alert(1)>"],
            "command": "retinalab exp '<script>'",
            "split": {"origin": "<b>list</b>", "leaks": []},
            "versions": {"<i>torch</i>": "<i>2</i>"},
            "other": {"<u>": "</pre>"},
        },
        experiment={"name": "<script>title</script>"},
    )
    table = read_table(folder / "predictions.parquet", "predictions")
    wrong = table["image"] == SCRIPT
    table.loc[wrong, ["dr", "dr_grade"]] = [4, 0]
    table.loc[wrong, [f"dr_p{k}" for k in range(5)]] = [1.0, 0.0, 0.0, 0.0, 0.0]
    table.to_parquet(folder / "predictions.parquet")
    history = folder / "history" / "train" / "metrics.csv"
    history.write_text(history.read_text().replace("val/dr/kappa", "val/</svg><script>"))
    write_report(folder, grey)
    page = Page(folder / "report.html")
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "i", "b", "u"})
    for text in (
        SCRIPT,
        "<script>title</script>",
        "<img src=x onerror=alert(1)>",
        "<b>list</b>",
        "<i>torch</i>",
    ):
        assert text in page.text
    assert "onerror" not in page.values("onerror")
    assert SCRIPT in page.values("alt")


@pytest.mark.parametrize(
    ("provenance", "experiment", "label"),
    [
        ({}, {}, None),
        ({"split": {"origin": "published lists", "leaks": ["patient 7 in train and test"]}}, {}, "Leaky:"),
        ({"label": "leaky"}, {}, "Leaky:"),
        ({"labels": ["leaky: both sides"]}, {}, "Leaky: both sides"),
        ({"split": {"train": {"origin": "lists", "leaks": ["patient 7"]}}}, {}, "Leaky:"),
        ({"labels": ["optimistic: chosen on the test part"]}, {}, "Optimistic: chosen on the test part"),
        ({"notes": ["Optimistic: chosen on test"]}, {}, "Optimistic:"),
        ({}, {"protocol": {"diseases": {"dr": "icdr5", "dme": "risk3"}, "select_on": "test"}}, "Optimistic:"),
    ],
)
def test_labels(
    make_run: MakeRun, provenance: dict[str, object], experiment: dict[str, object], label: str | None
) -> None:
    folder = make_run(provenance=provenance, experiment=experiment)
    write_report(folder)
    text = Page(folder / "report.html").text
    assert "Research use only:" in text
    assert "Drawn (synthetic) photographs: not a result on patients (made)." in text
    for word in ("Leaky:", "Optimistic:"):
        banner = text[: text.index("Protocol and provenance")]
        assert (word in banner) == (label is not None and label.startswith(word))
    assert label is None or label in banner


def test_photographs_of_patients_are_not_called_drawn(make_run: MakeRun) -> None:
    folder = make_run(sets=("idrid",))
    write_report(folder)
    assert "Drawn" not in Page(folder / "report.html").text


def test_one_disease_without_history_or_pictures(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dme": "binary"}, history=(), known_patients=False)
    write_report(folder)
    page = Page(folder / "report.html")
    check_every_metric(page, folder)
    assert "The run left no history of its training." in page.text
    assert "no picture at hand" in page.text
    assert "60 photographs, patients unknown" in page.text
    assert "DME AUC" in page.text
    assert not [a for tag, a in page.elements if tag == "img"]


def test_reliability_stands_once(make_run: MakeRun) -> None:
    """With the clinical reading where there is one, else beside the ROC."""
    folder = make_run(diseases={"dr": "icdr5"}, seeds=(0, 1))
    write_report(folder)
    text = Page(folder / "report.html").text
    assert text.count("Referable: reliability") == 1
    assert "reliability for referable" not in text
    validation = read_table(folder / "predictions.parquet", "predictions").assign(part="val")
    write_table(validation.drop_duplicates(["image", "seed"]), folder / "predictions.parquet", "predictions")
    found = metrics_of(folder)
    (folder / "metrics.json").write_text(
        json.dumps({key.replace("test", "val", 1): one for key, one in found.items()})
    )
    write_report(folder)
    text = Page(folder / "report.html").text
    assert text.count("DR: reliability for referable") == 1
    assert "Referable: reliability" not in text


def test_regression_has_no_reliability(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "icdr5"}, regression=True)
    write_report(folder)
    page = Page(folder / "report.html")
    check_every_metric(page, folder)
    assert "Calibration is not applicable: a score or a grade alone is no probability." in page.text
    assert "observed share" not in page.text
    assert "DR: referable (grade ≥ 2)" in page.text


def test_several_sets_folds_and_seeds(make_run: MakeRun) -> None:
    folder = make_run(sets=("made", "messidor2", "aptos"), seeds=(0, 1, 2), history=("fold-0", "fold-1"))
    write_report(folder)
    page = Page(folder / "report.html")
    check_every_metric(page, folder)
    for name in ("made", "messidor2", "aptos"):
        assert f"Test photographs: {name}" in page.text
    assert "One faint line for each of 2 folds or seeds." in page.text
    assert "Values are means over 3 seeds." in page.text
    spread = metrics_of(folder)["test/dr/kappa"]["sd_seeds"]
    assert f"standard deviation {printed(spread)} over 3 seeds" in page.text


def test_a_run_without_graded_photographs(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "predictions.parquet").unlink()
    metric = {"value": 0.25, "low": None, "high": None, "n": 9, "n_groups": 9, "note": "too few <patients>"}
    content = {"test/lesion/MA/f1": metric, "test/lesion/MA/ap": metric, "test/lesion/mean/f1": metric}
    (folder / "metrics.json").write_text(json.dumps(content))
    write_report(folder)
    page = Page(folder / "report.html")
    check_every_metric(page, folder)
    assert ["Lesion", "pixel F1", "average precision"] in page.rows
    assert ["MA", "0.250", "0.250"] in page.rows
    assert "too few <patients>" in page.text
    assert "No graded photographs." in page.text


def test_a_run_that_measured_nothing(make_run: MakeRun) -> None:
    folder = make_run(history=())
    (folder / "predictions.parquet").unlink()
    (folder / "metrics.json").write_text("{}")
    write_report(folder)
    assert "The run measured nothing on test or validation photographs." in Page(folder / "report.html").text


def test_a_failure_leaves_the_earlier_report(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "report.html").write_text("earlier")
    before = sorted(folder.iterdir())

    def broken(_: str, __: str) -> np.ndarray:
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        write_report(folder, broken)
    assert (folder / "report.html").read_text() == "earlier"
    assert sorted(folder.iterdir()) == before


def test_no_temporary_file_stays(make_run: MakeRun) -> None:
    folder = make_run()
    write_report(folder)
    write_report(folder)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.json", None, r"^No metrics\.json in '.*'\. Give the folder"),
        ("provenance.json", "{", r"provenance\.json' cannot be read"),
        ("experiment.yaml", "protocol: {diseases: {dr: icdr6}}", r"Did you mean 'icdr5'\?"),
        ("experiment.yaml", "protocol: {diseases: {dr: icdr5}}", r"Unknown disease 'dme'"),
        ("predictions.parquet", "text", r"not a Parquet file"),
    ],
)
def test_bad_folders_are_refused(make_run: MakeRun, file: str, content: str | None, message: str) -> None:
    folder = make_run()
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(RetinalabError, match=message):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_patches_have_a_matrix_and_the_recall_of_each_class_by_name(make_run: MakeRun) -> None:
    folder = make_run()
    windows = pd.DataFrame(
        {"image": ["a", "a", "b"], "set": "made", "part": "test", "group": ["a", "a", "b"]}
    )
    windows = windows.assign(
        x=0, y=0, size=68, fold=-1, seed=0, label=[0, 1, 1], grade=[0, 1, 0], p0=0.5, p1=0.5
    )
    windows.to_parquet(folder / "windows.parquet")
    metrics = json.loads((folder / "metrics.json").read_text())
    for k, (value, low, high) in enumerate([(1.0, 1.0, 1.0), (0.5, 0.25, 0.75)]):
        key = f"test/windows/sensitivity_{k}"
        metrics[key] = {"value": value, "low": low, "high": high, "n": 3, "n_groups": 2}
    metrics["test/windows/accuracy"] = {"value": 0.667, "low": 0.5, "high": 1.0, "n": 3, "n_groups": 2}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_report(folder)
    page = Page(folder / "report.html")
    assert any(row[0] == "Patches accuracy" for row in page.rows if row)
    assert "Photographs, and patches of them, by reference grade (row)" in page.text
    assert ["1", "150 %", "150 %", "2"] in page.rows
    assert ["class 1", "0.500 [0.250, 0.750]", "2"] in page.rows
    experiment = yaml.safe_load((folder / "experiment.yaml").read_text())
    data = {"windows": {"kind": "lesions", "classes": ["HE"]}}
    experiment["stages"] = {"patches": {"data": data}, **(experiment.get("stages") or {})}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    write_report(folder)
    rows = Page(folder / "report.html").rows
    assert ["none", "1.000 [1.000, 1.000]", "1"] in rows
    assert ["HE", "0.500 [0.250, 0.750]", "2"] in rows


def test_photographs_that_several_folds_tested(make_run: MakeRun) -> None:
    folder = make_run()
    table = read_table(folder / "predictions.parquet", "predictions")
    note = "Photographs that several folds tested are counted once for each."
    write_report(folder)
    assert note not in Page(folder / "report.html").text
    pd.concat([table.assign(fold=0), table.assign(fold=1)]).to_parquet(folder / "predictions.parquet")
    write_report(folder)
    assert note in Page(folder / "report.html").text


def test_validation_stands_in_where_nothing_was_tested(make_run: MakeRun) -> None:
    folder = make_run()
    content = {key: metric for key, metric in metrics_of(folder).items() if key.startswith("val/")}
    (folder / "metrics.json").write_text(json.dumps(content))
    write_report(folder)
    page = Page(folder / "report.html")
    check_every_metric(page, folder)
    assert "Validation photographs: made" in page.text


def test_provenance_by_stage_or_without(make_run: MakeRun, tmp_path: Path) -> None:
    entry = {
        "synthetic": False,
        "photographs": {"train": 9, "test": 3},
        "licence": "CC0",
        "fingerprint": "ab",
    }
    row = ["idrid", "photographs", "train: 9; test: 3", "CC0", "ab", ""]
    other = entry | {"photographs": {"test": 4}}
    for number, (data, expected) in enumerate(
        [
            ({"idrid": entry}, [row]),
            ({"a": {"idrid": entry}, "b": {"idrid": entry}}, [row]),
            ({"a": {"idrid": entry}, "b": {"idrid": other}}, [["idrid a", *row[1:]], ["idrid b"]]),
        ]
    ):
        folder = make_run(sets=("idrid",), provenance={"data": data}, place=str(number))
        write_report(folder)
        rows = [
            found for found in Page(folder / "report.html").rows if found and found[0].startswith("idrid")
        ]
        assert [found[: len(wanted)] for found, wanted in zip(rows, expected, strict=True)] == expected


def test_binary_scales_have_the_colour_baseline_beside_their_area(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "referable"})
    content = metrics_of(folder)
    content["test/dr/auc_referable_colour"] = content.pop("test/dr/auc_colour")
    (folder / "metrics.json").write_text(json.dumps(content))
    write_report(folder)
    headline = {row[0]: row for row in Page(folder / "report.html").rows if row}
    assert headline["DR AUC"][5].startswith("0.690 [0.610, 0.770]")


def test_what_is_reached_without_the_retina_stands_beside_each_measure(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "icdr5"})
    write_report(folder)
    headline = {row[0]: row for row in Page(folder / "report.html").rows if row}
    columns = headline["Measure"]
    assert [columns.index(name) for name in ("Majority class", "Without the retina", "Colours alone")] == [
        3,
        4,
        5,
    ]
    assert headline["DR AUC, referable"][4].startswith("0.720 [0.640, 0.790]")
    assert headline["DR quadratic weighted kappa"][4].startswith("0.310 [0.200, 0.420]")
    assert headline["DR accuracy"][4] == "–"

    content = metrics_of(folder)
    why = "not measured: of 20 training photographs 3 have referable dr"
    content["test/dr/auc_referable_shortcut"] = {
        "value": None,
        "low": None,
        "high": None,
        "n": 60,
        "note": why,
    }
    (folder / "metrics.json").write_text(json.dumps(content))
    write_report(folder)
    headline = {row[0]: row for row in Page(folder / "report.html").rows if row}
    assert headline["DR AUC, referable"][4] == f"undefined{why}"
