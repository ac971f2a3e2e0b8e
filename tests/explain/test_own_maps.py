"""Maps that networks make themselves, held against what hooks see and against maps placed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retinalab.config import TaskConfig
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.explain import saliency_maps
from retinalab.explain.answer import LESION, SEVERITY, explained_grades, explained_values
from retinalab.explain.saliency import Recipe, maps_of
from retinalab.explain.usable import chosen_methods, usable_methods
from retinalab.records import LESIONS
from retinalab.registry import task_class, task_config
from retinalab.tasks import Outputs, Task
from retinalab.tasks.surest import surest_lesion

SCALES = {"dr": "icdr5", "dme": "risk3"}
SMALL = {"backbone": "test_resnet"}
SIDE = {"lesions": "l-net-32s", "width": 8}


def made(name: str, scales: dict[str, str] | None = None, **options: Any) -> Task:
    torch.manual_seed(1)
    config = task_config(name).model_validate({"name": name, **options})
    task: Task = task_class(name)(config, SCALES if scales is None else scales)
    return task.eval()


def noise(side: int = 64) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(3))


def hooked(module: nn.Module) -> dict[str, Tensor]:
    """What a forward hook sees of a module."""
    seen: dict[str, Tensor] = {}
    module.register_forward_hook(lambda _, given, out: seen.update(given=given[0], out=out))
    return seen


def cells(task: Task, images: Tensor, kind: str, disease: str = "dr") -> np.ndarray:
    with torch.no_grad():
        found = task.attention_map(images, disease) if kind == "attention" else task.lesion_map(images)
    return found[:, 0].numpy()


@pytest.mark.parametrize("disease", ["dr", "dme"])
def test_canets_attention_is_the_sigmoid_behind_its_spatial_convolution(disease: str) -> None:
    task, images = made("canet", features=16, **SMALL), noise()
    network: Any = task.network
    gate = network.specific[disease].spatial
    seen = hooked(gate.norm)
    whole = hooked(gate)
    with torch.no_grad():
        task(images)
    expected = 1 / (1 + np.exp(-seen["out"].numpy()[:, 0].astype(np.float64)))
    found = cells(task, images, "attention", disease)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    product = whole["given"].numpy() * expected[:, None]  # what it is multiplied with in the pass that grades
    np.testing.assert_allclose(whole["out"].numpy(), product, atol=1e-5)


def test_abns_attention_is_what_its_branch_gives() -> None:
    task, images = made("sian", variant="abn", **SMALL), noise()
    network: Any = task.network
    seen = hooked(network.abn.attention)
    with torch.no_grad():
        task(images)
    assert np.array_equal(cells(task, images, "attention"), seen["out"][:, 0].numpy())


@pytest.mark.parametrize("fusion", ["features", "image"])
def test_sians_attention_is_the_mean_of_its_learned_weights(fusion: str) -> None:
    task, images = made("sian", fusion=fusion, **SMALL, **SIDE), noise()
    network: Any = task.network
    seen = hooked(network.attention)
    with torch.no_grad():
        task(images)
    found = cells(task, images, "attention")
    np.testing.assert_allclose(found, seen["out"].numpy().mean(1), atol=1e-6)
    assert found.shape == ((2, 64, 64) if fusion == "image" else (2, 2, 2))


def test_sians_largest_lesion_is_both_its_attention_and_its_lesion_map() -> None:
    task, images = made("sian", attention="max", fusion="image", **SMALL, **SIDE), noise()
    network: Any = task.network
    side = hooked(network.side)
    found = cells(task, images, "lesions")
    expected = (1 / (1 + np.exp(-side["out"].detach().numpy().astype(np.float64)))).max(1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(cells(task, images, "attention"), expected, atol=1e-6)


def test_clpis_lesions_are_what_is_not_normal() -> None:
    task, images = made("clpi", widths="code", **SMALL), noise(128)
    network: Any = task.network
    seen = hooked(network.generator)
    found = cells(task, images, "lesions")
    exact = np.exp(seen["out"].detach().numpy().astype(np.float64))
    np.testing.assert_allclose(found, 1 - exact[:, 0] / exact.sum(1), atol=1e-6)
    assert found.shape == (2, 2, 2)  # units of 64 pixels
    maps = saliency_maps(task, images, "dr", "lesions").numpy()
    np.testing.assert_allclose(maps[:, 0, 0], found[:, 0, 0], atol=1e-5)
    np.testing.assert_allclose(maps[:, -1, 0], found[:, -1, 0], atol=1e-5)


def test_lesions_that_nobody_taught_are_left_out() -> None:
    logits = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    taught = ("HE", "NV")
    rows = [LESIONS.index(lesion) for lesion in taught]
    expected = 1 / (1 + np.exp(-logits.numpy()[:, rows].astype(np.float64).max(1)))
    np.testing.assert_allclose(surest_lesion(logits, taught)[:, 0].numpy(), expected, atol=1e-6)
    task, images = made("l-net", {}, network="l-net-32s", **SMALL), noise()
    with torch.no_grad():
        given = task(images)
    found = maps_of(task, images, "dr", [Recipe("lesions", taught=taught)])[0].values
    assert torch.allclose(found, surest_lesion(given, taught)[:, 0], atol=1e-6)


class _Spot(TaskConfig):
    name: str = "spot"


class Spotting(Task):
    """Attention and lesions are how red each cell of 8 pixels is; neither grades, but lesions are found."""

    config_class = _Spot

    def build_network(self) -> nn.Module:
        return nn.Sequential(nn.AvgPool2d(8, 8), nn.Conv2d(3, 8, 1))

    def attention_map(self, images: Tensor, disease: str) -> Tensor:
        given: Tensor = self.network[0](images)  # type: ignore[index]
        return given[:, :1] * 3 + 2

    def lesion_map(self, images: Tensor, taught: Any = LESIONS) -> Tensor:
        given: Tensor = self.network[0](images)  # type: ignore[index]
        return given[:, :1]

    def outputs(self, batch: Batch) -> Outputs:
        return Outputs(torch.zeros(()), lesions=self.network(batch["image"]).sigmoid())


@pytest.mark.parametrize("method", ["attention", "lesions"])
def test_a_map_lies_over_the_pixels_that_it_was_made_of(method: Any) -> None:
    task = Spotting(_Spot(), {}).eval()
    images = torch.zeros(2, 3, 48, 64)
    images[0, 0, 16:24, 40:48] = 0.5  # the cell in row 2 and column 5, whose centre lies at (19.5, 43.5)
    images[1, 0, 40:48, 0:8] = 0.25
    found = maps_of(task, images, "dr", [Recipe(method)])[0]
    assert found.cells == (6, 8)
    assert found.ranges is not None
    scale, shift = (3.0, 2.0) if method == "attention" else (1.0, 0.0)
    assert found.ranges.tolist() == [[shift, shift + 0.5 * scale], [shift, shift + 0.25 * scale]]
    rows, columns = np.indices((48, 64)).astype(np.float64)
    weight = (1 - abs(rows - 19.5) / 8).clip(0) * (1 - abs(columns - 43.5) / 8).clip(0)
    peak = (
        weight.max() if method == "attention" else 2.0
    )  # scaled by its greatest value; a probability is not
    np.testing.assert_allclose(found.values[0].numpy(), weight / peak, atol=1e-6)
    highest = np.argwhere(found.values[1].numpy() == found.values[1].max().item())
    assert highest[:, 0].min() >= 43
    assert highest[:, 1].max() <= 4


def test_an_attention_of_one_value_is_empty() -> None:
    found = maps_of(
        Spotting(_Spot(), {}).eval(), torch.full((1, 3, 32, 32), 0.5), "dr", [Recipe("attention")]
    )[0]
    assert not found.values.any()


def test_what_is_explained() -> None:
    task = Spotting(_Spot(), {}).eval()
    batch: Any = {"image": noise()}
    with torch.no_grad():
        given = task.outputs(batch)
    assert explained_grades(task, given, "dr").tolist() == [LESION, LESION]
    assert given.lesions is not None
    expected = given.lesions.numpy()[:, [0, 2]].max((1, 2, 3))
    asked = explained_values(given, "dr", torch.zeros(2, dtype=torch.int64), ("MA", "EX"))
    np.testing.assert_allclose(asked.numpy(), expected)
    regressed = Outputs(torch.zeros(()), severity={"dr": torch.tensor([0.2, 3.4])})
    assert explained_grades(task, regressed, "dr").tolist() == [SEVERITY, SEVERITY]
    assert torch.equal(explained_values(regressed, "dr", torch.zeros(2)), regressed.severity["dr"])
    with pytest.raises(RetinalabError, match=r"does not grade dme, .* Name a disease that it grades"):
        explained_grades(task, regressed, "dme")


def test_methods_that_a_network_lacks_are_told_in_one_note_of_each_reason() -> None:
    task = Spotting(_Spot(), {}).eval()
    usable, reasons = usable_methods(task, noise(), "dr")
    assert usable == ("attention", "lesions")
    assert set(reasons) == {"cam", "grad-cam", "grad-cam++", "gmsm"}
    chosen, notes = chosen_methods("spot", task, noise(), "dr", None, 1.0)
    assert chosen == usable
    assert len(notes) == 2
    assert any(note.startswith("no grad-cam, grad-cam++, gmsm of spot: ") for note in notes)
    with pytest.raises(RetinalabError, match=r"No cam map of spot: .*no plain class activation map"):
        chosen_methods("spot", task, noise(), "dr", ["lesions", "cam"], 1.0)


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("baseline", SMALL, "attention"),
        ("baseline", SMALL, "lesions"),
        ("canet", {**SMALL, "variant": "joint-complex"}, "attention"),
        ("canet", {**SMALL, "features": 16}, "lesions"),
        ("clpi", {**SMALL, "widths": "code"}, "attention"),
        ("clpi", {**SMALL, "variant": "plain"}, "lesions"),
        ("sian", {**SMALL, "variant": "plain"}, "attention"),
        ("sian", {**SMALL, "variant": "abn"}, "lesions"),
    ],
)
def test_networks_without_say_so_in_one_line(name: str, options: dict[str, Any], kind: Any) -> None:
    with pytest.raises(RetinalabError, match=rf"Task '{name}' has no .* map: .* out of --methods") as error:
        saliency_maps(made(name, **options), noise(), "dr", kind)
    assert "\n" not in str(error.value)
    with pytest.raises(RetinalabError, match="are named, but the network's own map"):
        saliency_maps(made(name, **options), noise(), "dr", kind, layers=["layer4"])
