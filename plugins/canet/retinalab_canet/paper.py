"""What the plugin says of itself; importing it imports no torch."""

from __future__ import annotations

from pathlib import Path

from retinalab.registry import Paper

__all__ = ["paper"]

paper = Paper(
    name="canet",
    title="CANet: Cross-disease Attention Network for Joint Diabetic Retinopathy "
    "and Diabetic Macular Edema Grading",
    citation="X. Li, X. Hu, L. Yu, L. Zhu, C.-W. Fu, P.-A. Heng, IEEE Transactions on Medical Imaging, 2020",
    url="https://arxiv.org/abs/1911.01376",
    experiments=Path(__file__).parent / "experiments",
    tasks={"canet": "retinalab_canet.config:CanetConfig"},
)
