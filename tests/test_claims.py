"""What papers printed, as data: the file's layout, what reproduces each value, and the doubts worked again."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from retinalab.claims import Claim, Place, check_experiments, claims_file, load_claims
from retinalab.data.sets import set_names
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.metrics.grading import kappa, summary, unacceptable_errors
from retinalab.protocol import SCALES
from retinalab.records import LESIONS
from retinalab.registry import Paper, installed_papers

REPOSITORY = Path(__file__).resolve().parent.parent
PAPERS = ("canet", "clpi", "sian", "ellg")

HEAD = """
paper: canet
protocols:
  ten: {split: ten folds, folds: 10, patients: mixed, selection: test}
tables:
  "4":
    label: Table IV
    title: Networks
    data: messidor
    public: true
    source: own
    protocol: ten
    experiment: messidor
    columns:
      Ac: {metric: test/dr/accuracy, factor: 0.01, unit: "%"}
      AUC: {metric: test/dr/auc, overrides: [protocol.diseases.dr=any]}
    rows:
      ours: {values: {Ac: 92.60, AUC: 0.780}}
      joint:
        source: reimplemented
        overrides: [train.task.variant=joint]
        doubt: rounded
        values: {Ac: {published: 89.1, doubt: blurred, spread: ± 0.4}, AUC: "-"}
      drawn: {values: {Ac: "~", AUC: ~0.8}}
      quoted: {source: quoted, why_not: another method, values: {Ac: 80.0}}
      elsewhere: {experiment: idrid, overrides: [fold=0], values: {AUC: 0.5}}
  text:
    label: Text
    title: In the text
    rows:
      ours again: {where: IV, value: 92.6%, repeats: ["4", ours, Ac]}
      better: {where: IV, value: 3.5%, difference: [["4", ours, Ac], ["4", joint, Ac]]}
      parameters: {kind: size, value: 29.03 M, factor: 1.0e+6}
      time: {kind: time, command: python here.py, value: {published: five hours, number: 5}}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "claims.yaml"
    path.write_text(HEAD, encoding="utf-8")
    return path


@functools.cache
def claims(of: str) -> tuple[Claim, ...]:
    return load_claims(of)


def of_table(of: str, table: str) -> dict[str, dict[str, Claim]]:
    """Row -> column -> claim, in the file's order."""
    rows: dict[str, dict[str, Claim]] = {}
    for claim in claims(of):
        if claim.place.table == table:
            rows.setdefault(claim.place.row, {})[claim.place.column] = claim
    return rows


def at(found: Sequence[Claim], row: str, column: str = "value") -> Claim:
    return next(claim for claim in found if (claim.place.row, claim.place.column) == (row, column))


def test_a_cell_is_the_text_as_printed(written: Path) -> None:
    found = load_claims("canet", written)
    ours = at(found, "ours", "Ac")
    assert (ours.published, ours.number, ours.unit) == ("92.60", 92.6, "%")
    assert ours.expected == pytest.approx(0.926)
    assert at(found, "ours", "AUC").published == "0.780"
    assert at(found, "parameters").expected == pytest.approx(29_030_000)
    assert at(found, "time").number == 5
    assert (at(found, "joint", "AUC").published, at(found, "joint", "AUC").number) == ("-", None)
    assert at(found, "joint", "Ac").spread == "± 0.4"


def test_a_drawn_value_is_marked(written: Path) -> None:
    found = load_claims("canet", written)
    unread, read = at(found, "drawn", "Ac"), at(found, "drawn", "AUC")
    assert not unread.printed
    assert not read.printed
    assert (unread.published, unread.number, read.published, read.number) == (None, None, None, 0.8)
    assert at(found, "ours", "Ac").printed


def test_the_narrower_level_wins_and_overrides_add_up(written: Path) -> None:
    found = load_claims("canet", written)
    joint = at(found, "joint", "AUC")
    assert (joint.experiment, joint.source) == ("messidor", "reimplemented")
    assert joint.overrides == ("protocol.diseases.dr=any", "train.task.variant=joint")
    assert at(found, "joint", "Ac").doubts == ("rounded", "blurred")
    quoted = at(found, "quoted", "Ac")
    assert (quoted.experiment, quoted.overrides, quoted.why_not) == (None, (), "another method")
    elsewhere = at(found, "elsewhere", "AUC")
    assert (elsewhere.experiment, elsewhere.overrides) == ("idrid", ("fold=0",))
    assert joint.protocol is not None
    assert joint.protocol.patients == "mixed"


