"""Several sets train together on one scale: split apart, pooled for training, tested apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from retinalab.config import DataConfig, TestConfig
from retinalab.data.cache import Cache
from retinalab.data.module import FundusDataModule
from retinalab.data.pool import PooledCache
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment, resolve_model
from retinalab.protocol import Protocol
from retinalab.records import LESIONS
from retinalab.tasks.lesion_loss import pixel_cross_entropy
from retinalab.testing import write_fake_set

Make = Callable[..., FundusDataModule]
BINARY = Protocol(diseases={"dr": "icdr5", "dme": "binary"})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def module(fake_sets: Path, cache: Path) -> Make:
    def made(protocol: Protocol = BINARY, **options: Any) -> FundusDataModule:
        test, further = options.pop("test", None), options.pop("roots", {})
        given = {"set": "table", "mix": ["dr600"], "size": 48, "batch_size": 4, "cache": cache, **options}
        roots = {path.name: path for path in fake_sets.iterdir()} | further
        return FundusDataModule(DataConfig.model_validate(given), protocol, roots=roots, test=test)

    return made


def counts(module: FundusDataModule, part: str) -> dict[str, int]:
    table = getattr(module.parts, part).records.table
    return {str(name): int(count) for name, count in table["set"].value_counts().items()}


def test_each_set_is_split_as_it_would_be_alone_and_its_test_part_kept_apart(module: Make) -> None:
    mixed = module()
    alone = {"table": module(mix=[]), "dr600": module(set="dr600", mix=[])}
    for part in ("train", "val"):
        pooled = getattr(mixed.parts, part).records.table
        for name, one in alone.items():
            expected = getattr(one.parts, part).records.table["image"].tolist()
            assert pooled.loc[pooled["set"] == name, "image"].tolist() == expected
    assert list(mixed.parts.tests) == ["table", "dr600"]
    for name, one in alone.items():
        tested = mixed.parts.tests[name].records.table
        assert tested["image"].tolist() == one.parts.tests[name].records.table["image"].tolist()
        assert mixed.parts.fingerprints[name] == one.parts.fingerprints[name]
    assert [len(part) for part in mixed.evaluation_parts()] == [6, 8, 2]
    assert mixed.parts.notes[0] == (
        "mixture of 2 data sets (photographs): table 20 train, 4 val, 8 test; dr600 8 train, 2 val, 2 test"
    )
    frame = mixed.parts.split.frame()
    assert frame.groupby(["set", "part"]).size().to_dict() == {
        ("table", "train"): 20, ("table", "val"): 4, ("table", "test"): 8,
        ("dr600", "train"): 8, ("dr600", "val"): 2, ("dr600", "test"): 2,
    }  # fmt: skip
    everything = mixed.parts.split.records.table
    assert everything["image"].iloc[frame["row"]].tolist() == frame["image"].tolist()


def test_batches_hold_each_sets_own_pixels_and_grades(module: Make) -> None:
    """Against the photographs of each set read alone; the coarser scale of one is the protocol's."""
    mixed = module()
    own = {name: module(set=name, mix=[]).parts.train for name in ("table", "dr600")}
    table = mixed.parts.train.records.table
    for batch in mixed.train_dataloader():
        for position, row in enumerate(batch["index"].tolist()):
            part = own[table["set"].iloc[row]]
            (place,) = np.flatnonzero(part.records.table["image"] == table["image"].iloc[row])
            pixels = part.cache.images(part.rows[[place]])[0]
            assert np.array_equal(batch["image"][position].permute(1, 2, 0).numpy(), pixels)
            for disease in ("dr", "dme"):
                assert batch["grades"][disease][position] == part.records.table[disease].iloc[place]
    assert set(table.loc[table["set"] == "table", "dme"]) == {0, 1}


