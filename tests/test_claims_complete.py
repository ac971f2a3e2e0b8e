"""Claims against the papers' own texts: no table, row, cell or number is absent, none is made up."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retinalab.claims import Claim, load_claims

TEXTS = {"canet": "canet.txt", "clpi": "clpi.txt", "sian": "sian.txt", "ellg": "ellg.md"}
PAPERS = tuple(TEXTS)


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


@dataclass(frozen=True)
class Region:
    """Where a table stands in a paper's text, and the order in which its cells were extracted.

    Each part runs from one text to before another; ``blocks`` are groups of columns that were extracted one after the
    other. A block is read down its columns within each group of rows, or along its rows.
    """

    of: str
    table: str
    parts: tuple[tuple[str, str], ...]
    token: str = r"\d+\.\d+"
    order: str = "columns"
    groups: tuple[int, ...] = ()
    blocks: tuple[tuple[str, ...], ...] = ()

    def read(self, text: str) -> list[str]:
        return [word for part in self.parts for word in re.findall(self.token, within(text, *part))]

    def claimed(self) -> list[str]:
        rows = list(of_table(self.of, self.table).values())
        widest: dict[str, Claim] = max(rows, key=len)
        columns = tuple(widest)
        cells = [row[column] for one in self.blocks or (columns,) for row, column in self._walk(rows, one)]
        return [word for cell in cells for word in re.findall(r"^-$|\d[\d,]*\.?\d*", cell.published or "")]

    def _walk(self, rows: list[Any], columns: Sequence[str]) -> list[tuple[dict[str, Claim], str]]:
        walked = []
        ends = np.cumsum(self.groups or (len(rows),)).tolist()
        for begin, end in zip([0, *ends], ends, strict=False):
            pairs = [(row, column) for row in rows[begin:end] for column in columns]
            if self.order == "columns":
                pairs.sort(key=lambda pair: columns.index(pair[1]))
            walked += [(row, column) for row, column in pairs if column in row]
        return walked


def within(text: str, start: str, end: str) -> str:
    begin = text.index(start)
    return text[begin : text.index(end, begin)]


WHOLE = r"\d[\d,]*"
REGIONS = (
    Region("canet", "4", (("Parameters\n23.52", "AUC and 90.5% AUC"), ("Ac\n81.0", "attention module for DME, i.e"))),
    Region("canet", "5", (("Joint Ac\n\nMulti-task", "Table VI:"), ("Rec\n85.7", "Table VII:"))),
    Region("canet", "6", (("Joint Ac\n82.0\n81.4", "D. Compare"),)),
    Region(
        "canet", "7", (("AUC\nAc\n76.0", "“†”: denotes"),), order="rows",
        blocks=(("DR AUC", "DR Ac"), ("DME AUC", "DME Ac")),
    ),
    Region(
        "canet", "8", (("Rank\n1\n2", "\n0.7"), ("Joint Ac\n65.1", "\n0.3\n")),
        token=r"\d\d\.\d|(?<![.\d])\d(?![.\d])",
    ),
    Region("canet", "9", (("Joint Ac\n59.2", "DME, respectively. As"),)),
    Region("clpi", "3", (("Training 57", "DR grade Dataset"),), token=WHOLE, order="rows"),
    Region("clpi", "4", (("LIQ-EyePACS 7,286", "B. Implementation"),), token=WHOLE, order="rows"),
    Region(
        "clpi", "5", (("AUC of Non-referable / Referable DR 0", "TABLE VI\n"),),
        token=r"\d\.\d+|(?<= )-(?= )", order="rows",
    ),
    Region("clpi", "6", (("ResNet-50 0.885", "Fig. 6."),), order="rows"),
    Region("clpi", "7", (("0 6188", "As seen in Table VIII"),), token=r"(?<=\d )\d+", order="rows"),
    Region("clpi", "8", (("end-to-end learning 0.905", "achieved as well"),), order="rows"),
    Region("sian", "2", (("lossdual\n\n0.0736", "In concrete"),), order="rows"),
    Region("sian", "3", (("patch FCN-32s\nFCN-32s", "For expert labeling"),), groups=(7, 5)),
    Region("sian", "4", (("0.365\n", "Table 5:"),)),
    Region("sian", "5", (("Table 5: Lesion", "Comparing loss functions"),), groups=(7, 2, 5)),
    Region("sian", "6", (("Kappa\n0.660", "Table 7:"),), blocks=(("Kappa",),)),
    Region("sian", "7", (("0.768\n0.781", "Input image"),)),
    Region("ellg", "1", (("Method\tDataset\tKappa", "Table 1:"),), token=r"\d\.\d{4}|(?<=\t)-(?=\n)", order="rows"),
    Region("ellg", "2", (("Model\tKappa\tAccuracy", "Table 2:"),), token=r"\d\.\d{4}", order="rows"),
)  # fmt: skip


@pytest.fixture(scope="session")
def papers(shared_data: Path) -> dict[str, str]:
    """The papers' texts, which stand beside the photographs."""
    folder = shared_data.parent / "papers"
    if not folder.is_dir():
        pytest.skip(f"no papers at {folder}")
    return {of: (folder / name).read_text(encoding="utf-8") for of, name in TEXTS.items()}


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: f"{region.of}-{region.table}")
def test_a_tables_cells_are_those_of_the_paper_in_their_places(
    region: Region, papers: dict[str, str]
) -> None:
    assert region.claimed() == region.read(papers[region.of])


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def cells(of: str, table: str, column: str) -> list[str]:
    return [row[column].published or "" for row in of_table(of, table).values() if column in row]


