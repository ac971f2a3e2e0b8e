"""Damaged images, label files and experiments drawn at random: refused in a line, or read as what they are."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retinalab.data.sets import set_names

COUNT = 100
"""Cases of each format, and of each data set: half of them label files, half experiments."""
REPOSITORY = Path(__file__).resolve().parent.parent
SEEDS = st.integers(0, 2**31)
QUICK = settings(
    max_examples=COUNT,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
HALF = settings(QUICK, max_examples=COUNT // 2)


def bench(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / f"experiments/bench/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


mutations = bench("mutations")
fuzz = bench("fuzz")
SETS = [name for name in set_names() if name != "synthetic"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("format_", "mask"),
    [(name, mask) for name in mutations.FORMATS for mask in (False, True)] + [("DICOM", False)],
)
def test_damaged_images(tmp_path: Path, format_: str, mask: bool) -> None:
    seen = set()

    @QUICK
    @given(kind=st.sampled_from(mutations.IMAGE_KINDS), seed=SEEDS)
    def check(kind: str, seed: int) -> None:
        found, why = fuzz.image_case(tmp_path, format_, kind, seed, mask)
        assert found in ("refused", "same", "other", "read"), why
        assert "\n" not in why
        seen.add(found)

    check()
    assert "refused" in seen


@pytest.mark.parametrize("name", SETS)
def test_damaged_labels_and_experiments(tmp_path: Path, name: str) -> None:
    (tmp_path / "set").mkdir()
    labelled = fuzz.Labelled(name, tmp_path / "set")

    @HALF
    @given(kind=st.sampled_from(mutations.TEXT_KINDS), seed=SEEDS)
    def labels(kind: str, seed: int) -> None:
        found, why = labelled.case(kind, seed)
        assert found in ("refused", "read"), why

    @HALF
    @given(kind=st.sampled_from(mutations.TEXT_KINDS), seed=SEEDS)
    def experiments(kind: str, seed: int) -> None:
        found, why = fuzz.experiment_case(tmp_path, name, kind, seed)
        assert found in ("refused", "read"), why
        assert all(line.startswith(("fuzzed.yaml: ", "Experiment file ")) for line in why.splitlines()), why

    labels()
    experiments()


def test_what_is_altered_is_valid_before(tmp_path: Path) -> None:
    """Else everything would be refused and nothing shown."""
    from retinalab.data.decode import decode, read_mask

    for format_ in mutations.FORMATS:
        for content, read in [(c, decode) for c in mutations.images(format_)] + [
            (c, read_mask) for c in mutations.masks(format_)
        ]:
            (tmp_path / "eye").write_bytes(content)
            assert set(read(tmp_path / "eye").shape[:2]) == {mutations.HEIGHT, mutations.WIDTH}
    (tmp_path / "plain.yaml").write_text(
        fuzz._EXPERIMENT.replace("SET", "table").replace("ROOT", str(tmp_path)), encoding="utf-8"
    )
    from retinalab.experiment import load_experiment

    assert load_experiment("baseline", str(tmp_path / "plain.yaml")).stages["train"].data.size == 64


def test_the_bench_tells_each_row_and_fails_where_a_case_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    monkeypatch.syspath_prepend(str(REPOSITORY / "experiments/bench"))
    words = ["--count", "10", "--only", "photograph PNG", "--out", str(tmp_path / "out.json")]
    assert fuzz.main(words) == 0
    assert "photograph PNG" in capsys.readouterr().out
    assert (
        sum(json.loads((tmp_path / "out.json").read_text())["rows"]["photograph PNG"]["outcomes"].values())
        == 10
    )

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(fuzz, "decode", broken)
    assert fuzz.main(words) == 0, "a row that is done is not tried again"
    words[-1] = str(tmp_path / "another.json")
    assert fuzz.main(words) == 1
    assert "crash: ZeroDivisionError" in capsys.readouterr().out
