"""What the plugin says of itself; importing it imports no torch."""

from __future__ import annotations

from pathlib import Path

from retinalab.registry import Paper

__all__ = ["paper"]

paper = Paper(
    name="sian",
    title="Learn to Segment Retinal Lesions and Beyond",
    citation="Q. Wei, X. Li, W. Yu, X. Zhang, Y. Zhang, B. Hu, B. Mo, D. Gong, N. Chen, D. Ding, Y. Chen, "
    "International Conference on Pattern Recognition (ICPR), 2020",
    url="https://arxiv.org/abs/1912.11619",
    experiments=Path(__file__).parent / "experiments",
    tasks={
        "l-net": "retinalab_sian.config:LNetConfig",
        "sian": "retinalab_sian.config:SianConfig",
    },
)
