"""A working folder, and run folders, from a stranger."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import packages_distributions
from pathlib import Path

from port_helpers import free_ports

from ganflow.runs.finding import all_runs
from ganflow.runs.folders import RunFolder

RECIPE = """\
name: small
data: {use: gaussians, layout: ring}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: {use: non_saturating}
optimizer: {use: adam, lr: 1.0e-3}
train: {rounds: 4, batch_size: 8, compile: never}
tune:
  trials: 2
  metric: generator/non_saturating
  mode: min
  resources: {cpus: 1}
  space: {optimizer.lr: {loguniform: [1.0e-4, 1.0e-2]}}
"""
MODULE = """\
import sys
with open({log!r}, "a") as log:
    log.write({name!r} + "\\n")
found, sys.path[:] = sys.path[:], [entry for entry in sys.path if entry not in ("", {folder!r})]
if __name__ == "__main__":
    __import__("runpy").run_module({name!r}, run_name="__main__", alter_sys=True)
else:
    del sys.modules[__name__]
    sys.modules[__name__] = __import__("importlib").import_module(__name__)
    sys.path[:] = found
"""
"""Notes that it is executed, and then is the module that it stands in front of, so that the program goes on."""


def plant(folder: Path, names: set[str]) -> Path:
    """A module of each name in a folder; returns the file in which they note that they are executed."""
    log = folder.parent / f"{folder.name}-executed.txt"
    log.touch()
    for name in names:
        (folder / f"{name}.py").write_text(MODULE.format(log=str(log), name=name, folder=str(folder)))
    return log


def installed() -> set[str]:
    """Every top-level module of the environment that a file can stand in front of, but for ganflow itself."""
    return {name for name in packages_distributions() if name.isidentifier()} - {"ganflow"}


def standard() -> set[str]:
    """The standard library's."""
    return {name for name in sys.stdlib_module_names if name not in sys.builtin_module_names and not name.startswith("_")}


def ganflow(folder: Path, *arguments: object, safely: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as the docs name it."""
    command = [sys.executable, *(["-P"] if safely else []), "-m", "ganflow", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment(**env), capture_output=True, text=True, timeout=400)


def environment(**env: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **env}


def shown(folder: Path, *arguments: str) -> str:
    """`ganflow ui` until it answers; what it printed."""
    (port,) = free_ports(1)
    command = [sys.executable, "-P", "-m", "ganflow", "ui", "--no-browser", "--port", str(port), *arguments]
    out = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=out, stderr=out, text=True) as process:
        deadline = time.monotonic() + 100
        try:
            while not _answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        assert process.stdout
        assert process.stderr
        return process.stdout.read() + process.stderr.read()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def only_run(root: Path) -> RunFolder:
    (run,) = all_runs(root)
    return run
