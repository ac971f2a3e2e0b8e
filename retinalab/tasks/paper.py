"""The baselines, registered by the same door as the papers."""

from __future__ import annotations

from pathlib import Path

from retinalab.registry import Paper

__all__ = ["paper"]

paper = Paper(
    name="baseline",
    title="Plain baselines: any timm classifier, any segmentation-models-pytorch network",
    citation="R. Wightman, PyTorch Image Models, 2019",
    url="https://github.com/huggingface/pytorch-image-models",
    experiments=Path(__file__).parent / "experiments",
    tasks={
        "baseline": "retinalab.tasks.config:BaselineConfig",
        "baseline-segmentation": "retinalab.tasks.config:SegmentationConfig",
    },
)
