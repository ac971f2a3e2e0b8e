"""Lists of photographs, as the released code of several papers reads them, and what may be wrong with one."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from retinalab.errors import RetinalabError
from retinalab.predict import listing
from retinalab.predict.listing import ListFile

NAMES = ("demo/images/20051213_62648_0100_PP.png", "demo/images/20051021_59136_0100_PP.png")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(path: Path, text: str) -> list[tuple[str, Path, str]]:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return [(p.image, p.path.resolve(), p.place) for p in ListFile(path)]


def refused(path: Path, text: str) -> str:
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RetinalabError) as error:
        list(ListFile(path))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_relative_to_the_working_folder_as_in_the_released_demo(place: Path) -> None:
    found = listed(place / "demo/infer_file_demo.csv", "\n".join(NAMES) + "\n")
    assert found == [(n, place / n, f"line {k} of infer_file_demo.csv") for k, n in enumerate(NAMES, 1)]


def test_relative_to_the_lists_own_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    found = listed(place / "list.txt", "\n".join(NAMES))
    assert [path for _, path, _ in found] == [place / name for name in NAMES]


FORMS = {
    "header": "image\n{0}\n{1}\n",
    "header of another name": "Bilder\n{0}\n{1}\n",
    "columns": "id,image,grade\n1,{0},2\n2,{1},0\n",
    "columns without header": "1,{0},2\n2,{1},0\n",
    "blank lines and spaces": "\n {0} \n\n{1}\n\n",
    "byte order mark, other line ends": "\ufeff{0}\r\n{1}\r\n",
    "quotes": '"{0}"\n"{1}"\n',
}


@pytest.mark.parametrize("form", FORMS)
def test_with_and_without_a_header(place: Path, form: str) -> None:
    found = listed(place / "list.csv", FORMS[form].format(*NAMES))
    assert [image for image, _, _ in found] == list(NAMES)


def test_backslashes_are_slashes(place: Path) -> None:
    found = listed(place / "list.txt", NAMES[0].replace("/", "\\"))
    assert found == [(NAMES[0], place / NAMES[0], "line 1 of list.txt")]


def test_a_text_file_may_have_commas_in_its_names(place: Path) -> None:
    (place / "left, again.jpg").touch()
    assert listed(place / "list.txt", "left, again.jpg\n")[0][0] == "left, again.jpg"


A, B = NAMES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["lists no photograph"]),
        ("image\n", ["lists no photograph"]),
        (
            f"{A}\nx.png\n{B}\ny/z.png\n",
            ["lists photographs that are absent: line 2 'x.png'", "line 4 'y/z.png' (2 in all; "],
        ),
        (f"image\n{A}\nx.png\n", ["photographs that are absent: line 3 'x.png' (1 in all"]),
        (f"{A}\n{B}\n{A}\n", [f"photographs more than once: lines 1, 3 '{A}' (1 in all)"]),
        (f"image\n{A}\n./{A}\n{A}\n", [f"lines 2, 3, 4 '{A}'"]),
        ("/etc/passwd.png\n", ["line 1: '/etc/passwd.png' leaves the folder of the list"]),
        (f"{A}\nimages/../../x.png\n", ["line 2: 'images/../../x.png' leaves the folder"]),
        (f"{A}\ndemo/../x.png\n", ["line 2: 'demo/../x.png' leaves the folder"]),
        (f"{A}\nx\0.png\n", ["line 2: a zero byte"]),
        ("C:\\x.png\n", ["line 1: 'C:/x.png' leaves the folder"]),
        ("hello\nworld\n", ["names no photograph in its first lines", "'hello'", "name the column 'image'"]),
        (f"id,image\n1,{A}\n2,\n", ["line 3: no photograph is named"]),
        (f"id,image\n1,{A}\n2\n", ["line 3: no photograph is named"]),
        (f'{A}\n"{B}\n', ["is no readable list"]),
        ("caf\xe9.png\n", ["is no readable list", "UTF-8"]),
    ],
)
def test_faults_are_named_with_their_lines(place: Path, text: str, expected: list[str]) -> None:
    said = refused(place / "list.csv", text)
    for part in expected:
        assert part in said


def test_repeated_and_absent_lines_are_named_at_once(place: Path) -> None:
    path = place / "list.csv"
    path.write_text(f"{A}\nx.png\n{A}\n")
    with pytest.raises(RetinalabError) as error:
        ListFile(path)
    repeated, absent = str(error.value).splitlines()
    assert f"photographs more than once: lines 1, 3 '{A}' (1 in all)" in repeated
    assert "photographs that are absent: line 2 'x.png' (1 in all" in absent


def test_says_where_it_looked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert f"; looked in {place} and {place / 'elsewhere'})" in refused(place / "list.csv", "x.png\n")


def test_many_faults_are_counted(place: Path) -> None:
    said = refused(place / "list.csv", "".join(f"{k}.png\n" for k in range(500)))
    assert "photographs that are absent: line 1 '0.png', line 2" in said
    assert "… (500 in all" in said
    assert len(said) < 600


def test_a_step_upwards_behind_a_link_leads_nowhere_else(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "inner").mkdir()
    (outside / "secret.png").touch()
    (place / "demo/link").symlink_to(outside / "inner")
    assert os.path.exists(place / "demo/link/../secret.png")
    assert "'demo/link/../secret.png' leaves the folder" in refused(
        place / "list.csv", "demo/link/../secret.png\n"
    )


def test_a_link_in_the_folder_is_followed_and_a_loop_of_links_is_absent(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "eye.png"
    elsewhere.touch()
    (place / "linked.png").symlink_to(elsewhere)
    assert listed(place / "list.txt", "linked.png\n") == [("linked.png", elsewhere, "line 1 of list.txt")]
    (place / "one.png").symlink_to("two.png")
    (place / "two.png").symlink_to("one.png")
    assert "photographs that are absent: line 1 'one.png' (1 in all" in refused(
        place / "list.csv", "one.png\n"
    )


@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_an_endless_line_is_refused_before_it_is_held(place: Path, suffix: str) -> None:
    path = place / f"list{suffix}"
    with path.open("w") as file:
        for _ in range(64):
            file.write("x" * (1 << 20))
    tracemalloc.start()
    with pytest.raises(RetinalabError, match=r"line 1 is longer than 65536 characters") as error:
        ListFile(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(error.value)
    assert peak < 4 << 20


def test_a_quote_that_is_never_closed_holds_no_more_than_a_field(place: Path) -> None:
    path = place / "list.csv"
    path.write_text('"' + "x.png\n" * 200_000)
    with pytest.raises(RetinalabError, match="is no readable list"):
        ListFile(path)


def test_more_lines_than_can_be_kept_of_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_LINES", 3)
    assert "it has more than 3 lines" in refused(place / "list.txt", f"{A}\n{B}\n\n\n")


def test_a_pipe_is_no_list(place: Path) -> None:
    os.mkfifo(place / "list.txt")
    with pytest.raises(RetinalabError, match="is no regular file"):
        ListFile(place / "list.txt")
