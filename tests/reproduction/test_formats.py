"""What each format says of a made-up paper: figures in the printed unit, commands, doubts, each in its column."""

from __future__ import annotations

import csv
import io
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest

from retinalab.claims import Claim, Place, load_claims
from retinalab.reproduction import FilledTable, Measure, filled, runs_below
from retinalab.reproduction.markdown import list_markdown, table_markdown
from retinalab.reproduction.page import write_tables
from retinalab.reproduction.separated import COLUMNS, separated
from retinalab.reproduction.text import list_lines, table_lines
from retinalab.reproduction.wording import figure, footnotes, missing_ways, sample, spread
from tests.reproduction.conftest import Write, metric


@pytest.fixture
def tables(claims_path: Path, runs: Path, write_run: Write) -> tuple[FilledTable, ...]:
    """Ours measured with three seeds; joint training apart; the surrogate measured."""
    write_run("messidor", "seeds=3")
    write_run("synthetic", "train.task.variant=joint", labels=("synthetic: drawn <photographs>",))
    write_run("idrid", metrics={"test/joint/accuracy": metric(0.5049, 0.4078, 0.6019, 103)})
    return filled(load_claims("canet", claims_path), runs_below([runs], "canet")[0])


def claim(published: str | None, number: float | None, factor: float = 1.0) -> Claim:
    place = Place(table="1", row="a", column="b")
    return Claim(
        paper="canet", label="Table 1", place=place, published=published, number=number, factor=factor
    )


@pytest.mark.parametrize(
    ("of", "measure", "text"),
    [
        (claim("85.1", 85.1, 0.01), Measure(0.84237, 0.8004, 0.8806), "84.2 [80.0, 88.1]"),
        (claim("82%", 82, 0.01), Measure(0.84237, 0.8004, 0.8806), "84.2 [80.0, 88.1]"),
        (claim("0.660", 0.66), Measure(0.5, 0.25, 0.75), "0.500 [0.250, 0.750]"),
        (claim("0.7983", 0.7983), Measure(0.5, 0.25, 0.75), "0.5000 [0.2500, 0.7500]"),
        (claim("-", None), Measure(-0.0164, -0.0434, 0.0042), "−0.016 [−0.043, 0.004]"),
        (claim(None, None), Measure(0.5), "0.500"),
        (claim("23.52 M", 23.52, 1e6), Measure(23_512_130), "23.51"),
        (claim("1,200", 1200), Measure(1187, 1100, 1250), "1,187 [1,100, 1,250]"),
    ],
)
def test_a_figure_is_in_the_unit_and_decimals_of_the_printed_one(
    of: Claim, measure: Measure, text: str
) -> None:
    assert figure(of, measure) == text


def test_seeds_and_sample() -> None:
    assert spread(claim("85.1", 85.1, 0.01), Measure(0.8, sd_seeds=0.0123)) == "1.2"
    assert sample(Measure(0.8, n=1200, groups=1200)) == "1,200"
    assert sample(Measure(0.8, n=480, groups=240)) == "480 (240 patients)"


def by_key(tables: tuple[FilledTable, ...], key: str) -> FilledTable:
    return next(one for one in tables if one.key == key)


def test_a_doubt_stands_where_it_belongs(tables: tuple[FilledTable, ...]) -> None:
    table = by_key(tables, "4")
    notes = footnotes(table)
    assert (notes.whole, notes.texts) == (("Blurred.",), ("Rounded.", "Smudged."))
    joint = next(row for row in table.rows if row.name == "joint training")
    assert notes.row("joint training") == " [1]"
    assert [notes.cell(cell) for cell in joint.cells] == [" [2]", ""]
    assert notes.row("ours") == ""


def test_every_missing_row_has_its_command_or_a_reason(tables: tuple[FilledTable, ...]) -> None:
    ways = {row.name: missing_ways(row, ["roots.messidor=my folder"]) for row in by_key(tables, "4").rows}
    command = "retinalab exp canet messidor train.task.variant=joint 'roots.messidor=my folder'"
    assert ways == {"ours": [], "joint training": [(command, (), "")], "quoted": [("", (), "another method")]}
    ((command, _, _),) = missing_ways(by_key(tables, "fig-5").rows[0])
    assert command == "retinalab data check idrid --root FOLDER"


