"""What CLPI's stages cannot take is refused before the first of them is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.runner import run
from retinalab.runner.check import check_tasks

PLAIN = ("lesions.task.network=plain", "grading.task.variant=plain")
BACKBONE = "grading.start_from.map={network.backbone.: network.backbone.}"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("grading.task.backbone=resnet181",), ["'grading'", "Unknown backbone", "Did you mean 'resnet18'?"]),
        (("grading.data.size=200",), ["'grading'", "multiple of 64", "got 200", "data.size"]),
        (
            ("grading.task.widths=code",),
            [
                "'grading'",
                "Weights of stage 'lesions' do not fit",
                "network.generator.first.weight 8x3x5x5, here 32",
            ],
        ),
        (("grading.start_from=null",), ["'grading'", "statistics=keep", "Set task.statistics=update"]),
        (
            ("grading.start_from=null", "grading.task.statistics=update", "grading.task.gradient=none"),
            ["'grading'", "gradient=none keeps the generator as it is", "start_from"],
        ),
        (
            ("grading.start_from=null", "grading.task.variant=attention"),
            ["'grading'", "variant=attention keeps the generator as it is"],
        ),
        (("lesions.task.network=attention",), ["'lesions'", "network=attention keeps", "task.network=plain"]),
        (
            ("grading.start_from.map={network.nothing.: network.generator.}",),
            ["'grading'", "do not fit", "start_from.map"],
        ),
        (("grading.task.backbone=vit_tiny_patch16_224",), ["'grading'", "192x192", "densenet121"]),
        (("lesions.data.windows.size=60",), ["'lesions'", "windows of 68 pixels, got 60"]),
        (("lesions.data.windows.classes=[EX, HE]",), ["'lesions'", "windows of 4 classes"]),
        (
            (*PLAIN, BACKBONE, "lesions.task.backbone=inception_v4", "grading.task.backbone=inception_v4"),
            ["'lesions'", "68x68 pixels", "task.patch_side"],
        ),
    ],
)
def test_refused_before_anything_is_drawn(
    tmp_path: Path, overrides: tuple[str, ...], words: list[str]
) -> None:
    folders = [f"output={tmp_path / 'runs'}", f"data.cache={tmp_path / 'cache'}"]
    with pytest.raises(RetinalabError) as raised:
        run(load_experiment("clpi", "synthetic", [*folders, *overrides]))
    said = str(raised.value)
    assert "\n" not in said
    for word in words:
        assert word in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("grading.start_from=null", "grading.task.statistics=update"),
        ("lesions=null", "grading.start_from=null", "grading.task.variant=plain", "test.stages=[grading]"),
        (*PLAIN, BACKBONE, "lesions.task.backbone=resnet18"),
    ],
)
def test_the_papers_rows_pass(overrides: tuple[str, ...]) -> None:
    check_tasks(load_experiment("clpi", "synthetic", overrides))
