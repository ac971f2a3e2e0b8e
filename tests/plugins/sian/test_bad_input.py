"""What a user may get wrong: exit status 2, one line that says what and where, and nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from retinalab.cli import main
from retinalab.data.sets.fake import fake_mask
from retinalab.testing import write_fake_set

IDRID = Path("A. Segmentation/2. All Segmentation Groundtruths/a. Training Set/3. Hard Exudates")
RETINAL_LESIONS = Path("lesion_segs_896x896")


def blur(path: Path) -> None:
    """What a resized or anti-aliased export looks like."""
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    cv2.imwrite(str(path), cv2.GaussianBlur(mask, (0, 0), 2))


def refused(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    places = [f"data.cache={folder / 'cache'}", f"output={folder / 'runs'}"]
    assert main(["exp", "sian", *words, *places]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: ")]
    assert len(lines) == 1
    assert not list((folder / "runs").rglob("*.yaml"))
    assert not list((folder / "runs").rglob("*.ckpt"))
    return lines[0]


def another_size(root: Path) -> None:
    fake_mask(root / IDRID / "IDRiD_02_EX.tif", (20, 20), shape=(50, 60))


def not_binary(root: Path) -> None:
    blur(root / IDRID / "IDRiD_02_EX.tif")


def ddr_not_binary(root: Path) -> None:
    blur(next((root / "lesion_segmentation/train/label/EX").glob("*.tif")))


def e_ophtha_not_binary(root: Path) -> None:
    blur(next((root / "e_optha_EX/Annotation_EX").rglob("*.png")))


def another_value(root: Path) -> None:
    path = next((root / RETINAL_LESIONS).rglob("microaneurysm.png"))
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    mask[0, 0] = 90
    cv2.imwrite(str(path), mask)


def unknown_lesion(root: Path) -> None:
    path = next((root / RETINAL_LESIONS).rglob("microaneurysm.png"))
    path.rename(path.with_name("microaneurism.png"))


@pytest.mark.parametrize(
    ("experiment", "name", "spoilt", "words"),
    [
        ("idrid", "idrid", another_size, ["IDRiD_02_EX.tif", "60x50", "144x108", "drawn on this photograph"]),
        ("idrid", "idrid", not_binary, ["IDRiD_02_EX.tif", "a binary mask was expected", "0 for absent"]),
        ("ddr", "ddr", ddr_not_binary, ["label/EX", "a binary mask was expected", "values"]),
        ("e-ophtha", "e_ophtha", e_ophtha_not_binary, ["_EX.png", "a binary mask was expected", "values"]),
        (
            "table3",
            "retinal_lesions",
            another_value,
            ["microaneurysm.png has the value 90", "0, 127 and 255"],
        ),
        ("table3", "retinal_lesions", unknown_lesion, ["'microaneurism'", "id you mean 'microaneurysm'"]),
    ],
)
def test_masks_that_cannot_be_used(
    experiment: str, name: str, spoilt: Callable[[Path], None], words: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    root = write_fake_set(name, tmp_path / "set")
    spoilt(root)
    line = refused([experiment, f"data.root={root}", "--smoke"], tmp_path, capsys)
    for word in words:
        assert word in line


def test_a_lesion_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_fake_set("table", tmp_path / "set")
    words = ["synthetic-lesions", "data.set=table", f"data.root={root}", "data.options={lesions: [EX, XX]}"]
    assert "Unknown lesion 'XX'" in refused([*words, "--smoke"], tmp_path, capsys)
    line = refused(["idrid-grades", f"data.root={root}", "sian.task.taught=[MA, HX]"], tmp_path, capsys)
    assert "HX" in line
    assert "'MA'" in line


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("mask_ex", "Rename it mask_EX, or otherwise if it is no lesion"),
        ("mask_EXX", "Did you mean 'EX'"),
        ("annotated_XX", "Choices: EX, FP, HE, MA, NV, PH, SE, VH, other"),
    ],
)
def test_a_lesions_column_that_is_misspelt(
    column: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_fake_set("table", tmp_path / "set")
    lines = (root / "records.csv").read_text(encoding="utf-8").splitlines()
    lines = [f"{lines[0]},{column}", *(f"{line}," for line in lines[1:])]
    (root / "records.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["synthetic-lesions", "data.set=table", f"data.root={root}", "data.options={}", "--smoke"]
    line = refused(words, tmp_path, capsys)
    assert f"Unknown lesion '{column.partition('_')[2]}'" in line
    assert f"records.csv has it in column '{column}'" in line
    assert said in line


def test_no_lesion_in_common(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A set without lesions to learn from, and one tested on lesions that were not taught."""
    aptos = write_fake_set("aptos", tmp_path / "aptos", 24)
    words = ["synthetic-lesions", "data.set=aptos", f"data.root={aptos}", "data.options={}", "--smoke"]
    assert "is annotated for any of MA, HE" in refused(words, tmp_path, capsys)
    ophtha, hei = (write_fake_set(name, tmp_path / name, 24) for name in ("e_ophtha", "hei_med"))
    words = ["e-ophtha", f"data.root={ophtha}", "data.options.part=MA", "test.sets=[hei_med]"]
    line = refused([*words, f"roots.hei_med={hei}", "--smoke"], tmp_path, capsys)
    assert "annotated for EX" in line
    assert "was taught MA: none in common" in line


