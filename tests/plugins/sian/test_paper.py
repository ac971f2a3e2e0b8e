"""The descriptor, as the command line shows it."""

from __future__ import annotations

import subprocess
import sys

from retinalab_sian.paper import paper

from retinalab.registry import task_class, task_config


def test_the_descriptor_names_what_is_there() -> None:
    assert {path.stem for path in paper.experiments.glob("*.yaml")} >= {
        "synthetic", "retinal-lesions", "idrid", "ddr", "fgadr", "hei-med", "sweep",
    }  # fmt: skip
    for name in paper.tasks:
        assert task_class(name).config_class is task_config(name)


def test_the_descriptor_imports_no_torch() -> None:
    code = "import sys, retinalab_sian.paper, retinalab_sian.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
