"""Networks of every paper as graphs, against the tasks that they were made from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.export.graph import Ensemble, chosen_members
from retinalab.export.write import traced
from retinalab.predict.finished import FinishedRun, Member
from retinalab.records import LESIONS
from retinalab.runner.stage import build_task

GRADED = ("dr_grade", "dr_probabilities")
BOTH = (*GRADED, "dme_grade", "dme_probabilities")
MAPPED = ("lesion_probabilities", "lesion_maps")
NETWORKS = {
    "baseline": ("baseline", "synthetic", "train", ["task.backbone=test_resnet"], BOTH),
    "canet": ("canet", "synthetic", "train", ["task.backbone=resnet18"], BOTH),
    "clpi": ("clpi", "synthetic", "grading", ["task.backbone=resnet18", "data.size=128"], GRADED),
    "sian": ("sian", "synthetic", "sian", ["task.backbone=resnet18"], (*GRADED, *MAPPED)),
    "l-net": ("sian", "synthetic", "l-net", ["task.backbone=resnet18"], MAPPED),
    "ellg": ("ellg", "synthetic", "baseline", [], ("dr_grade", "dr_severity")),
}  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS)
def test_a_graph_takes_any_number_of_photographs_and_answers_as_its_network(network: str) -> None:
    paper, name, stage, overrides, outputs = NETWORKS[network]
    small = [] if any("data.size" in one for one in overrides) or network == "ellg" else ["data.size=64"]
    given = [f"stages.{stage}.{one}" for one in [*overrides, *small]]
    experiment = load_experiment(paper, name, given)
    torch.manual_seed(0)
    task = build_task(experiment, stage, 0).eval().requires_grad_(False)
    data = experiment.stages[stage].data
    scales = experiment.protocol.scales
    with torch.inference_mode():
        ensemble = Ensemble([(task, data)], scales, LESIONS).eval()
    assert ensemble.names == outputs
    program = traced(ensemble)
    assert not [node for node in program.graph.nodes if "cross_entropy" in str(node.target)]
    pixels = torch.randint(0, 256, (3, data.size, data.size, 3), dtype=torch.uint8)
    with torch.inference_mode():
        found = dict(zip(ensemble.names, program.module()(pixels), strict=True))
        logits = task.logits(task(ensemble._each[0].preparation(pixels))) if "dr_grade" in outputs else {}
    for disease, value in logits.items():
        if value.shape[1] == 1:
            torch.testing.assert_close(found[f"{disease}_severity"], value[:, 0], atol=1e-5, rtol=0)
        else:
            torch.testing.assert_close(found[f"{disease}_probabilities"], value.softmax(1), atol=1e-5, rtol=0)
            assert found[f"{disease}_grade"].tolist() == value.argmax(1).tolist()
    if "lesion_maps" in outputs:
        assert found["lesion_maps"].shape == (3, len(LESIONS), data.input_size, data.input_size)
        torch.testing.assert_close(found["lesion_probabilities"], found["lesion_maps"].amax((2, 3)))


def test_tiles_and_unequal_sizes_are_refused_by_name(tmp_path: Path) -> None:
    experiment = load_experiment(
        "sian",
        "synthetic",
        ["stages.l-net.data.windows={kind: grid, size: 64}", "stages.l-net.data.size=128"],
    )
    members = tuple(Member("", stage, tmp_path / "best.ckpt") for stage in ("l-net", "sian"))
    run = FinishedRun(tmp_path, experiment, ("",), members, {}, ())
    with pytest.raises(RetinalabError, match=r"Stage 'l-net' looks at photographs tile by tile.*--stage"):
        chosen_members(run, None)
    assert [one.stage for one in chosen_members(run, "sian")] == ["sian"]
    with pytest.raises(RetinalabError, match=r"Did you mean 'sian'"):
        chosen_members(run, "siam")
