"""Tables and lists that are pickles, or that carry code or markup, are read as text or refused in a line."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import retinalab.report
from retinalab.cli import main
from retinalab.errors import RetinalabError
from retinalab.metrics.tables import read_table
from retinalab.report.render import write_page
from retinalab.testing import write_fake_set


class Touches:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def pickled(path: Path) -> bytes:
    return pickle.dumps(Touches(path))


def as_array(path: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Touches(path)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [pickled, as_array])
def test_a_pickle_under_any_name(
    tmp_path: Path, content: Callable[[Path], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    touched = tmp_path / "touched"
    root = write_fake_set("table", tmp_path / "set", 6)
    for name in ("a.csv", "a.parquet", "a.json", "a.yaml", "a.npy", "a.txt", "a.pkl", "a.xls"):
        (tmp_path / name).write_bytes(content(touched))
    (root / "bad.csv").write_bytes(content(touched))
    (root / "images/000.jpg").write_bytes(content(touched))
    commands = [
        ["data", "index", "table", "--root", str(root), "options.file=bad.csv"],
        ["data", "check", "table", "--root", str(root), "--manifest", str(tmp_path / "a.txt")],
        ["exp", "baseline", str(tmp_path / "a.yaml")],
        ["exp", "baseline", "synthetic", "--sweep", str(tmp_path / "a.yaml")],
        ["leaderboard", str(tmp_path / "a.yaml")],
        *(["evaluate", str(tmp_path / name)] for name in ("a.csv", "a.parquet", "a.npy", "a.pkl", "a.json")),
    ]
    for words in commands:
        assert main(words) == 2, words
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: ")]
        assert len(lines) == 1, (words, lines)
        assert not touched.exists(), words
    assert main(["data", "check", "table", "--root", str(root)]) in (0, 1)
    assert not touched.exists()


def test_parquet_metadata_is_not_unpickled(tmp_path: Path) -> None:
    """An extension type may carry a pickle, which old readers loaded."""
    touched = tmp_path / "touched"
    rows = {"image": ["a"], "set": ["s"], "dr": [0], "dr_grade": [0], "dr_p0": [0.5], "dr_p1": [0.5]}
    frame = pd.DataFrame({**rows, "part": "test", "patient": "p"})
    plain = pa.Table.from_pandas(frame)
    harm = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickled(touched),
    }
    fields = [one.with_metadata(harm) if one.name == "image" else one for one in plain.schema]
    for metadata in ({b"pandas": pickled(touched).hex().encode()}, None):
        table = plain.cast(pa.schema(fields, metadata=metadata))
        pq.write_table(table, tmp_path / "a.parquet")
        with contextlib.suppress(RetinalabError):  # whether it is read or refused, nothing runs
            assert list(read_table(tmp_path / "a.parquet", "predictions")["image"]) == ["a"]
        assert not touched.exists()


def test_a_table_cut_off_or_altered(tmp_path: Path) -> None:
    rows = {"image": ["a"] * 50, "set": "s", "dr": 0, "dr_grade": 0, "dr_p0": 0.5, "dr_p1": 0.5}
    pd.DataFrame({**rows, "part": "test", "patient": "p"}).to_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    draw = np.random.default_rng(0)
    path = tmp_path / "b.parquet"
    for turn in range(60):
        data = bytearray(whole[: draw.integers(len(whole))] if turn % 2 else whole)
        for place in draw.integers(0, len(data) or 1, 3 * (turn % 2 == 0)):
            data[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(data)
        with contextlib.suppress(RetinalabError):
            read_table(path, "predictions")


MARKUP = "<img src=x onerror=alert(1)>\"' onload=alert(2)"


@pytest.mark.parametrize(
    "template", sorted(p.name for p in (Path(retinalab.report.__file__).parent / "templates").glob("*.html"))
)
def test_no_template_leaves_text_as_it_is(template: str) -> None:
    """What is escaped by default may not be let through; no page has a script or a handler of events."""
    source = (Path(retinalab.report.__file__).parent / "templates" / template).read_text(encoding="utf-8")
    environment = jinja2.Environment()
    tree = environment.parse(source)
    used = {node.name for node in tree.find_all(jinja2.nodes.Filter)}
    assert not used & {"safe", "markup"}
    assert not list(tree.find_all(jinja2.nodes.ScopedEvalContextModifier))
    assert "autoescape" not in source
    assert "<script" not in source
    for attribute in tree.find_all(jinja2.nodes.TemplateData):
        assert not any(
            f" {event}=" in attribute.data for event in ("onload", "onerror", "onclick", "onmouseover")
        )


def test_markup_in_a_value_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        jinja2, "PackageLoader", lambda _: jinja2.DictLoader({"a": "<p title='{{ x }}'>{{ x }}</p>"})
    )
    page = write_page("a", {"x": MARKUP}, tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("<") == 2
    assert "&lt;img" in page
    assert page.count("'") == 2