def test_the_text_repeats_a_cell_with_all_that_is_known_of_it(written: Path) -> None:
    found = load_claims("canet", written)
    again = at(found, "ours again")
    assert again.repeats == Place(table="4", row="ours", column="Ac")
    assert (again.label, again.where, again.published) == ("Text", "IV", "92.6%")
    assert (again.metric, again.factor, again.experiment) == ("test/dr/accuracy", 0.01, "messidor")
    better = at(found, "better")
    assert better.difference is not None
    assert better.difference[1] == Place(table="4", row="joint", column="Ac")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("paper: canet", "paper: clpi", "claims of 'clpi', asked for 'canet'"),
        ("paper: canet", "- paper", "no valid YAML"),
        ("data: messidor", "dat: messidor", r"tables\.4\.dat='messidor': unknown option; did you mean tables\.4\.data"),
        ("drawn: {", "ours: {", "line .* key 'ours' stands twice"),
        ("{AUC: 0.5}", "{AUK: 0.5}", "Unknown column 'AUK'. Did you mean 'AUC'?"),
        ("protocol: ten", "protocol: tenn", "Unknown protocol 'tenn'. Did you mean 'ten'?"),
        ("experiment: idrid", "experiment: idird", "Unknown experiment 'idird'. Did you mean 'idrid'?"),
        ("metric: test/dr/auc", "metric: auc", "no metric key; one looks like test/dr/kappa"),
        ("source: quoted", "source: copied", "rows.quoted.source='copied': .*'own', 'reimplemented', 'quoted'"),
        ("value: 92.6%", "value: 92.5%", "prints '92.5%', but repeats 4 / ours / Ac with '92.60'"),
        ('["4", ours, Ac]}', '["4", mine, Ac]}', "Unknown cell '4 / mine / Ac'"),
        ("why_not: another method", "why_not: a, experiment: idrid", "experiment and why_not exclude each other"),
        ("experiment: messidor", "unit: cm", "ours / Ac: names no experiment and no command"),
        ("patients: mixed", "patients: some", r"protocols\.ten\.patients='some'"),
    ],
)  # fmt: skip
def test_a_bad_file_gives_one_line(written: Path, old: str, new: str, message: str) -> None:
    assert old in HEAD
    written.write_text(HEAD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RetinalabError, match=message) as caught:
        load_claims("canet", written)
    assert len(str(caught.value).splitlines()) == 1
    assert "claims.yaml" in str(caught.value)


def test_a_refused_override_names_its_claim(written: Path) -> None:
    written.write_text(HEAD.replace("variant=joint", "variant=joints"), encoding="utf-8")
    with pytest.raises(RetinalabError, match=r"^Claim 4 / joint / Ac of canet: .*variant='joints'"):
        check_experiments(load_claims("canet", written))


def test_a_paper_without_claims_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare = Paper("bare", "Bare", "Nobody", "https://example.org", tmp_path)
    monkeypatch.setattr("retinalab.claims.load.paper", lambda name: bare)
    with pytest.raises(RetinalabError, match="Paper 'bare' states no claims"):
        claims_file("bare")


def test_every_papers_plugin_carries_its_claims() -> None:
    with_tables = [name for name in installed_papers() if name in PAPERS]
    assert sorted(with_tables) == sorted(PAPERS)
    for name in with_tables:
        assert claims_file(name).samefile(REPOSITORY / "experiments" / name / "claims.yaml")


@pytest.mark.parametrize("of", PAPERS)
def test_every_experiment_and_override_is_accepted(of: str) -> None:
    check_experiments(claims(of))


@pytest.mark.parametrize("of", PAPERS)
def test_every_metric_is_one_that_its_experiment_gives(of: str) -> None:
    asked = {(c.experiment, c.overrides, c.metric) for c in claims(of) if c.experiment and c.metric}
    assert asked
    loaded = functools.cache(load_experiment)
    for name, overrides, metric in asked:
        assert name is not None
        assert metric is not None
        experiment = loaded(of, name, overrides)
        part, what, *rest = metric.split("/")
        if "@" in part:
            assert part.removeprefix("test@") in experiment.test.sets, metric
        if what == "lesion":
            assert rest[0] in (*LESIONS, "mean"), metric
            assert rest[1] in ("f1", "image_f1"), metric
        elif what == "joint":
            assert rest == ["accuracy"], metric
            assert len(experiment.protocol.diseases) > 1, metric
        else:
            scale = experiment.protocol.scales[what]
            assert rest[0] in {*summary(np.zeros((scale.size, scale.size)), scale), "auc"}, metric


@pytest.mark.parametrize("of", PAPERS)
def test_what_a_reader_must_know_is_said(of: str) -> None:
    for claim in claims(of):
        place = f"{of}: {claim.place}"
        if claim.kind == "result" and claim.difference is None and claim.place.table != "2":
            assert claim.source, place
            assert claim.public is not None, place
            assert claim.protocol is not None, place
        if claim.metric is not None:
            assert claim.data in {*set_names(), "private"}, place
        if claim.public is False:
            assert claim.experiment is None or claim.surrogate or claim.data == "liq_eyepacs", place
        assert claim.printed or claim.doubts, place


