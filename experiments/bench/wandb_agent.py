"""``wandb sweep`` and ``wandb agent`` themselves on a sweep file, against a server of five answers on this machine.

No account, no network: the server draws values as the sweep file says, the agents start the command line that the file
names, and each run logs offline; several agents may work at once, on one cache. Prints what was asked, what
ran and what the offline runs hold as JSON, and writes it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import yaml

from retinalab.errors import RetinalabError
from retinalab.sweeps import check_sweep

_ROOT = Path(__file__).resolve().parents[2]
_SWEEP = "sweep1"


def draw(parameter: dict[str, Any], random_state: random.Random) -> Any:
    """One value of a parameter as a sweep file describes it."""
    if "values" in parameter:
        return random_state.choice(parameter["values"])
    if "value" in parameter:
        return parameter["value"]
    low, high = parameter["min"], parameter["max"]
    if parameter.get("distribution") == "log_uniform_values":
        return math.exp(random_state.uniform(math.log(low), math.log(high)))
    if isinstance(low, int) and isinstance(high, int):
        return random_state.randint(low, high)
    return random_state.uniform(low, high)


class SweepServer(ThreadingHTTPServer):
    """Answers what the two commands ask: who is there, make a sweep, read it, register an agent, give it work."""

    daemon_threads = True

    def __init__(self, runs: int, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs = runs
        self.random = random.Random(seed)
        self.config: dict[str, Any] = {}
        self.given: list[dict[str, Any]] = []
        self.operations: list[str] = []
        self.alone = Lock()

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The ``data`` of one GraphQL operation."""
        self.operations.append(operation)
        project = {"id": "p", "name": "retinalab", "entity": {"id": "e", "name": "local"}}
        if operation == "UpsertSweep":
            self.config = yaml.safe_load(variables["config"])
            return {
                "upsertSweep": {"sweep": {"name": _SWEEP, "project": project}, "configValidationWarnings": []}
            }
        if operation == "SweepWithRuns":
            sweep = {
                "id": "s",
                "name": _SWEEP,
                "method": "random",
                "state": "RUNNING",
                "config": yaml.safe_dump(self.config),
            }
            return {"project": {"sweep": {**sweep, "runs": {"edges": []}}}}
        if operation == "CreateAgent":
            return {"createAgent": {"agent": {"id": f"a{self.operations.count(operation)}"}}}
        if operation == "Heartbeat":
            with self.alone:
                work = self._work(variables)
            return {"agentHeartbeat": {"agent": {"id": variables.get("id")}, "commands": json.dumps(work)}}
        viewer = {
            "id": "v",
            "entity": "local",
            "username": "local",
            "email": "",
            "admin": False,
            "flags": "{}",
        }
        return {"viewer": {**viewer, "teams": {"edges": []}}, "serverInfo": None}

    def _work(self, variables: dict[str, Any]) -> list[dict[str, Any]]:
        if any(json.loads(variables.get("runState") or "{}").values()):
            return []
        if len(self.given) == self.runs:
            return [{"type": "exit"}]
        args = {name: {"value": draw(p, self.random)} for name, p in self.config["parameters"].items()}
        command = {
            "type": "run",
            "run_id": f"run{len(self.given)}",
            "program": self.config["program"],
            "args": args,
        }
        self.given.append(command)
        return [command]


class _Handler(BaseHTTPRequestHandler):
    server: SweepServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = re.search(r"(?:query|mutation)\s+(\w+)", body["query"])
        answer = self.server.answer(found.group(1) if found else "", body.get("variables") or {})
        content = json.dumps({"data": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


def environment(port: int, folder: Path) -> dict[str, str]:
    """What the commands and the runs they start see: our server, no account, logging offline."""
    return os.environ | {
        "WANDB_BASE_URL": f"http://127.0.0.1:{port}",
        "WANDB_API_KEY": "0" * 40,
        "WANDB_DIR": str(folder),
        "WANDB_ERROR_REPORTING": "false",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "OMP_NUM_THREADS": "1",
    }


def reduced(sweep: Path, folder: Path, words: list[str]) -> Path:
    """A copy of the sweep file whose command line is the same with words put behind it."""
    config = yaml.safe_load(sweep.read_text(encoding="utf-8"))
    config["command"] = [*config["command"], *words]
    copy = folder / "sweep.yaml"
    copy.write_text(yaml.safe_dump(config), encoding="utf-8")
    return copy


def held(run: Path) -> dict[str, Any]:
    """What an offline run holds: the log that would be sent, and files of the predictions table and the report."""
    files = run / "files"
    return {
        "log": sum(path.stat().st_size for path in run.glob("*.wandb")),
        "predictions": len(list(files.glob("media/table/predictions*.table.json"))),
        "report": len(list(files.glob("media/html/report*.html"))),
        "confusions": len(list(files.glob("media/table/confusion/**/*.table.json"))),
    }


def main() -> int:
    """Make the sweep, start an agent, wait for its runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweep", type=Path, default=_ROOT / "experiments/canet/sweep.yaml")
    parser.add_argument("--runs", type=int, default=2, help="of all agents together")
    parser.add_argument("--agents", type=int, default=1, help="at once, on one sweep and one cache")
    parser.add_argument("--show", action="store_true", help="each run prints its experiment and stops")
    parser.add_argument("--out", type=Path, default=_ROOT / "runs/bench/wandb_agent.json")
    known = parser.parse_args()
    try:
        check_sweep(known.sweep)
    except RetinalabError as error:
        print(error, file=sys.stderr)
        return 2
    server = SweepServer(known.runs)
    Thread(target=server.serve_forever, daemon=True).start()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = (
            ["--show"]
            if known.show
            else ["--smoke", f"output={folder / 'runs'}", f"data.cache={folder / 'cache'}"]
        )
        seen = environment(server.server_port, folder)
        wandb = [sys.executable, "-m", "wandb"]
        made = [*wandb, "sweep", str(reduced(known.sweep, folder, words))]
        subprocess.run(made, env=seen, cwd=folder, check=True)
        agent = [*wandb, "agent", f"local/retinalab/{_SWEEP}"]
        agents = [
            subprocess.Popen(agent, env=seen | {"WANDB_MODE": "offline"}, cwd=folder)
            for _ in range(known.agents)
        ]
        ended = [one.wait() for one in agents]
        metrics = sorted({path.resolve() for path in folder.glob("runs/*/*/*/metrics.json")})
        logged = [[held(run) for run in path.parent.glob("wandb/offline-run-*")] for path in metrics]
        prepared = sorted({path.parent.name for path in folder.glob("cache/*/*") if path.is_file()})
    result = {
        "seconds": round(time.perf_counter() - began, 1),
        "operations": sorted(set(server.operations)),
        "runs": [{key: entry["value"] for key, entry in command["args"].items()} for command in server.given],
        "finished": len(metrics),
        "agents_ended": ended,
        "offline_runs": logged,
        "prepared": prepared,
    }
    known.out.parent.mkdir(parents=True, exist_ok=True)
    known.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    whole = [len(each) == 1 and all(each[0].values()) for each in logged]
    complete = len(server.given) == known.runs and (known.show or whole == [True] * known.runs)
    return 0 if complete and not any(ended) else 1


if __name__ == "__main__":
    raise SystemExit(main())
