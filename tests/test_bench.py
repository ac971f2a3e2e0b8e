"""``make bench`` runs benchmarks that ask for nothing."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
_SHOW = "shown: ; @echo $(BENCHMARKS)"


def asked_for(script: Path) -> list[str]:
    """Arguments that a script's command line cannot do without."""
    wanted = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "add_argument":
            continue
        options = {word.arg: ast.unparse(word.value) for word in node.keywords}
        name = ast.unparse(node.args[0]).strip("'\"")
        optional = name.startswith(("-", "f'-", 'f"-')) or options.get("nargs") in ("'?'", "'*'")
        if not optional or options.get("required") == "True":
            wanted.append(name)
    return wanted


def test_every_benchmark_is_there_and_runs_without_arguments() -> None:
    words = ["make", "--silent", f"--eval={_SHOW}", "shown"]
    shown = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    assert {"experiments/bench/data_speed.py", "experiments/bench/growth.py"} <= set(shown)
    assert {script: asked_for(REPOSITORY / script) for script in shown} == {script: [] for script in shown}


def test_what_cannot_be_left_out_is_seen(tmp_path: Path) -> None:
    script = tmp_path / "one.py"
    script.write_text(
        "p.add_argument('run')\np.add_argument('--out', required=True)\np.add_argument('--size')\n"
    )
    assert asked_for(script) == ["run", "--out"]