def test_canets_table_of_structure(papers: dict[str, str]) -> None:
    """Its three columns were extracted one after the other, the input's first."""
    text = papers["canet"]
    read = {
        "input": within(text, "Input feature\n", "disease-specific\n").splitlines()[1:],
        "type": within(text, "Type\nMaxPool", "Output feature").splitlines()[1:],
        "output": within(text, "Output feature\n", "(F0j for another").splitlines()[1:],
    }
    for column, lines in read.items():
        printed = [squeezed(line) for line in lines if line.strip()]
        assert [squeezed(cell) for cell in cells("canet", "1", column)] == printed


@pytest.mark.parametrize(("table", "end"), [("2", "Figure 4: The"), ("3", "grading performance for both")])
def test_canets_tables_of_labels(table: str, end: str, papers: dict[str, str]) -> None:
    """A count and a share in each cell, extracted down the columns."""
    numeral = {"2": "II", "3": "III"}[table]
    read = re.findall(r"(\d+), (\d+\.\d%)", within(papers["canet"], f"Table {numeral}: The statistics", end))
    rows = of_table("canet", table).values()
    grades = range(len(max(rows, key=len)) // 2)
    assert [
        (row[f"DR {grade}"].published, row[f"DR {grade}, share"].published)
        for grade in grades
        for row in rows
    ] == read


def test_canets_scores_of_photographs(papers: dict[str, str]) -> None:
    region = within(papers["canet"], " DR 3: 0.00", "Figure 5: Visual")
    read = [
        [disease, truth, *scores.split()]
        for disease, truth, scores in re.findall(r"(DR|DME) (\d): ((?:\d\.\d\d\s*)+)", region)
    ]
    claimed = [
        [row.partition(",")[0], *(claim.published for claim in columns.values())]
        for row, columns in of_table("canet", "fig-5").items()
    ]
    assert claimed == read


@pytest.mark.parametrize(
    ("table", "start", "end"),
    [("1", "[4], [5], [9], [10] ×", "Most works take"), ("2", "Input - - - -", "B. Grading Module")],
)
def test_clpis_tables_of_words_and_sizes(table: str, start: str, end: str, papers: dict[str, str]) -> None:
    read = [squeezed(line) for line in within(papers["clpi"], start, end).splitlines() if line.strip()]
    claimed = [
        squeezed(
            re.sub(r"^Conv \d$", "Conv", row) + "".join(claim.published or "" for claim in columns.values())
        )
        for row, columns in of_table("clpi", table).items()
    ]
    assert [line.replace("✓", "X") for line in claimed] == read


def test_sians_table_of_lesions(papers: dict[str, str]) -> None:
    """Rows and columns are extracted into each other; each phrase of a cell must stand there, and no number beside."""
    region = within(papers["sian"], "Sufficient\n", "Note that for natural images").replace("\n• ", " ")
    found = squeezed(re.sub(r" 3(?=[\s•])", "", region)).replace("•", "")
    phrases = [
        phrase
        for columns in of_table("sian", "1").values()
        for claim in columns.values()
        for phrase in re.split(r": |; ", claim.published or "")
    ]
    words = {squeezed(word) for phrase in phrases for word in phrase.split()}
    assert not [word for word in words if word not in found]
    read = Counter(re.findall(r"(?<![\w])\d+", re.sub(r" 3(?=[\s•])| –", "", region)))
    assert read == Counter(number for phrase in phrases for number in re.findall(r"\d+", phrase))


def test_sians_lesion_models_and_grades_of_photographs(papers: dict[str, str]) -> None:
    text = papers["sian"]
    models = within(text, "Lesion model\n", "Kappa\n0.660").split("\n\n")[-2].splitlines()
    assert cells("sian", "6", "Lesion model") == models
    methods = within(text, "Lesion model\n", "Kappa\n0.660").split("\n\n")[1].splitlines()
    assert [row.partition(",")[0] for row in of_table("sian", "6")] == methods
    read = re.findall(r"^DR\d$", within(text, "vHE\nDR4", "Figure 5: Visual"), re.MULTILINE)
    assert [c.published for row in of_table("sian", "fig-5").values() for c in row.values()] == read


SPECIAL = {
    "canet": {"1", "2", "3"}, "clpi": {"1", "2"}, "sian": {"1"}, "ellg": set(),
}  # fmt: skip
"""Tables that tests of their own read."""
NO_QUANTITY = {
    "canet": {"1", "2", "3", "4"},  # photographs and drawings of the network
    "clpi": {"1", "2", "3", "4", "7"},  # photographs, drawings, maps of activation
    "sian": {"1", "2", "3", "4"},  # photographs and drawings of the networks
    "ellg": {"1", "2", "3", "4"},  # a drawing of the method, photographs with their maps
}
ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5", "VI": "6", "VII": "7", "VIII": "8", "IX": "9"}


@pytest.mark.parametrize("of", PAPERS)
def test_no_table_and_no_figure_is_absent(of: str, papers: dict[str, str]) -> None:
    tables = re.findall(r"^\s?(?:Table|TABLE) ([IVX]+|\d+)[:\n]", papers[of], re.MULTILINE)
    figures = set(re.findall(r"^\s*(?:Figure|Fig\.) (\d+)[:.]", papers[of], re.MULTILINE))
    claimed = {claim.place.table for claim in claims(of)}
    assert sorted(ROMAN.get(name, name) for name in tables) == sorted(
        name for name in claimed if name.isdigit()
    )
    assert {f"fig-{name}" for name in figures - NO_QUANTITY[of]} == {
        c for c in claimed if c.startswith("fig")
    }
    assert {region.table for region in REGIONS if region.of == of} | SPECIAL[of] == {
        name for name in claimed if name.isdigit()
    }


@pytest.mark.parametrize("of", PAPERS)
def test_every_row_is_named_as_in_the_paper(of: str, papers: dict[str, str]) -> None:
    """Names that stand twice in a table have what tells them apart before or behind a comma."""
    text = squeezed(papers[of].replace("<i>", "").replace("</i>", ""))
    for claim in claims(of):
        table, row = claim.place.table, claim.place.row
        if table.isdigit() and (of, table) not in UNNAMED:
            words = [row, *row.split(", ")]
            assert any(squeezed(word) in text for word in words), claim.place


UNNAMED = {("canet", "1"), ("canet", "2"), ("canet", "3"), ("clpi", "2"), ("clpi", "7"), ("sian", "2")}
"""Tables whose rows are layers, grades or pictures."""

OUTSIDE = {
    "canet": (
        ("Type\nMaxPool", "(F0j for another"), ("Table II: The", "Figure 4: The"),
        ("Table III: The", "grading performance"),
        ("CANet (λ=0.00)\n", "Parameters\n"), (" DR 3: 0.00", "Figure 5:"), ("Table VIII: Comparison", "Figure 6: The"),
    ),
    "clpi": (("[4], [5], [9], [10] ×", "Most works take"), ("Input - - - -", "B. Grading Module")),
    "sian": (("Sufficient\n", "Note that for natural"), ("DR model\n", "Kappa\n0.660")),
    "ellg": (),
}  # fmt: skip
"""Tables and axes beside those of ``REGIONS``: no running text."""
OF_NO_CLAIM = {
    "canet": {"2018"},  # the year of the challenge
    "clpi": {"40", "45", "121"},  # per cent of patients with diabetes who have DR; DenseNet-121
    "sian": {"16"},  # L-Net-16s
    "ellg": set(),
}
_QUANTITY = re.compile(r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?(?:e-\d+)?)")


def quantities(text: str) -> set[str]:
    """Numbers of 10 and above, and all with a decimal point or an exponent; smaller ones count things and equations."""
    text = re.sub(r"\b(1|2|36), (200|048|270)\b", r"\1,\2", text)  # as the texts were extracted
    found = {word.replace(",", "") for word in _QUANTITY.findall(text)}
    return {word for word in found if not word.isdigit() or int(word) >= 10}


def running_text(of: str, text: str) -> str:
    """A paper without its tables, axes, references, numbers of sections, and citations."""
    text = text.partition("# 5 Acknowledgement")[0]
    parts = [part for region in REGIONS if region.of == of for part in region.parts]
    tables = [within(text, start, end) for start, end in (*parts, *OUTSIDE[of])]
    for table in sorted(tables, key=len, reverse=True):
        text = text.replace(table, "\n§\n")
    text = re.sub(r"\[[\d–,\s-]+\]|\[[^\]]*\b(?:19|20)\d\d\w?\]|\bet al\.\*, (?:19|20)\d\d", " ", text)
    return re.sub(r"^[1-9](?:\.[1-9])+$|^#.*$|Section \d(?:\.\d)+", " ", text, flags=re.MULTILINE)


@pytest.mark.parametrize("of", PAPERS)
def test_every_quantity_of_the_running_text_is_claimed_and_no_other(of: str, papers: dict[str, str]) -> None:
    claimed = quantities(" ; ".join(c.published or "" for c in claims(of) if c.place.table == "text"))
    printed = quantities(running_text(of, papers[of]))
    assert printed - OF_NO_CLAIM[of] == claimed


@pytest.mark.parametrize("of", PAPERS)
def test_what_the_text_is_quoted_with_stands_there(of: str, papers: dict[str, str]) -> None:
    text = squeezed(papers[of].replace("\\times", "×").replace("$", ""))
    for claim in claims(of):
        if claim.place.table == "text":
            assert squeezed(claim.published or "") in text, claim.place
