"""Which run measures which cell, and which stands apart, on a made-up paper."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retinalab.claims import load_claims
from retinalab.reproduction import FilledCell, FilledTable, filled, kept_runs, runs_below
from retinalab.reproduction.wording import counts
from tests.reproduction.conftest import METRICS, Write, metric


@pytest.fixture
def fill(claims_path: Path, runs: Path) -> object:
    def tables(kept: Path | None = None) -> dict[str, FilledTable]:
        found, faults = runs_below([runs], "canet")
        more, others = kept_runs(kept, "canet")
        assert faults == others == []
        return {one.key: one for one in filled(load_claims("canet", claims_path), [*found, *more])}

    return tables


def cell(table: FilledTable, row: str, column: str = "value") -> FilledCell:
    (found,) = (c for c in table.cells if (c.claim.place.row, c.claim.place.column) == (row, column))
    return found


def test_a_run_of_the_rows_experiment_measures_it_whatever_its_name(fill, write_run: Write) -> None:  # type: ignore[no-untyped-def]
    place = write_run("messidor", "name=other", "roots.messidor=somewhere")
    table = fill()["4"]
    one = cell(table, "ours", "Ac").measure
    assert one is not None
    assert (one.value, one.low, one.high, one.n, one.seeds) == (0.9149, 0.8951, 0.9302, 1200, 1)
    assert one.run is not None
    assert one.run.name == str(place)
    assert one.run.commit.startswith("0123456")
    assert cell(table, "ours", "AUC").measure is not None
    assert cell(table, "joint training", "Ac").measure is None
    assert table.beside == ()


def test_the_same_name_with_other_settings_measures_nothing_and_stands_apart(fill, write_run: Write) -> None:  # type: ignore[no-untyped-def]
    write_run("messidor", "train.trainer.max_epochs=2", "train.task.backbone=resnet18")
    table = fill()["4"]
    assert all(c.measure is None for c in table.cells)
    (one,) = table.beside
    assert one.row == "ours"
    assert [str(d) for d in one.differs] == [
        "train.task.backbone resnet50 → resnet18",
        "train.trainer.max_epochs 1000 → 2",
    ]
    assert {column: measure.value for column, (_, measure) in one.measures.items()} == {
        "Ac": 0.9149,
        "AUC": 0.95,
    }


def test_overrides_lead_to_their_own_row(fill, write_run: Write) -> None:  # type: ignore[no-untyped-def]
    write_run("messidor", "train.task.variant=joint")
    write_run("synthetic", "train.task.variant=joint", labels=("synthetic: drawn",))
    table = fill()["4"]
    assert cell(table, "joint training", "Ac").measure is not None
    assert cell(table, "ours", "Ac").measure is None
    assert [(one.row, one.run.experiment.name) for one in table.beside] == [("joint training", "synthetic")]


def test_a_method_that_no_row_of_the_table_is_stands_beside_none(fill, write_run: Write) -> None:  # type: ignore[no-untyped-def]
    write_run("synthetic", "train.task.variant=joint", metrics={"test/joint/accuracy": metric(0.5, 0.4, 0.6)})
    assert fill()["7"].beside == ()


def test_the_most_seeds_are_shown_then_the_latest(fill, write_run: Write) -> None:  # type: ignore[no-untyped-def]
    for number, (seeds, value, finished) in enumerate(
        [(1, 0.7, "2026-03"), (3, 0.8, "2026-01"), (3, 0.9, "2026-02")]
    ):
        figures = {"test/dr/accuracy": metric(value, 0.0, 1.0, sd_seeds=0.01)}
        write_run("messidor", f"seeds={seeds}", number=number, metrics=figures, finished=finished)
    one = cell(fill()["4"], "ours", "Ac").measure
    assert one is not None
    assert (one.value, one.seeds, one.sd_seeds, one.further) == (0.9, 3, 0.01, 2)


def test_one_fold_of_ten_is_another_protocol(fill, write_run: Write) -> None:  # type: ignore[no-untyped-def]
    write_run("messidor", "fold=0")
    (one,) = fill()["4"].beside
    assert [str(d) for d in one.differs] == ["fold none → 0"]


def test_text_repeats_and_subtracts_what_was_measured(fill, write_run: Write) -> None:  # type: ignore[no-untyped-def]
    write_run("messidor")
    assert cell(fill()["text"], "better").measure is None
    write_run(
        "messidor", "train.task.variant=joint", number=2, metrics={"test/dr/accuracy": metric(0.9, 0.8, 0.95)}
    )
    table = fill()["text"]
    again, better = cell(table, "ours again").measure, cell(table, "better").measure
    assert again is not None
    assert again.value == 0.9149
    assert better is not None
    assert better.value == pytest.approx(0.0149)
    assert (better.low, better.high) == (None, None)
    assert table.beside == ()


def test_undefined_figures_measure_nothing(fill, write_run: Write) -> None:  # type: ignore[no-untyped-def]
    write_run(
        "messidor",
        metrics={"test/dr/accuracy": {"value": None, "n": 0}, "test/dr/auc": METRICS["test/dr/auc"]},
    )
    table = fill()["4"]
    assert cell(table, "ours", "Ac").measure is None
    assert cell(table, "ours", "AUC").measure is not None


def test_counts_are_those_of_the_made_up_paper(fill, write_run: Write) -> None:  # type: ignore[no-untyped-def]
    write_run("messidor")
    write_run("synthetic", "train.task.variant=joint")
    expected = {
        # Table IV: 6 cells; Parameters is a size, another method's cell has no way; ours measured, joint apart
        "4": (6, 4, 4, 0, 2, 2),
        "7": (1, 1, 0, 1, 0, 0),
        "fig-5": (1, 1, 1, 0, 0, 0),
        "text": (3, 2, 1, 0, 1, 0),
    }
    assert {key: tuple(counts(table).values()) for key, table in fill().items()} == expected


def kept_file(folder: Path, command: str, value: float) -> Path:
    folder.mkdir(exist_ok=True)
    figures = {"test/dr/accuracy": metric(value, 0.1, 0.9)}
    content = {
        "command": command,
        "commit": "abcdef0123",
        "seeds": [0, 1, 2],
        "labels": [],
        "metrics": figures,
    }
    path = folder / "one.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_kept_figures_are_runs_by_their_command(fill, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    kept_file(tmp_path / "kept", "retinalab exp canet messidor seeds=3 data.root=../data/messidor", 0.5)
    one = cell(fill(tmp_path / "kept")["4"], "ours", "Ac").measure
    assert one is not None
    assert one.run is not None
    assert (one.value, one.seeds, one.run.name, one.run.kept) == (0.5, 3, "kept/one.json", True)


def test_kept_figures_of_a_surrogate_stand_apart(fill, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    kept_file(tmp_path / "kept", "retinalab exp canet synthetic seeds=3", 0.5)
    table = fill(tmp_path / "kept")["4"]
    assert all(c.measure is None for c in table.cells)
    (one,) = table.beside
    assert "train.data.set messidor → synthetic" in [str(d) for d in one.differs]


def test_kept_figures_of_a_run_at_hand_are_that_run(fill, write_run: Write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_run("messidor", "seeds=3")
    kept_file(tmp_path / "kept", "retinalab exp canet messidor seeds=3", 0.9149)
    one = cell(fill(tmp_path / "kept")["4"], "ours", "Ac").measure
    assert one is not None
    assert one.further == 0
    assert one.run is not None
    assert not one.run.kept


def test_an_unfinished_run_is_none_and_a_broken_one_is_told(runs: Path, write_run: Write) -> None:
    (write_run("messidor") / "metrics.json").unlink()
    broken = write_run("messidor", number=2)
    (broken / "experiment.yaml").write_text("paper: canet\nname: x\nstages: 5\n", encoding="utf-8")
    found, faults = runs_below([runs, runs], "canet")
    assert found == []
    (fault,) = faults
    assert fault.startswith(f"{broken} is left out: ")
    assert runs_below([runs / "nowhere"], "canet") == ([], [])


def test_the_latest_link_is_no_second_run(runs: Path, write_run: Write) -> None:
    place = write_run("messidor")
    (place.parent / "latest").symlink_to(place.name)
    found, _ = runs_below([runs], "canet")
    assert [run.name for run in found] == [str(place)]
