"""Ensembles, turned views and exported files go on where a kill left them, and nowhere else."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats
import torch

from retinalab.cli import main
from retinalab.data.sets.fake import fake_photograph

Said = pytest.CaptureFixture[str]
Ways = dict[str, list[str]]
"""What is asked -> the words that stand for the run, with their options."""

BEGUN = ("with", "tta", "onnx", "torch", "mixed")
COUNT = 6
GRADES = {"dr": 5, "dme": 3}
PROGRAM = """
import json, os, signal, sys
import onnxruntime, torch.export
import retinalab.predict.predictor
from retinalab.cli import main
from retinalab.predict import table


def attempt(words, last):
    "Predict in a child, which is killed within the line that follows as many as last."
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    add, done = table.Table._add, 0
    def counted(self, line):
        nonlocal done
        if done == last:
            self._file.write(line[:len(line) // 2])
            self._file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1
        add(self, line)
    table.Table._add = counted
    os._exit(main(["predict", *words]))


print(json.dumps([attempt(words, int(sys.argv[2]) + 1) for words in json.loads(sys.argv[1])]))
"""
LEFT = 2
"""Whole rows when the kill comes, within the next one."""


@pytest.fixture(scope="module")
def ways(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Ways:
    """A run of the plain baseline, one of other weights, files exported from the first, and how each is asked."""
    folder = tmp_path_factory.mktemp("members")
    run = home / "runs/baseline/dr600/latest"
    for to, name in (("onnx", "model.onnx"), ("torch", "model.pt2")):
        assert main(["export", str(run), "--to", to, "--out", str(folder / name)]) == 0
    runs = [str(run), str(with_other_weights(run, folder / "01234567-2"))]
    return {
        "with": [runs[0], "--with", runs[1]],
        "tta": [runs[0], "--tta"],
        "onnx": [str(folder / "model.onnx")],
        "torch": [str(folder / "model.pt2")],
        "mixed": [runs[1], "--with", str(folder / "model.onnx"), "--tta"],
        "alone": [runs[0]],
        "onnx with tta": [str(folder / "model.onnx"), "--tta"],
    }


def with_other_weights(run: Path, copy: Path) -> Path:
    """A copy of a run, half a standard deviation of noise added to its last layers' weights."""
    shutil.copytree(run, copy)
    draw = torch.Generator().manual_seed(1)
    for name in ("best.ckpt", "last.ckpt"):
        content = torch.load(copy / "checkpoints/train" / name, weights_only=True)
        for value in content["state_dict"].values():
            if value.ndim == 2:
                value += 0.5 * value.std() * torch.randn(value.shape, generator=draw)
        torch.save(content, copy / "checkpoints/train" / name)
    return copy


@pytest.fixture(scope="module")
def killed(ways: Ways, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with photographs, and one folder of predictions for each way, killed within a row."""
    folder = tmp_path_factory.mktemp("killed")
    for k in range(COUNT):
        fake_photograph(folder / f"eyes/{k}.jpg", k, k % 5)
    commands = [command(ways, way, f"killed/{way}") for way in BEGUN]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands), str(LEFT)],
        cwd=folder, capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    assert json.loads(done.stdout) == [signal.SIGKILL] * len(BEGUN), done.stderr
    return folder


@pytest.fixture
def place(killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which the test works in."""
    shutil.copytree(killed, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def command(ways: Ways, way: str, out: str) -> list[str]:
    run, *options = ways[way]
    return [run, "eyes", *options, "--out", out]


def refused(capsys: Said, words: list[str]) -> str:
    capsys.readouterr()
    assert main(["predict", *words]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: "))
    return line


@pytest.mark.parametrize("way", BEGUN)
def test_the_same_command_loses_and_repeats_no_row(ways: Ways, place: Path, capsys: Said, way: str) -> None:
    partial, whole = (Path(f"killed/{way}/predictions.csv{end}") for end in (".partial", ""))
    left = partial.read_bytes()
    assert left.count(b"\n") == 1 + LEFT
    assert not left.endswith(b"\n")
    assert not whole.exists()
    capsys.readouterr()
    assert main(["predict", *command(ways, way, f"killed/{way}")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{LEFT} rows in killed/{way} already; {COUNT - LEFT} to go" in said
    assert main(["predict", *command(ways, way, "undisturbed")]) == 0
    assert whole.read_bytes() == Path("undisturbed/predictions.csv").read_bytes()
    assert whole.read_bytes().startswith(left[: left.rindex(b"\n") + 1])
    assert not partial.exists()
    table = pq.read_table(f"killed/{way}/predictions.parquet")
    assert table["image"].to_pylist() == [f"eyes/{k}.jpg" for k in range(COUNT)]
    assert table.equals(pq.read_table("undisturbed/predictions.parquet"))


@pytest.mark.parametrize(
    ("begun", "then", "said"),
    [
        ("with", "alone", "another run, checkpoint or ensemble"),
        ("tta", "alone", "other options"),
        ("onnx", "alone", "another run, checkpoint or ensemble"),
        ("torch", "onnx", "another run, checkpoint or ensemble"),
        ("mixed", "with", "another run, checkpoint or ensemble"),
        ("onnx", "onnx with tta", "other options"),
    ],
)
def test_other_members_or_views_do_not_go_on_there(
    ways: Ways, place: Path, capsys: Said, begun: str, then: str, said: str
) -> None:
    out = f"killed/{begun}"
    before = Path(out, "predictions.csv.partial").read_bytes()
    line = refused(capsys, command(ways, then, out))
    assert f"{out} holds predictions of {said}. Name another folder with --out" in line
    assert Path(out, "predictions.csv.partial").read_bytes() == before
    assert not Path(out, "predictions.csv").exists()


def test_members_in_another_order_or_of_another_content_do_not_go_on_there(
    ways: Ways, place: Path, capsys: Said
) -> None:
    first, option, second = ways["with"]
    swapped = refused(capsys, [second, "eyes", option, first, "--out", "killed/with"])
    assert "another run, checkpoint or ensemble" in swapped
    last = str(Path(second, "checkpoints/train/last.ckpt"))
    assert "another run, checkpoint or ensemble" in refused(
        capsys, [first, "eyes", option, last, "--out", "killed/with"]
    )
    onnx = pytest.importorskip("onnx")
    model = onnx.load(ways["onnx"][0])
    model.producer_name = "exported once more"
    onnx.save(model, "again.onnx")
    again = refused(capsys, ["again.onnx", "eyes", "--out", "killed/onnx"])
    assert "another run, checkpoint or ensemble" in again
    shutil.copy(ways["onnx"][0], "moved.onnx")
    assert main(["predict", "moved.onnx", "eyes", "--out", "killed/onnx"]) == 0


def test_a_gallery_tells_how_unsure_several_members_are(ways: Ways, place: Path) -> None:
    """Entropy and mutual information anew, from the probabilities of each network by itself."""
    first, _, second = ways["with"]
    alone = []
    for number, run in enumerate((first, second)):
        assert main(["predict", run, "eyes", "--out", f"alone-{number}", "--gallery"]) == 0
        alone.append(pq.read_table(f"alone-{number}/predictions.parquet").to_pandas())
        assert "entropy" not in Path(f"alone-{number}/gallery.html").read_text(encoding="utf-8")
    assert main(["predict", *command(ways, "with", "together"), "--gallery"]) == 0
    page = Path("together/gallery.html").read_text(encoding="utf-8")
    tiles = re.findall(r'<span class="name">(eyes/\d)\.jpg</span>(.*?)</li>', page, re.DOTALL)
    assert [name for name, _ in tiles] == [f"eyes/{k}" for k in range(COUNT)]
    for row, (_, tile) in enumerate(tiles):
        said = re.findall(r"entropy ([\d.]+) of at most ([\d.]+) nats, ([\d.]+) by the members", tile)
        assert len(said) == len(GRADES)
        for (disease, count), shown in zip(GRADES.items(), said, strict=True):
            columns = [f"{disease}_p{k}" for k in range(count)]
            each = np.array([table.loc[row, columns].to_numpy(float) for table in alone])
            whole = scipy.stats.entropy(each.mean(axis=0))
            wanted = (whole, np.log(count), whole - scipy.stats.entropy(each, axis=1).mean())
            assert [float(one) for one in shown] == pytest.approx(wanted, abs=0.0051)