def test_weights_that_cannot_be_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tests run without a network, so timm's hub is out of reach."""
    root = write_fake_set("hei_med", tmp_path / "set", 24)
    words = ["hei-med", f"data.root={root}", "data.size=64", "l-net.trainer.accelerator=cpu"]
    line = refused(words, tmp_path, capsys)
    assert "Weights of 'inception_v3' cannot be had from timm's hub" in line
    assert "weights=none" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["synthetic", "data.size=200"], ["Stage 'l-net': ", "200x200", "multiple of 32, such as 192"]),
        (["synthetic", "sian.data.size=200"], ["Stage 'sian': ", "200x200", "multiple of 32, such as 192"]),
        (
            ["synthetic", "l-net.data.masks=false"],
            ["Stage 'l-net': ", "needs lesion masks", "data.masks=true"],
        ),
        (
            ["synthetic", "sian.task.train_side=true", "sian.data.masks=false"],
            ["Stage 'sian': ", "needs lesion masks to train its side branch"],
        ),
        (
            ["synthetic", "sian.task.variant=plain", "sian.task.train_side=true", "sian.start_from=null"],
            ["Stage 'sian': ", "no side branch to train", "task.train_side=false"],
        ),
        (
            ["synthetic-lesions", "l-net.task.network=classifier", "data.windows={kind: grid, size: 64}"],
            ["Stage 'l-net': ", "names the lesions of whole photographs", "Leave out data.windows"],
        ),
        (
            ["synthetic-lesions", "data.windows={kind: lesions, size: 64}"],
            ["Stage 'l-net': ", "judged on all of a photograph", "data.windows.kind=grid"],
        ),
        (
            ["synthetic", "data.windows={kind: grid, size: 64}"],
            ["Stage 'sian': ", "grades whole photographs, not windows", "data.windows of this stage"],
        ),
        (
            ["synthetic-lesions", "data.windows={kind: grid, size: 64, stride: 65}"],
            ["stride=65 leaves pixels between windows of size=64 out"],
        ),
        (
            ["synthetic", "sian.start_from=null"],
            ["Stage 'sian': ", "start_from gives 0 of its", "task.train_side=true"],
        ),
        (
            ["synthetic", "l-net.task.network=fcn-32s", "sian.task.lesions=fcn-8s"],
            ["Stage 'sian': ", "lesions=fcn-8s", "not scores.1.weight", "same network and backbone in both"],
        ),
    ],
)
def test_what_no_stage_could_begin_with_is_told_before_the_first(
    words: list[str], said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(words, tmp_path, capsys)
    for word in said:
        assert word in line
    assert not (tmp_path / "cache").exists()
