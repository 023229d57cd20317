"""Use of the machine while a run is trained, by MLflow's monitors, in a journal beside the run's."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ganflow.errors import GanflowError
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import Journal, entries
from ganflow.tracking.outbox import SYSTEM, settings

ENVIRONMENT = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
EVERY = 10.0
"""Seconds between samples, where MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL says nothing else."""


def wanted(folder: RunFolder) -> bool:
    """Return true where the recipe asks for it, or the environment."""
    return bool(settings(folder)["system_metrics"]) or os.environ.get(ENVIRONMENT, "").lower() in ("true", "1")


@contextmanager
def sampled(folder: RunFolder) -> Iterator[None]:
    """Write the machine's use into the folder while this lasts, if it is wanted; a step is a sample, as MLflow has it."""
    over = threading.Event()
    thread = threading.Thread(target=_sample, args=(folder, over), daemon=True) if wanted(folder) else None
    if thread:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if thread:
            thread.join(10)


def _sample(folder: RunFolder, over: threading.Event) -> None:
    from mlflow import environment_variables
    from mlflow.system_metrics import system_metrics_monitor

    untyped: Any = environment_variables
    every = untyped.MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() or EVERY
    make: Any = system_metrics_monitor.SystemMetricsMonitor
    with suppress(OSError):  # the folder was deleted
        try:
            path = folder.path / SYSTEM
            step = max((entry.round for entry in entries(path)), default=-1) + 1
            journal, monitor = Journal(path), make(folder.id)  # which sends nothing by itself
            while True:
                monitor.collect_metrics()
                journal.append(step, {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()})
                for each in monitor.monitors:
                    each.clear_metrics()
                step += 1
                if over.wait(every):
                    break
            journal.close()
        except (GanflowError, ImportError) as error:
            logging.getLogger("ganflow").warning("no system metrics: %s", error)
