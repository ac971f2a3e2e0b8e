"""The file: what is read of it and what is refused, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinalab.audit import audit, read_checks
from retinalab.errors import RetinalabError

HEAD = "table,row,check,value,unit,n,from,averaged,assumes\n"


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "printed.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_may_be_left_out_and_stand_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path, "value,check,n,unit\n65.1,share,103,%\n,,,\n0.5,share,10,\n")
    (first, second) = read_checks(path)
    assert (first.value, first.n, first.unit, first.line, first.averaged) == ("65.1", "103", "%", 2, 1)
    assert second.line == 4


def test_a_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + 'T,"a, b",share,65.0,%,103,,,\n', "utf-8-sig")
    (one,) = audit(path)
    assert (one.check.row, one.answer.verdict) == ("a, b", "possible")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'check'. Its first line names the columns: table, row, check, value"),
        ("check,n\n", "has no column 'value'"),
        (HEAD, "holds no rows"),
        ("check,value,metrik\nshare,1,\n", "Unknown column 'metrik'"),
        ("check,value,value\nshare,1,1\n", "column 'value' stands twice"),
        (HEAD + "T,r,grim,65.1,%,103,,,\n", "Unknown check 'grim'."),
        (HEAD + "T,r,shares,65.1,%,103,,,\n", "Did you mean 'share'?"),
        (HEAD + "T,r,share,,%,103,,,\n", "line 2: no value"),
        (HEAD + "T,r,share,65.1,%,103,,ten,\n", "line 2: averaged 'ten' is no number of figures"),
        (HEAD + "T,r,share,65.1,%,103,,,,,\n", "line 2: more fields than columns"),
        (HEAD + "T,r,share,65.1,%,,,,\nT,r,share,x,%,5,,,\n", "line 2: '' is no n."),
        (HEAD + "T,r,share,65.1,%,,,,\nT,r,share,x,%,5,,,\n", "line 3: 'x' is no printed number."),
        (HEAD + "T,r,square,448,,,,,\n", "line 2: A size has two sides, such as 448 × 448, got '448'."),
        (HEAD + "T,r,same,448,,,,,\n", "line 2: 'from' of 'same' is what is printed elsewhere."),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RetinalabError) as caught:
        audit(write(tmp_path, text))
    assert message in str(caught.value)


def test_bytes_that_are_no_text_and_missing_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "printed.csv"
    path.write_bytes(b"check,value\nshare,\xff\xfe\n")
    with pytest.raises(RetinalabError, match="no readable CSV"):
        audit(path)
    with pytest.raises(RetinalabError, match="No table"):
        audit(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "value", "given", "verdict"),
    [
        ("same", "57", "54", "impossible"),
        ("same", "0.50", "0.5", "possible"),
        ("same", "5×5", "5 × 5", "possible"),
        ("same", "36,270", "36270", "possible"),
        ("same", "28 × 28", "26 × 26", "impossible"),
        ("same", "both", "both", "possible"),
        ("same", "both", "none", "impossible"),
        ("square", "488 × 448", "", "impossible"),
        ("square", "896 × 896", "", "possible"),
    ],
)
def test_statements_are_held_against_each_other(
    tmp_path: Path, name: str, value: str, given: str, verdict: str
) -> None:
    (one,) = audit(write(tmp_path, HEAD + f'T,r,{name},"{value}",,,{given},,\n'))
    assert one.answer.verdict == verdict


@pytest.mark.parametrize("n", ["1-1000000000", "1-99999999999999999999"])
def test_a_range_that_no_memory_holds_is_refused(tmp_path: Path, n: str) -> None:
    """One large n is no trouble."""
    with pytest.raises(RetinalabError, match=r"line 2: n = .* range of more than 10,000 sizes"):
        audit(write(tmp_path, f"check,value,n\nshare,0.5,{n}\n"))
    (one,) = audit(write(tmp_path, "check,value,n\nshare,0.5,1000000000000\n"))
    assert one.answer.verdict == "possible"