def test_text_fits_80_columns_and_its_commands_are_whole(tables: tuple[FilledTable, ...]) -> None:
    for table in tables:
        lines = table_lines(table)
        assert max(map(len, lines)) <= 80
        text = "\n".join(lines).replace("\\\n", " ")
        for row in table.rows:
            for command in filter(None, (way[0] for way in missing_ways(row))):
                assert any(
                    shlex.split(line) == shlex.split(command)
                    for line in text.splitlines()
                    if "retinalab" in line
                )
    text = "\n".join(table_lines(by_key(tables, "4")))
    assert re.search(r"Ac +92\.6 +91\.5 \[89\.5, 93\.0\] +1,200 +3\n", text)
    assert "Doubt:        Blurred." in text
    before, after = text.split("Measured under another protocol")
    assert "synthetic: drawn" not in before
    assert "89.1" not in after
    assert "train.data.set messidor → synthetic" in after
    assert "on surrogate photographs" in "\n".join(table_lines(by_key(tables, "7")))


def test_the_list_counts_every_table(tables: tuple[FilledTable, ...]) -> None:
    lines = list_lines(tables, "canet")
    assert max(map(len, lines)) <= 80
    total = next(line for line in lines if line.strip().startswith("all"))
    assert total.split() == ["all", "11", "8", "6", "1", "4", "2"]


def test_csv_keeps_protocols_in_columns_of_their_own(tables: tuple[FilledTable, ...]) -> None:
    rows = list(csv.DictReader(io.StringIO(separated(tables))))
    assert tuple(rows[0]) == COLUMNS
    assert len([row for row in rows if row["status"] != "other protocol"]) == 11
    ours = next(row for row in rows if (row["row"], row["column"]) == ("ours", "Ac"))
    assert (float(ours["published_number"]), float(ours["measured"])) == pytest.approx((0.926, 0.9149))
    assert (ours["photographs"], ours["seeds"], ours["folds"], ours["status"]) == (
        "1200",
        "3",
        "10",
        "measured",
    )
    apart = [row for row in rows if row["status"] == "other protocol"]
    assert [row["row"] for row in apart] == ["joint training"] * 2
    assert all(row["other_protocol"] and not row["measured"] and not row["published_number"] for row in apart)
    assert all(not row["other_protocol"] for row in rows if row["measured"])
    missing = next(row for row in rows if (row["row"], row["column"]) == ("joint training", "Ac"))
    assert (missing["status"], missing["doubts"]) == ("missing", "Blurred. | Rounded. | Smudged.")


def test_markdown_has_as_many_cells_in_every_line(tables: tuple[FilledTable, ...]) -> None:
    for table in tables:
        grid = [line for line in table_markdown(table) if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in grid}) == 1
    text = "\n".join(table_markdown(by_key(tables, "4")))
    assert "| ours | Parameters | 29.03 M | – |" in text
    assert "|  | Ac | 92.6 | 91.5 [89.5, 93.0] | 1,200 | 3 |" in text
    assert "drawn \\<photographs>" in text
    assert len(list_markdown(tables)) == 2 + len(tables)


class _Page(HTMLParser):
    """Open elements, and whatever would be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)
        self.fetched += [
            str(v) for k, v in attrs if k in ("src", "href") and not re.match(r"#|data:", str(v))
        ]
        assert tag != "script"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_fetches_nothing(tables: tuple[FilledTable, ...], tmp_path: Path) -> None:
    page = _Page()
    html = write_tables(tables, [], tmp_path / "page.html").read_text(encoding="utf-8")
    page.feed(html)
    assert page.open == []
    assert page.fetched == []
    assert "url(" not in html
    for words in (
        "91.5 [89.5, 93.0]",
        "92.6",
        "surrogate photographs",
        "drawn <photographs>",
        "another method",
    ):
        assert words in page.text
