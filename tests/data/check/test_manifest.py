"""Manifests against coreutils itself: what either writes the other verifies, and every kind of change is told."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from retinalab.data.check.findings import KINDS
from retinalab.data.check.manifest import Differences, manifest_findings, verify_manifest, write_manifest
from retinalab.data.check.sha256sum import read_manifest
from retinalab.errors import RetinalabError

ODD_NAMES = (
    " leading.jpg", "trailing ", "-dash.jpg", "#hash.jpg", "*star.jpg", "back\\slash.jpg", "new\nline.jpg",
    "\\n.jpg", "Ümläut ①.jpg", "tab\t.jpg", "quote'\".jpg", ".hidden",
)  # fmt: skip
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", FIPS 180-2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for name, content in (
        ("b/2.jpg", b"two"),
        ("b/1.jpg", b"one"),
        ("a.csv", b"abc"),
        ("B.csv", b""),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def sha256sum() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("no sha256sum on this machine to verify manifests with; install GNU coreutils")

    def run(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([program, *words], cwd=folder, capture_output=True, env={"LC_ALL": "C"})

    return run


def test_lines_are_sorted_by_bytes_relative_and_known(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.sha256"
    assert write_manifest(root, file) == 4
    lines = file.read_text().splitlines()
    assert [line[66:] for line in lines] == ["B.csv", "a.csv", "b/1.jpg", "b/2.jpg"]
    assert lines[1] == f"{ABC}  a.csv"
    assert lines[3].startswith(hashlib.sha256(b"two").hexdigest())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.sha256", "set"]


def test_coreutils_verifies_it_whatever_the_names(
    root: Path, tmp_path: Path, sha256sum: Callable[..., subprocess.CompletedProcess[bytes]]
) -> None:
    for name in ODD_NAMES:
        (root / "b" / name).write_bytes(name.encode())
    raw = os.path.join(os.fsencode(root), b"latin-\xfc.jpg")
    Path(os.fsdecode(raw)).write_bytes(b"no UTF-8")
    file = tmp_path / "m.sha256"
    write_manifest(root, file, threads=3)
    done = sha256sum(root, "--check", "--strict", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(b": OK\n") == 4 + len(ODD_NAMES) + 1
    theirs = sha256sum(root, "--", *sorted(read_manifest(file), key=os.fsencode))
    assert theirs.stdout == file.read_bytes()
    assert verify_manifest(root, file) == Differences(equal=5 + len(ODD_NAMES))
    (root / "b" / "new\nline.jpg").write_bytes(b"rot")
    assert sha256sum(root, "--check", "--quiet", str(file)).returncode == 1
    assert verify_manifest(root, file).changed == ("b/new\nline.jpg",)


def test_a_carriage_return_in_a_name_survives(root: Path, tmp_path: Path) -> None:
    for name in ("cr\r", "cr\r.jpg", "\\r"):
        (root / name).write_bytes(b"x")
    write_manifest(root, tmp_path / "m")
    assert b"\r" not in (tmp_path / "m").read_bytes()
    assert verify_manifest(root, tmp_path / "m") == Differences(equal=7)


def test_what_coreutils_writes_is_verified(
    root: Path, tmp_path: Path, sha256sum: Callable[..., subprocess.CompletedProcess[bytes]]
) -> None:
    names = ["./a.csv", "B.csv", "b/1.jpg", "./b/2.jpg"]
    for mode in ("--text", "--binary"):
        (tmp_path / "m").write_bytes(b"# by hand\n" + sha256sum(root, mode, *names).stdout)
        assert verify_manifest(root, tmp_path / "m") == Differences(equal=4)
    edited = sha256sum(root, *names).stdout.replace(b"\n", b"\r\n")
    (tmp_path / "m").write_bytes(edited)
    assert verify_manifest(root, tmp_path / "m") == Differences(equal=4)


def test_changed_missing_and_added_are_told_apart(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "m"
    write_manifest(root, file)
    one_bit = bytearray((root / "b/1.jpg").read_bytes())
    one_bit[1] ^= 4
    (root / "b/1.jpg").write_bytes(one_bit)
    (root / "b/2.jpg").unlink()
    for name in ("b/9.jpg", "8.jpg", ".DS_Store", "b/Thumbs.db"):
        (root / name).write_bytes(b"later")
    found = verify_manifest(root, file)
    assert found == Differences(2, changed=("b/1.jpg",), missing=("b/2.jpg",), added=("8.jpg", "b/9.jpg"))
    assert found
    assert not Differences(4)
    listed = manifest_findings(found)
    assert [(one.kind, one.images) for one in listed] == [
        ("missing", ("b/2.jpg",)),
        ("checksum", ("b/1.jpg",)),
        ("checksum", ("8.jpg", "b/9.jpg")),
    ]
    assert all(one.kind in KINDS for one in listed)


def test_what_desktops_leave_behind_is_not_listed(root: Path, tmp_path: Path) -> None:
    (root / "b/Thumbs.db").write_bytes(b"x")
    assert write_manifest(root, tmp_path / "m") == 4


def test_links_are_followed_but_not_in_a_circle(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/3.jpg").write_bytes(b"three")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "b/up").symlink_to(root)
    assert write_manifest(root, tmp_path / "m") == 5
    assert "linked/3.jpg" in read_manifest(tmp_path / "m")
    (tmp_path / "elsewhere/3.jpg").unlink()
    (root / "b/1.jpg").unlink()
    (root / "b/1.jpg").symlink_to(tmp_path / "nowhere")
    assert verify_manifest(root, tmp_path / "m").missing == ("b/1.jpg", "linked/3.jpg")


def test_progress_counts_every_file(root: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_manifest(root, tmp_path / "m", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    seen.clear()
    (root / "a.csv").unlink()
    verify_manifest(root, tmp_path / "m", progress=lambda done, total: seen.append((done, total)), threads=1)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_it_is_never_written_into_the_set_nor_over_another(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    for place in (root / "m", root / "b/m", tmp_path / "link/m", tmp_path / "elsewhere/../set/m"):
        with pytest.raises(RetinalabError, match="which is never written to"):
            write_manifest(root, place)
    (tmp_path / "m").write_text("the only witness")
    with pytest.raises(RetinalabError, match="exists already"):
        write_manifest(root, tmp_path / "m")
    assert (tmp_path / "m").read_text() == "the only witness"
    assert len(list(root.rglob("*"))) == 5


def test_a_file_that_cannot_be_read_leaves_no_manifest(root: Path, tmp_path: Path) -> None:
    (root / "b/3.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RetinalabError, match=r"b/3\.jpg cannot be read \(No such file"):
        write_manifest(root, tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_file_that_the_system_refuses_is_unreadable(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_manifest(root, tmp_path / "m")
    real = hashlib.file_digest

    def failing(file: object, name: str) -> object:
        if str(getattr(file, "name", "")).endswith("2.jpg"):
            raise OSError(5, "Input/output error")
        return real(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", failing)
    found = verify_manifest(root, tmp_path / "m")
    assert found == Differences(3, unreadable=("b/2.jpg",))
    assert [one.kind for one in manifest_findings(found)] == ["unreadable"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "lists no file"),
        (b"# only a comment\n", "lists no file"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "line 1: .* is no line of a manifest"),
        (f"{ABC}  a.csv\n{ABC[:-1]}  B.csv\n".encode(), "line 2: .* is no line of a manifest"),
        (f"{ABC}  a.csv\n\n".encode(), "line 2: '' is no line"),
        (f"{ABC} a.csv\n".encode(), "line 1"),
        (f"\\{ABC}  a\\x.csv\n".encode(), "line 1"),
        (f"{ABC}  /etc/passwd\n".encode(), "line 1: '/etc/passwd' leaves the data set's folder"),
        (f"{ABC}  b/../../x\n".encode(), "leaves the data set's folder"),
        (f"{ABC}  a.csv\n{ABC}  ./a.csv\n".encode(), "line 2: 'a.csv' is listed twice"),
        (
            f"{ABC}  other/1.jpg\n".encode(),
            r"another folder: none of its 1 files .* \(first: 'other/1.jpg'\)",
        ),
        (f"{ABC}  1.jpg\n".encode(), "It fits .*/b: give that folder"),
        (f"{ABC}  set/a.csv\n".encode(), "It fits .*: give that folder"),
    ],
)
def test_a_wrong_manifest_is_one_clear_line(root: Path, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(RetinalabError, match=said) as caught:
        verify_manifest(root, tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_absent_folders_and_files(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RetinalabError, match=r"m cannot be read \(No such file or directory\)"):
        verify_manifest(root, tmp_path / "m")
    with pytest.raises(RetinalabError, match="set cannot be read"):
        verify_manifest(root, root)
    with pytest.raises(RetinalabError, match=r"No folder .*nowhere"):
        verify_manifest(tmp_path / "nowhere", tmp_path / "m")
    with pytest.raises(RetinalabError, match="No folder"):
        write_manifest(root / "a.csv", tmp_path / "m")
    with pytest.raises(RetinalabError, match=r"Cannot write .*No such file or directory"):
        write_manifest(root, tmp_path / "no/such/m")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RetinalabError, match="holds no file"):
        write_manifest(tmp_path / "empty", tmp_path / "m")