def test_pooled_rows_run_on_from_one_cache_to_the_next(module: Make) -> None:
    caches = [module(set=name, mix=[]).parts.train.cache for name in ("table", "dr600")]
    pooled = PooledCache(tuple(caches))
    rows = np.array([43, 0, 32, 31, 0, 33])
    each = [caches[1], caches[0], caches[1], caches[0], caches[0], caches[1]]
    expected = [c.images(np.array([row]))[0] for c, row in zip(each, [11, 0, 0, 31, 0, 1], strict=True)]
    assert np.array_equal(pooled.images(rows), np.stack(expected))
    for order in (np.arange(6), np.argsort(rows)):
        out = np.zeros_like(expected, shape=(6, *expected[0].shape))
        assert pooled.images(rows[order], out) is out
        assert np.array_equal(out, np.stack(expected)[order])
    with pytest.raises(ValueError, match="out is a"):
        pooled.images(rows[:5], out)
    assert pooled.likeness.shape == (44, 4)
    assert np.array_equal(pooled.likeness[32:], caches[1].likeness)
    assert np.array_equal(pooled.boxes[:32], caches[0].boxes)
    with pytest.raises(RetinalabError, match=r"prepared without lesion masks"):
        pooled.planes(rows)


LESION_MIX = {
    "set": "idrid",
    "options": {"task": "segmentation"},
    "mix": {"sets": ["fgadr"]},
    "masks": True,
    "batch_size": 32,
}


@pytest.fixture
def lesions(module: Make, tmp_path: Path) -> FundusDataModule:
    """IDRiD annotates MA, HE, EX and SE; FGADR NV as well."""
    root = write_fake_set("fgadr", tmp_path / "fgadr", 20, seed=5000)
    return module(Protocol(diseases={"dr": "icdr5"}), **LESION_MIX, roots={"fgadr": root})


def test_what_a_set_does_not_annotate_stays_unknown_in_its_rows(lesions: FundusDataModule) -> None:
    (batch,) = lesions.train_dataloader()
    table = lesions.parts.train.records.table
    annotates = {"idrid": {"MA", "HE", "EX", "SE"}, "fgadr": {"MA", "HE", "EX", "SE", "NV"}}
    assert set(table["set"]) == set(annotates)
    for position, row in enumerate(batch["index"].tolist()):
        for plane, lesion in enumerate(LESIONS):
            mask = batch["mask"][position, plane]
            known = lesion in annotates[table["set"].iloc[row]]
            assert (mask != 255).any() == known
            assert bool(batch["present"][position, plane].isnan()) == (not known)


def test_only_annotated_rows_teach_a_lesion(lesions: FundusDataModule) -> None:
    """The gradient of every map's loss is 0 exactly where its set did not annotate the lesion."""
    (batch,) = lesions.train_dataloader()
    sets = lesions.parts.train.records.table["set"].to_numpy()[batch["index"].numpy()]
    logits = torch.zeros(batch["mask"].shape, requires_grad=True)
    pixel_cross_entropy(logits, batch["mask"]).backward()
    assert logits.grad is not None
    reached = (logits.grad != 0).flatten(2).any(2).numpy()
    plane = LESIONS.index("NV")
    assert not reached[sets == "idrid", plane].any()
    assert reached[sets == "fgadr", plane].all()
    assert reached[:, LESIONS.index("MA")].all()
    known = int((batch["mask"] != 255).sum())
    steps = logits.grad.abs()[batch["mask"] != 255] * known
    assert torch.allclose(steps, torch.full_like(steps, 0.5))


def test_windows_are_cut_from_every_set(module: Make, tmp_path: Path) -> None:
    root = write_fake_set("fgadr", tmp_path / "fgadr", 20, seed=5000)
    windows = {"kind": "lesions", "size": 16, "negatives": 1}
    mixed = module(
        Protocol(diseases={"dr": "icdr5"}),
        **{**LESION_MIX, "masks": False, "sampler": "sets"},
        windows=windows,
        roots={"fgadr": root},
    )
    dataset = mixed.dataset(mixed.parts.train)
    assert dataset.windows is not None
    part = mixed.parts.train
    assert isinstance(part.cache, PooledCache)
    sets = part.records.table["set"].to_numpy()[dataset.windows["photograph"]]
    assert set(sets) == {"idrid", "fgadr"}
    batch = dataset.__getitems__([(0, i, i) for i in range(len(dataset))])
    for i, (photograph, x, y) in enumerate(dataset.windows[["photograph", "x", "y"]].to_numpy()):
        image = np.pad(part.cache.images(part.rows[[photograph]])[0], ((16, 16), (16, 16), (0, 0)))
        expected = image[y + 8 : y + 24, x + 8 : x + 24]
        assert np.array_equal(batch["image"][i].permute(1, 2, 0).numpy(), expected)
    assert shares(mixed, sets)["fgadr"] == pytest.approx(0.5, abs=0.05)


