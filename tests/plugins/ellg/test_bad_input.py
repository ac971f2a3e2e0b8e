"""What cannot be generated is refused by the command before anything is read, trained or written: one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinalab.cli import main
from retinalab.experiment import load_experiment
from retinalab.runner.check import check_tasks

MAKER = "round.generate.task."
SMALL_O_O = [  # the o_O network in the place of the backbone
    f"{stage}.task.{option}"
    for stage in ("baseline", "round.train")
    for option in ("backbone=null", "side=128", "width=4", "hidden=16")
]
CLASSES = [f"{stage}.task.output=classes" for stage in ("baseline", "round.train")]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            [f"{MAKER}layers=[layer9]"],
            ["Stage 'round-1.generate': Unknown layer 'layer9'. Did you mean 'layer", "Choices: act1, layer1"],
        ),
        (
            ["data.size=128", *SMALL_O_O, f"{MAKER}layers=[stage2, stage6]"],
            ["Unknown layer 'stage6'. Did you mean 'stage", "Choices: stage1, stage2, stage3"],
        ),
        (
            ["data.size=128", *SMALL_O_O, f"{MAKER}saliency=cam"],
            ["saliency=cam", "task 'ellg' does not end in global average pooling", "gmsm, grad-cam++ or grad-cam"],
        ),
        (
            [f"{stage}.task.backbone=vit_tiny_patch16_224" for stage in ("baseline", "round.train")]
            + ["data.size=224"],
            ["Backbone 'vit_tiny_patch16_224' has no feature maps", "convolutional backbone"],
        ),
        ([f"{MAKER}disease=dme"], ["disease=dme; the protocol grades dr.", "Set disease"]),
        (
            ["protocol.diseases={dr: icdr5, dme: risk3}", f"{MAKER}disease=dme"],
            ["graded in disease=dme alone", "by their grade of dr (data.sampler=decaying)", "Set disease=dr"],
        ),
        (
            ["protocol.diseases={dr: icdr5, dme: risk3}", "baseline.diseases=[dme]", "round.train.diseases=[dme]"],
            ["graded in disease=dr alone, and stage 'round-1.train', which adds them, learns dme"],
        ),
        (
            ["protocol.diseases={dr: icdr5, dme: risk3}", "baseline.diseases=[dme]", "round.train.start_from=null"],
            ["disease=dr are to be cut out by a network that grades dme"],
        ),
        ([*CLASSES, f"{MAKER}labels=severity"], ["labels=severity averages", "5 classes", "Set labels=grade"]),
        ([f"{MAKER}saliency=grad-cam", f"{MAKER}gate=0.5"], ["gate=0.5 has no effect: saliency=grad-cam"]),
        ([f"{MAKER}gate=null"], ["gate", "number"]),
        (["round.generate.data.normalise=unit"], ["data.normalise is 'unit', and 'imagenet' in stage 'baseline'"]),
        (
            ["round.generate.kind=train", "round.train.adds=[]", "round.train.alternate=false"],
            ["'ellg-lesions' is not trained: it makes photographs. Set kind=make_data"],
        ),
        (
            ["round.generate.trainer.accelerator=cpu", "round.generate.trainer.strategy=dpp"],
            ["Lightning refuses stages.round-1.generate.trainer", "strategy"],
        ),
        ([f"{MAKER}name=ellg"], ["Task 'ellg' is trained, it makes no photographs. Leave out kind=make_data"]),
    ],
)  # fmt: skip
def test_the_command_refuses_before_anything_is_trained(
    overrides: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [f"data.cache={tmp_path / 'cache'}", f"output={tmp_path / 'runs'}"]
    assert main(["exp", "ellg", "synthetic", *places, *overrides]) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: ")]
    for word in words:
        assert word in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "overrides",
    [
        ["round.rounds=3", f"{MAKER}saliency=cam", *CLASSES],
        ["data.size=128", *SMALL_O_O, f"{MAKER}labels=severity", f"{MAKER}layers=[stage2]"],
        ["protocol.diseases={dme: risk3, dr: icdr5}", "data.sampler=shuffle"],
    ],
)
def test_what_fits_is_let_pass(overrides: list[str]) -> None:
    check_tasks(load_experiment("ellg", "synthetic", overrides))
