"""What the two tasks make of a batch: one pass for three outcomes, and refusals of one line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from retinalab_sian.loss import dual, focal, image_dice, presence, segmentation_dice, weighted_cross_entropy
from retinalab_sian.task import LNetTask, SianTask

from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS

SCALES = {"dr": "icdr5", "dme": "risk3"}
SMALL = {"backbone": "test_resnet"}


def batch(size: int = 3, side: int = 32) -> Batch:
    rng = torch.Generator().manual_seed(3)
    mask = (torch.rand(size, 8, side, side, generator=rng) > 0.9).to(torch.uint8)
    mask[:, 2] = 255
    present = mask.amax((2, 3)).float()
    present[:, 2] = torch.nan
    return {
        "image": torch.randn(size, 3, side, side, generator=rng),
        "mask": mask,
        "present": present,
        "grades": {"dr": torch.tensor([0, 4, -1]), "dme": torch.tensor([-1, 2, 1])},
        "index": torch.arange(size),
    }


def lnet(**options: Any) -> LNetTask:
    torch.manual_seed(0)
    return LNetTask({"name": "l-net", "network": "l-net-32s", **SMALL, **options}, {}).eval()


def sian(**options: Any) -> SianTask:
    torch.manual_seed(0)
    given = {"name": "sian", "lesions": "l-net-32s", "width": 8, **SMALL, **options}
    return SianTask(given, SCALES).eval()


@pytest.mark.parametrize(
    ("options", "loss"),
    [
        ({"loss": "dice"}, segmentation_dice),
        ({"loss": "dual"}, segmentation_dice),
        ({"loss": "focal"}, focal),
        ({"loss": "weighted-cross-entropy"}, weighted_cross_entropy),
        (
            {"dual_after": 0.0, "segmentation_weight": 0.6},
            lambda x, m: dual(segmentation_dice(x, m), image_dice(*presence(x, m)), 0.6),
        ),
    ],
)
def test_l_net_learns_by_the_loss_that_was_asked_for(options: dict[str, Any], loss: Any) -> None:
    module, given = lnet(**options), batch()
    with torch.no_grad():
        outputs, logits = module.outputs(given), module(given["image"])
    torch.testing.assert_close(outputs.loss, loss(logits, given["mask"]))
    torch.testing.assert_close(outputs.lesions, logits.sigmoid())
    torch.testing.assert_close(outputs.present, logits.sigmoid().flatten(2).max(2).values)


@pytest.mark.parametrize("network", ["classifier", "abn"])
def test_classifiers_learn_by_image_level_dice(network: str) -> None:
    module, given = lnet(network=network, backbone="resnet10t"), batch(side=64)
    del given["mask"]
    with torch.no_grad():
        outputs, raw = module.outputs(given), module(given["image"])
    wanted = image_dice(raw.logits.sigmoid(), given["present"])
    if network == "abn":
        wanted = wanted + image_dice(raw.branch.sigmoid(), given["present"])
    torch.testing.assert_close(outputs.loss, wanted)
    assert outputs.lesions is None
    assert module.chosen_by() == ("val/lesion/mean/image_f1", "max")


def test_a_windows_maximum_is_not_taken_for_the_photographs() -> None:
    given = batch()
    given["label"] = torch.zeros(3, dtype=torch.int64)
    assert lnet().outputs(given).present is None
    with pytest.raises(RetinalabError, match=r"whole photographs.*not of windows\. Leave out data\.windows"):
        lnet(network="classifier").outputs(given)


def test_one_pass_maps_names_and_grades() -> None:
    module, given = sian(), batch()
    passes: list[int] = []
    for part in ("side", "main"):
        module.network.get_submodule(part).register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        outputs = module.outputs(given)
    assert len(passes) == 2
    assert outputs.lesions is not None
    assert outputs.present is not None
    assert outputs.lesions.shape == (3, 8, 32, 32)
    assert outputs.present.shape == (3, 8)
    assert {d: tuple(p.shape) for d, p in outputs.grades.items()} == {"dr": (3, 5), "dme": (3, 3)}
    wanted = -(
        outputs.grades["dr"][:2].log()[[0, 1], [0, 4]].mean()
        + outputs.grades["dme"][1:].log()[[0, 1], [2, 1]].mean()
    )
    torch.testing.assert_close(outputs.loss, wanted)
    assert module.chosen_by() == ("val/dr/kappa", "max")


def test_a_side_branch_that_learns_adds_its_dual_loss() -> None:
    given = batch()
    with torch.no_grad():
        fixed, learning = sian().outputs(given), sian(train_side=True, lesion_weight=0.5).outputs(given)
        logits = sian().network(given["image"]).lesions
    lesions = dual(segmentation_dice(logits, given["mask"]), image_dice(*presence(logits, given["mask"])))
    torch.testing.assert_close(learning.loss, fixed.loss + 0.5 * lesions)
    del given["mask"]
    with pytest.raises(RetinalabError, match=r"needs lesion masks to train its side branch"):
        sian(train_side=True).outputs(given)


def test_class_activation_maps_read_what_the_grades_read() -> None:
    module, given = sian(), batch()
    features, linear = module.cam_layers("dr")
    with torch.no_grad():
        logits = linear(features(given["image"]).mean((2, 3)))
        torch.testing.assert_close(module(given["image"]).logits["dr"], logits)
    with pytest.raises(RetinalabError, match="no plain class activation map"):
        sian(variant="concat").cam_layers("dr")


def test_what_is_missing_is_said_in_one_line() -> None:
    given = batch()
    del given["mask"]
    with pytest.raises(RetinalabError, match=r"needs lesion masks for network=l-net-32s\. Set data\.masks"):
        lnet().outputs(given)
    with pytest.raises(RetinalabError, match=r"grades no disease\. Name one"):
        SianTask({"name": "sian", **SMALL}, {})
    with pytest.raises(RetinalabError, match=r"no side branch to train in variant=plain"):
        sian(variant="plain", train_side=True).outputs(batch())


def test_a_set_without_lesions_is_refused_before_training() -> None:
    table = pd.DataFrame({"set": ["aptos"] * 2} | {f"annotated_{lesion}": False for lesion in LESIONS})
    parts = SimpleNamespace(train=SimpleNamespace(records=SimpleNamespace(table=table)))
    module = lnet()
    module._trainer = SimpleNamespace(datamodule=SimpleNamespace(parts=parts))  # type: ignore[assignment]
    with pytest.raises(
        RetinalabError, match=r"MA, HE.*photographs of aptos annotate none of them\. Set data\.set"
    ):
        module.on_fit_start()
    table.loc[0, "annotated_EX"] = True
    module.on_fit_start()