def shares(module: FundusDataModule, sets: np.ndarray) -> dict[str, float]:
    """How often each set is drawn, over forty epochs."""
    loader = module.train_dataloader()
    drawn = []
    for epoch in range(40):
        loader.batch_sampler.sampler.set_epoch(epoch)  # type: ignore[union-attr]
        drawn += [row for batch in loader.batch_sampler for _, _, row in batch]  # type: ignore[union-attr]
    names, frequencies = np.unique(sets[drawn], return_counts=True)
    return dict(zip(names, frequencies / len(drawn), strict=True))


def test_sets_can_be_drawn_equally_often(module: Make) -> None:
    for sampler, expected in (("shuffle", 8 / 28), ("sets", 0.5)):
        mixed = module(sampler=sampler)
        found = shares(mixed, mixed.parts.train.records.table["set"].to_numpy())
        assert found["dr600"] == pytest.approx(expected, abs=0.05)


def test_a_limit_is_of_each_set_and_further_sets_are_only_tested(module: Make) -> None:
    mixed = module(limit=3, test=TestConfig(sets=("idrid",)), protocol=Protocol(diseases={"dr": "icdr5"}))
    assert counts(mixed, "train") == {"table": 3, "dr600": 3}
    assert list(mixed.parts.tests) == ["table", "dr600", "idrid"]


def test_columns_of_one_set_alone_are_empty_in_the_others(
    module: Make, fake_sets: Path, tmp_path: Path
) -> None:
    root = tmp_path / "table"
    shutil.copytree(fake_sets / "table", root)
    table = pd.read_csv(root / "records.csv").assign(camera="left room", age=50)
    table.to_csv(root / "records.csv", index=False)
    pooled = module(root=root).parts.train.records.table
    theirs = pooled[pooled["set"] == "dr600"]
    assert (theirs["camera"] == "").all()
    assert set(pooled.loc[pooled["set"] == "table", "camera"]) == {"left room"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mix": ["table"]}, "'table' is the primary set (data.set) already; name others"),
        ({"mix": ["dr600", "dr600"]}, "names 'dr600' twice; every set is mixed once"),
        (
            {"mix": {"sets": ["dr600"], "options": {"idrid": {}}}},
            "options are given for 'idrid', which is not mixed",
        ),
        ({"sampler": "sets", "mix": []}, "it balances the sets of a mixture; name them in data.mix"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RetinalabError) as caught:
        resolve_model(DataConfig, {"set": "table", **options}, "data")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mix": ["dr60"]}, r"Unknown data set 'dr60'\. Did you mean 'dr600'\?"),
        ({"mix": ["hei-med"]}, r"Data set 'hei_med' needs its folder\. .*roots\.hei_med=PATH"),
        (
            {"mix": ["messidor"]},
            r"dr of set 'messidor' is graded on messidor4, from which icdr5 cannot be had",
        ),
        ({"test": TestConfig(sets=("dr600",))}, r"test\.sets names 'dr600', which is trained on"),
        (
            {"mix": ["dr600"], "options": {"name": "dr600"}},
            r"'table' and 'dr600' are both called 'dr600' .*data\.mix\.options\.dr600\.name=NAME.* from data\.mix",
        ),
        (
            {"protocol": Protocol(diseases={"dr": "icdr5"}, split="as-published", lists="lists")},
            r"protocol\.lists are the lists of one data set, and data\.mix trains on dr600",
        ),
    ],
)
def test_what_cannot_be_mixed_is_said_with_set_and_remedy(
    module: Make, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    if options.get("mix") == ["messidor"]:
        options = {**options, "roots": {"messidor": write_fake_set("messidor", tmp_path / "messidor")}}
    with pytest.raises(RetinalabError, match=message):
        _ = module(**options).parts


def test_a_mixture_belongs_to_the_primary_set_alone(made_up: None) -> None:
    """A stage with a set of its own does not take the shared mixture, as it does not take the shared folder."""
    experiment = load_experiment("madeup", "whole", ["data.mix=[aptos]"])
    assert {name: stage.data.mix.sets for name, stage in experiment.stages.items()} == {
        "marks": (),
        "patches": (),
        "severity": ("aptos",),
    }


def test_a_single_set_is_not_pooled(module: Make) -> None:
    assert isinstance(module(mix=[]).parts.train.cache, Cache)
