"""The follower: a process beside the training that sends its folder to MLflow. Whatever happens to it, training goes on."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ganflow import child
from ganflow.addresses import absolute
from ganflow.errors import GanflowError
from ganflow.files import open_file
from ganflow.recipe import Recipe
from ganflow.runs.folders import RunFolder
from ganflow.tracking.destination import bar_of, check_recipe, typed
from ganflow.tracking.outbox import MISSING, Unsent, unsent

LOG = "tracking.log"

class Follower:
    """Starts and ends the process. It is told that training is over by a pipe closing, which also happens when training
    is killed; it runs in its own session, so that Ctrl-C does not reach it, at low priority and without a GPU.

    Args:
        given: the store's address, where the user typed it himself.
    """

    def __init__(self, folder: RunFolder, given: str | None = None) -> None:
        self.folder, self.given = folder, given
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str | None:
        """Begin to send. Takes milliseconds; MLflow is imported by the new process.

        Returns:
            A note for the user where his credentials are not used.

        Raises:
            GanflowError: MLflow is not installed.
        """
        if importlib.util.find_spec("mlflow") is None:
            raise GanflowError(MISSING)
        command = ["-m", "ganflow", "sync", "--follow", "--attached", str(self.folder.path)]
        if self.given:
            command += ["--uri", absolute(self.given)]
        quiet = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with os.fdopen(open_file(self.folder.path / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as log:
            pipe = subprocess.PIPE
            self._process = child.start(command, quiet, stdin=pipe, stdout=log, stderr=log, start_new_session=True)
        return bar_of(self.folder, self.given)

    def finish(self, timeout: float) -> Unsent | None:
        """Tell it that the run is over (run.json says how, so note that first) and wait for it to send the rest.

        Returns:
            What could not be sent within `timeout` seconds, and why; None when MLflow has everything. A process that is
            still sending then goes on to the end by itself.
        """
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None
        process.stdin.close()
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
            _forget(process)
        left = unsent(self.folder)
        if left is None or left.why:
            return left
        if code is None:
            return replace(left, why=f"still being sent after {timeout:g} s")
        return replace(left, why=f"the tracking process ended early (code {code}; see {self.folder.path / LOG})")

    def stop(self) -> None:
        """Wait no longer: it sends what there is, and how the run ended, and ends by itself."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            _forget(process)


def _forget(process: subprocess.Popen[bytes]) -> None:
    """Let a process go on by itself: Python warns of one that nobody waits for."""
    process.returncode = 0


def sender(recipe: Recipe, runs: Path) -> Callable[[RunFolder], Follower] | None:
    """Check where a recipe's run under `runs` may be sent; returns what makes its follower, None where it is not sent.

    Raises:
        GanflowError: as `Destination.check`.
    """
    check_recipe(recipe, runs)
    return (lambda folder: Follower(folder, typed(recipe))) if recipe.track.mlflow else None
