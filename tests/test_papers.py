"""One contract for every task of every installed paper, and every experiment file run for a step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from retinalab.config import Experiment
from retinalab.data.batch import Batch
from retinalab.experiment import load_experiment
from retinalab.records import LESIONS
from retinalab.registry import Paper, installed_papers, task_class, task_config
from retinalab.runner import run
from retinalab.smoke import smoke
from retinalab.tasks import Outputs, Task
from retinalab.testing import write_fake_set

REPOSITORY = Path(__file__).resolve().parent.parent
SCALES = {"dr": "icdr5", "dme": "risk3"}
WINDOWS = 4
SIDE = 64


def tasks() -> list[str]:
    """Names of all tasks that are trained; makers are none."""
    papers = (found for found in installed_papers().values() if isinstance(found, Paper))
    names = sorted({name for found in papers for name in found.tasks})
    return [name for name in names if issubclass(task_class(name), Task)]


def experiments() -> list[Path]:
    files = sorted((REPOSITORY / "experiments").glob("*/*.yaml"))
    others = ("bench", "leaderboard")
    return [path for path in files if path.stem not in ("sweep", "claims") and path.parent.name not in others]


def built(name: str) -> Task:
    torch.manual_seed(0)
    config = task_config(name).model_validate({"name": name}).smoke()
    module: Task = task_class(name)(config, SCALES, 0, True, WINDOWS)
    return module


def batch(size: int = 6, side: int | None = None) -> Batch:
    side = side or SIDE
    rng = torch.Generator().manual_seed(3)
    mask = (torch.rand(size, len(LESIONS), side, side, generator=rng) > 0.9).to(torch.uint8)
    return Batch(
        image=torch.randn(size, 3, side, side, generator=rng),
        grades={"dr": torch.arange(size) % 5, "dme": torch.arange(size) % 3},
        mask=mask,
        present=mask.amax((2, 3)).float(),
        label=torch.arange(size) % WINDOWS,
        index=torch.arange(size),
    )


def learning(module: Task) -> Iterator[float]:
    """Losses of steps on one batch, with the task's own kind of optimiser at a rate that shows."""
    optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
    for _ in range(30):
        optimiser.zero_grad()
        loss = module.outputs(batch(side=module.side)).loss
        loss.backward()
        optimiser.step()
        yield loss.item()


@pytest.mark.parametrize("name", tasks())
def test_outputs_have_the_shapes_that_the_tables_need(name: str) -> None:
    module = built(name).eval()
    given = module.outputs(batch(side=module.side))
    assert isinstance(given, Outputs)
    assert given.loss.shape == ()
    assert torch.isfinite(given.loss)
    for disease, scale in SCALES.items():
        size = {"icdr5": 5, "risk3": 3}[scale]
        if disease in given.grades:
            assert given.grades[disease].shape == (6, size)
            torch.testing.assert_close(given.grades[disease].sum(1), torch.ones(6))
        if disease in given.severity:
            assert given.severity[disease].shape == (6,)
        if disease in given.grades or disease in given.severity:
            grade = given.predicted(disease, size)
            assert grade.shape == (6,)
            assert ((grade >= 0) & (grade < size)).all()
    shapes: dict[str, Any] = {"lesions": (6, 8, SIDE, SIDE), "present": (6, 8), "windows": (6, WINDOWS)}
    for part, shape in shapes.items():
        value = getattr(given, part)
        assert value is None or (value.shape == shape and value.min() >= 0 and value.max() <= 1), part
    assert given.grades or given.severity or any(getattr(given, part) is not None for part in shapes)


@pytest.mark.parametrize("name", tasks())
def test_a_gradient_reaches_every_trainable_parameter(name: str) -> None:
    """After two steps, since residual branches whose last scale begins at 0 pass nothing on before."""
    module = built(name).train()
    for _, _ in zip(range(2), learning(module), strict=False):
        pass
    module.zero_grad()
    module.outputs(batch(side=module.side)).loss.backward()
    for parameter, value in module.named_parameters():
        if value.requires_grad:
            assert value.grad is not None, parameter
            assert torch.isfinite(value.grad).all(), parameter
    silent = [n for n, v in module.named_parameters() if v.requires_grad and not v.grad.any()]  # type: ignore[union-attr]
    assert len(silent) <= 0.05 * len(list(module.parameters())), silent


@pytest.mark.parametrize("name", tasks())
def test_the_loss_falls_on_one_batch(name: str) -> None:
    losses = learning(built(name).train())
    first = next(losses)
    assert any(loss < 0.8 * first for loss in losses)


@pytest.mark.parametrize("name", tasks())
def test_unknown_grades_take_no_part(name: str) -> None:
    module = built(name).eval()
    unknown = batch(side=module.side)
    unknown["grades"] = {disease: torch.full((6,), -1) for disease in SCALES}
    assert torch.isfinite(module.outputs(unknown).loss)


@pytest.mark.parametrize("name", tasks())
def test_options_are_plain_and_a_state_carries_over(name: str, tmp_path: Path) -> None:
    module = built(name)
    path = tmp_path / "state.ckpt"
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}, path)
    stored = torch.load(path, weights_only=True)
    again: Task = task_class(name)(**stored["hyper_parameters"])
    again.load_state_dict(stored["state_dict"])
    given = batch(side=module.side)
    with torch.no_grad():
        first, second = module.eval().outputs(given), again.eval().outputs(given)
    assert torch.equal(first.loss, second.loss)
    assert again.config == module.config


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory, fake_sets: Path) -> dict[str, Path]:
    """Data set -> a drawn copy, made when first asked for."""
    return {path.name: path for path in fake_sets.iterdir()}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared photographs that experiments on one set share."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("path", experiments(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_experiment_file_validates_and_runs(
    path: Path, roots: dict[str, Path], cache: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    experiment: Experiment = load_experiment(path.parent.name, path.stem)
    tested = {experiment.test.options.get(name, {}).get("set", name) for name in experiment.test.sets}
    named = {stage.data.set for stage in experiment.stages.values()} | tested
    for name in named - {"synthetic"}:
        if name not in roots:
            roots[name] = write_fake_set(name, tmp_path_factory.mktemp("fake") / name, 48, 1000 * len(roots))
    folders = [f"roots.{name}={roots[name]}" for name in named if name in roots]
    small = smoke(
        load_experiment(path.parent.name, path.stem, [*folders, f"data.cache={cache}", f"output={tmp_path}"])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = run(small)
    assert (result.folder / "report.html").is_file()
    assert result.metrics
    assert (result.folder.parts[-3], result.folder.parts[-2]) == (path.parent.name, f"{path.stem}-smoke")