@pytest.mark.parametrize("of", PAPERS)
def test_every_command_is_there(of: str) -> None:
    commands = {claim.command for claim in claims(of) if claim.command}
    for command in commands:
        words = shlex.split(command)
        if words[0] == "python":
            assert (REPOSITORY / words[1]).is_file(), command
        else:
            assert words[:3] == ["retinalab", "data", "check"], command
            assert words[3] in set_names(), command


def test_differences_in_the_text_are_those_of_the_tables() -> None:
    stated = [claim for of in PAPERS for claim in claims(of) if claim.difference is not None]
    assert len(stated) == 11
    for claim in stated:
        assert claim.difference is not None
        above, below = (at_place(claim.paper, place) for place in claim.difference)
        assert claim.number is not None
        assert above.number is not None
        assert below.number is not None
        assert above.number - below.number == pytest.approx(claim.number, abs=0.051), claim.place


def at_place(of: str, place: Place) -> Claim:
    return next(claim for claim in claims(of) if claim.place == place)


def numbers(row: dict[str, Claim], columns: Sequence[str]) -> list[float]:
    return [value for column in columns if (value := row[column].number) is not None]


@pytest.mark.parametrize(("table", "grades", "photographs"), [("2", 4, 1200), ("3", 5, 516)])
def test_canets_shares_are_those_of_its_counts(table: str, grades: int, photographs: int) -> None:
    rows = of_table("canet", table).values()
    for row in rows:
        for grade in range(grades):
            count, share = numbers(row, [f"DR {grade}", f"DR {grade}, share"])
            assert 100 * count / photographs == pytest.approx(share, abs=0.1)
    total = sum(sum(numbers(row, [f"DR {grade}" for grade in range(grades)])) for row in rows)
    assert total == photographs


def test_canets_doubt_of_idrid_is_worked_and_noted() -> None:
    """A printed joint accuracy must be the rounded share of a whole number of the 103 test photographs."""
    possible = {f"{100 * k / 103:.1f}" for k in range(104)}
    for table in ("8", "9"):
        for row, cells in of_table("canet", table).items():
            claim = cells["Joint Ac"]
            noted = any("103" in doubt for doubt in claim.doubts)
            assert (claim.published in possible) != noted, row
    assert "65.1" not in possible
    assert f"{100 * 67 / 103:.2f}" == "65.05"


def test_canets_doubt_of_the_individual_networks_size_is_noted() -> None:
    for disease in ("DR", "DME"):
        claim = of_table("canet", "4")[f"Individual training ({disease})"]["Parameters"]
        assert claim.published == "23.52 M"
        assert "23.51 M" in claim.doubts[0]


@pytest.mark.parametrize(("method", "printed", "errors"), [("DenseNet-121", 0.886, 34), ("CLPI", 0.908, 20)])
def test_clpis_matrices_give_the_kappas_and_errors_that_it_prints(
    method: str, printed: float, errors: int
) -> None:
    rows = of_table("clpi", "7")
    grades = [str(grade) for grade in range(5)]
    matrix = np.array([numbers(rows[f"{method}, label {grade}"], grades) for grade in grades])
    assert matrix.sum() == 12096
    doubt = rows[f"{method}, label 0"]["0"].doubts[0]
    assert "12,096" in doubt
    assert f"{float(kappa(matrix)):.4f}" in doubt
    stated = of_table("clpi", "6")[f"Private, {method}"]["Private, Kappa"]
    assert stated.number == printed == pytest.approx(float(kappa(matrix)), abs=5e-4)
    assert f"{float(kappa(matrix, 'linear')):.4f}" in stated.doubts[0]
    counted = sum(float(n) for n in unacceptable_errors(matrix, SCALES["icdr5"]).values())
    assert counted == errors == of_table("clpi", "text")[f"unacceptable errors, {method}"]["value"].number


@pytest.mark.parametrize("table", ["3", "5"])
def test_sians_means_are_those_of_its_eight_lesions(table: str) -> None:
    """Values are rounded to three digits before the mean is taken again."""
    for row, cells in of_table("sian", table).items():
        mean, *lesions = numbers(cells, list(cells))
        assert len(lesions) == 8
        assert np.mean(lesions) == pytest.approx(mean, abs=0.001), row


def test_sians_dual_loss_is_the_weighted_sum() -> None:
    for cells in of_table("sian", "2").values():
        segmentation, classification, dual = numbers(cells, list(cells))
        assert 0.8 * segmentation + 0.2 * classification == pytest.approx(dual, abs=6e-5)


def test_other_doubts_are_noted() -> None:
    assert "448 × 448" in of_table("sian", "6")["Inception-v3 (488 × 448)"]["Kappa"].doubts[0]
    assert "54" in of_table("clpi", "3")["Training"]["Image number"].doubts[0]
    assert all("Contradicts" in c.doubts[0] for row in of_table("canet", "3").values() for c in row.values())
