"""What the plugin says of itself; importing it imports no torch."""

from __future__ import annotations

from pathlib import Path

from retinalab.registry import Paper

__all__ = ["paper"]

paper = Paper(
    name="ellg",
    title="Explainable Lesion Learning and Generation for Diabetic Retinopathy Detection",
    citation="C. Lin, J. Zhu, C. Shen, P. Hu, Q. Wang",
    url="",
    experiments=Path(__file__).parent / "experiments",
    tasks={
        "ellg": "retinalab_ellg.config:EllgConfig",
        "ellg-lesions": "retinalab_ellg.generation_config:GenerationConfig",
    },
)
