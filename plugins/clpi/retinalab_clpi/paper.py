"""What the plugin says of itself; importing it imports no torch."""

from __future__ import annotations

from pathlib import Path

from retinalab.registry import Paper

__all__ = ["paper"]

paper = Paper(
    name="clpi",
    title="Robust Collaborative Learning of Patch-level and Image-level Annotations for Diabetic Retinopathy "
    "Grading from Fundus Image",
    citation="Y. Yang, F. Shang, B. Wu, D. Yang, L. Wang, Y. Xu, W. Zhang, T. Zhang, IEEE Transactions on "
    "Cybernetics, 2022",
    url="https://arxiv.org/abs/2008.00610",
    experiments=Path(__file__).parent / "experiments",
    tasks={
        "clpi": "retinalab_clpi.config:ClpiConfig",
        "clpi-lesions": "retinalab_clpi.config:LesionPatchConfig",
    },
)
