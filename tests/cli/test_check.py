"""The command: exit status, what it prints within 80 columns, what it writes, and one line for bad input."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import pytest

from retinalab.cli import main
from retinalab.data.check import KINDS
from retinalab.synthetic import World, WorldOptions, write_world
from retinalab.testing import write_fake_set


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn photographs with masks."""
    folder = tmp_path_factory.mktemp("small") / "small"
    write_world(World(WorldOptions(photographs=8, seed=2, faults=0.0)), folder, 192)
    return folder


@pytest.fixture
def drawn(small_set: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_set, tmp_path / "small"))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main(["data", "check", *map(str, words)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    status, _, err = run(capsys, *words)
    lines = [line for line in err.splitlines() if line.startswith("retinalab: ")]
    assert status == 2
    assert len(lines) == 1
    return lines[0]


def test_a_clean_set_exits_with_0(small_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "table", "--root", small_set)
    assert status == 0
    assert "Nothing found." in out
    assert "8 photographs of 2 patients" in out
    assert max(map(len, out.splitlines())) <= max(80, len(str(small_set)))


def test_faults_exit_with_1_and_are_written(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (drawn / "000003.png").write_bytes(b"")
    (drawn / "000005.png").write_bytes((drawn / "000004.png").read_bytes())
    status, out, _ = run(capsys, "table", "--root", drawn, "--size", "96", "--out", tmp_path / "report")
    assert status == 1
    assert re.search(r"1  unreadable \.+ fault", out)
    assert "000003.png: is empty" in out
    assert "2 faults" in out
    written = json.loads((tmp_path / "report" / "check.json").read_text())
    kinds = [found["kind"] for found in written["findings"] if found["severity"] == "fault"]
    assert kinds == ["unreadable", "duplicate"]
    assert written["faults"] == 2
    assert written["findings"][0]["title"] == KINDS["unreadable"].title
    page = (tmp_path / "report" / "check.html").read_text()
    assert "000005.png" in page
    assert "data:image/" in page
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["check.html", "check.json"]


def test_probe_and_lesion_size_are_printed(small_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "table", "--root", small_set, "--size", "64")
    assert "microaneurysms vanish" in out
    assert "Diameter of a microaneurysm" in out
    assert "Labels predicted without looking at the retina" in out


def test_quick_opens_no_file(drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (drawn / "000003.png").write_bytes(b"")
    status, out, _ = run(capsys, "table", "--root", drawn, "--quick")
    assert status == 0
    assert "--quick opens no file" in out
    (drawn / "000003.png").unlink()
    assert run(capsys, "table", "--root", drawn, "--quick")[0] == 1


def test_a_manifest_tells_a_changed_byte(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "SHA256SUMS"
    status, out, _ = run(capsys, "table", "--root", drawn, "--manifest", manifest)
    assert status == 0
    assert f"written to {manifest}" in out
    assert run(capsys, "table", "--root", drawn, "--verify", manifest)[0] == 0
    image = cv2.imread(str(drawn / "000002.png"))
    assert image is not None
    image[96, 96] ^= 1  # still a photograph like any other
    cv2.imwrite(str(drawn / "000002.png"), image)
    (drawn / "000006.png").unlink()
    status, out, _ = run(capsys, "table", "--root", drawn, "--verify", manifest)
    assert status == 1
    assert "000002.png: other bytes than the manifest's" in out
    assert out.count("000006.png") == 1
    assert "2 faults" in out


def test_overlaps_with_another_set(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    write_fake_set("folders", other, 5)
    shutil.copy(small_set / "000004.png", other / "2" / "borrowed.png")
    words = ("table", "--root", small_set, "--against", f"folders={other}")
    status, out, _ = run(capsys, *words)
    assert status == 1
    assert "000004.png, folders:2/borrowed.png: the same bytes" in out
    assert "1 fault," in out


def test_options_of_the_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_fake_set("idrid", tmp_path / "idrid")
    status, out, _ = run(capsys, "idrid", "options.task=segmentation", "--root", root, "--quick")
    assert status == 0
    assert "6 photographs" in out
    assert "'segment'" in refused(capsys, "idrid", "options.task=segment", "--root", root)
    assert "Unknown option" in refused(capsys, "idrid", "options.tsk=grading", "--root", root)


def test_the_cross_table_beside_the_published_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_fake_set("messidor", tmp_path / "messidor")
    _, out, _ = run(capsys, "messidor", "--root", root, "--quick")
    assert "published in brackets" in out
    assert "(546)" in out
    assert "photographs: 24 instead of 1200" in out


def test_drawn_photographs_have_no_files(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "synthetic", "options.photographs=8")
    assert status == 0
    assert "no file to check" in out
    assert "has no files here" in refused(
        capsys, "synthetic", "options.photographs=8", "--manifest", "SHA256SUMS"
    )


def test_bad_input_is_one_line(small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ("--root", small_set)
    assert "Did you mean 'deepdrid'?" in refused(capsys, "deepdrit", *root)
    assert "No folder" in refused(capsys, "table", "--root", tmp_path / "nowhere")
    assert "needs its folder" in refused(capsys, "table")
    assert "never written to" in refused(capsys, "table", *root, "--out", small_set / "report")
    assert not (small_set / "report").exists()
    (tmp_path / "file").write_text("")
    assert "Cannot make the folder" in refused(capsys, "table", *root, "--out", tmp_path / "file" / "report")
    assert "outside 32 to 4096" in refused(capsys, "table", *root, "--size", "8")
    assert "SET=DIR" in refused(capsys, "table", *root, "--against", "table")
    assert "folder that is checked" in refused(capsys, "table", *root, "--against", f"folders={small_set}")
    assert "Unknown data set" in refused(capsys, "table", *root, "--against", f"tabel={tmp_path}")
    assert "Leave out one of them" in refused(capsys, "table", *root, "--quick", "--verify", "sums")
    assert "never written to" in refused(capsys, "table", *root, "--manifest", small_set / "sums")
    assert "cannot be read" in refused(capsys, "table", *root, "--verify", tmp_path / "sums")
    assert "--fast" in refused(capsys, "table", *root, "--fast")


def test_a_write_protected_folder_is_refused_before_anything_is_read(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("retinalab.cli.check.os.access", lambda path, mode: False)
    line = refused(capsys, "table", "--root", small_set, "--out", tmp_path / "report")
    assert "write-protected" in line


def test_the_cross_table_fits_where_a_grade_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_fake_set("messidor2", tmp_path / "messidor2")
    _, out, _ = run(capsys, "messidor2", "--root", root, "--quick")
    assert "DR unknown" in out
    assert max(len(line) for line in out.splitlines() if line != str(root)) <= 80
