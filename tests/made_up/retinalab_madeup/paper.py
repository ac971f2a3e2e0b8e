"""What the plugin says of itself."""

from __future__ import annotations

from pathlib import Path

from retinalab.registry import Paper

__all__ = ["paper"]

paper = Paper(
    name="madeup",
    title="Marks, then severity, then patches",
    citation="A. Nobody, Journal of Nothing, 2000",
    url="https://example.org/madeup",
    experiments=Path(__file__).parent / "experiments",
    tasks={
        "madeup-marks": "retinalab_madeup.config:MarksConfig",
        "madeup-mirror": "retinalab_madeup.config:MirrorConfig",
        "madeup-patches": "retinalab_madeup.config:PatchesConfig",
        "madeup-severity": "retinalab_madeup.config:SeverityConfig",
    },
)
