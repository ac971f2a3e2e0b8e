"""Paths of a label file stay in the set's folder, whatever their text; links that the owner made are followed."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from retinalab.cli import main
from retinalab.data.sets import open_set
from retinalab.data.sets.files import check_paths
from retinalab.data.sets.label_files import read_csv
from retinalab.errors import RetinalabError
from retinalab.testing import write_fake_set


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_fake_set("table", tmp_path / "set", 6)


CLIMBING = (
    "../secret.jpg", "images/../../secret.jpg", "images/../000.jpg", "/etc/passwd", "..\\secret.jpg", "C:\\secret.jpg",
    "C:/secret.jpg", "\\\\server\\share\\a.jpg", "//server/a.jpg", "images\\..\\..\\secret.jpg",
)  # fmt: skip


@pytest.mark.parametrize("path", CLIMBING)
@pytest.mark.parametrize("column", ["image", "mask_EX", "mask_other"])
def test_a_path_that_climbs_is_refused(root: Path, path: str, column: str) -> None:
    file = root / "records.csv"
    (root.parent / "secret.jpg").write_bytes((root / "images/000.jpg").read_bytes())
    lines = file.read_text().splitlines()
    if column == "image":
        lines[2] = path + lines[2][lines[2].index(",") :]
    else:
        lines = [f"{line},{column if k == 0 else path if k == 2 else ''}" for k, line in enumerate(lines)]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(RetinalabError, match="leads out of") as caught:
        open_set("table", root).records(check=False)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_line_says_it_in_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = root / "records.csv"
    file.write_text(file.read_text().replace("images/000.jpg", "../../etc/passwd"))
    for words in (["data", "index", "table"], ["data", "check", "table"]):
        assert main([*words, "--root", str(root)]) == 2
        (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("retinalab: ")]
        assert "leads out of" in line


def test_a_zero_byte(root: Path) -> None:
    file = root / "records.csv"
    file.write_bytes(file.read_bytes().replace(b"images/000.jpg", b"images/0\x0000.jpg"))
    with pytest.raises(RetinalabError, match=r"records\.csv"):
        open_set("table", root).records()


@pytest.mark.parametrize("path", ["a..b/c.jpg", "a/..b.jpg", "...", "images/a:b.jpg", "", "ab:c.jpg"])
def test_a_path_that_stays(path: str, tmp_path: Path) -> None:
    check_paths([path], tmp_path, "list.csv")


def test_links_within_the_folder_are_followed(root: Path, tmp_path: Path) -> None:
    (root / "images").rename(tmp_path / "elsewhere")
    (root / "images").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert len(open_set("table", root).records()) == 6


def test_windows_separators(root: Path) -> None:
    file = root / "records.csv"
    file.write_text(file.read_text().replace("images/", "images\\"))
    assert open_set("table", root).records().table["image"].str.startswith("images/").all()


def test_two_spellings_of_one_name(root: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "images/œil gauche é.jpg") for form in ("NFC", "NFD"))
    assert composed != apart
    file = root / "records.csv"
    text = file.read_text(encoding="utf-8")
    (root / "images/000.jpg").rename(root / apart)
    file.write_text(text.replace("images/000.jpg", composed), encoding="utf-8")
    with pytest.raises(
        RetinalabError, match=r"absent.*another form of Unicode \('.*e\\u0301\.jpg'\): rename it"
    ):
        open_set("table", root).records()
    both = text.replace("images/000.jpg", composed).replace("images/001.jpg", apart)
    file.write_text(both, encoding="utf-8")
    with pytest.raises(RetinalabError, match="twice"):
        open_set("table", root).records()


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    root = write_fake_set("folders", tmp_path / "set", 6)
    file = min(path for path in root.rglob("*") if path.is_file())
    file.rename(file.with_name(b"\xff.jpg".decode("utf-8", "surrogateescape")))
    with pytest.raises(RetinalabError, match="no text in UTF-8") as caught:
        open_set("folders", root).records()
    str(caught.value).encode()


def test_label_files_without_end(tmp_path: Path) -> None:
    columns, line, size = tmp_path / "columns.csv", tmp_path / "line.csv", tmp_path / "size.csv"
    columns.write_text("image," + ",".join(f"c{k}" for k in range(5000)) + "\n")
    with line.open("wb") as file:
        file.write(b"image,dr\n".rstrip())
        file.seek(400_000_000)
        file.write(b"\n")
    with size.open("wb") as file:
        file.truncate(1 << 30)
    for path, words in ((columns, "5001|4097"), (line, "first line"), (size, "1.1 GB")):
        with pytest.raises(RetinalabError, match=words) as caught:
            read_csv(path)
        assert path.name in str(caught.value)


def test_a_compressed_label_file_is_not_unpacked(tmp_path: Path) -> None:
    import gzip

    for suffix in (".csv.gz", ".zip", ".csv"):
        path = tmp_path / f"labels{suffix}"
        path.write_bytes(gzip.compress(b"image,dr\na.jpg,1\n" + b"0" * 10**6))
        with pytest.raises(RetinalabError, match="labels"):
            read_csv(path)
