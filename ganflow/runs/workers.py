"""The further workers of a run: started and watched on this machine, or serving anywhere."""

from __future__ import annotations

import json
import signal
import subprocess
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ganflow import child
from ganflow.advised import Advised
from ganflow.engine.build import pick_device
from ganflow.engine.distributed import Group
from ganflow.engine.rendezvous import Lost
from ganflow.engine.trainer import Apart, Diverged
from ganflow.errors import GanflowError
from ganflow.machine import cores
from ganflow.plugins.loading import plugins_fault
from ganflow.printing import plural
from ganflow.recipe import Recipe
from ganflow.runs.loop import Cadence
from ganflow.runs.run import Parts
from ganflow.runs.trying import check_shares
from ganflow.scratch import scratch_folder

REPORTED, LEFT = 3, 4
"""Exit codes of a worker that reported why it ended, and of one that ended because another had."""
GOODBYE = 10.0  # seconds for a worker to end by itself


@contextmanager
def started_workers(recipe: Recipe, workers: int, threads: int = 0) -> Iterator[Group | None]:
    """Start workers − 1 further processes on this machine; they end with the context, or with this process.

    Args:
        threads: of each worker's CPU computations; 0: the recipe's, or the cores divided among the workers.

    Yields:
        The group, as rank 0 sees it; None for a single worker.

    Raises:
        GanflowError: so many workers cannot share a batch, or the machine has not so many GPUs.
    """
    check_shares(recipe, workers)
    if workers == 1:
        yield None
        return
    threads = threads or recipe.train.threads or max(1, min(torch.get_num_threads(), cores()) // workers)
    devices = _devices(recipe.train.device, workers)
    group = Group.host(workers, device=devices[0], threads=threads)
    processes: dict[int, subprocess.Popen[str]] = {}
    with scratch_folder("workers-") as folder:
        file = folder / "recipe.yaml"
        file.write_text(recipe.to_yaml())
        try:
            for rank in range(1, workers):
                spec = {"rank": rank, "size": workers, "address": group.address, "device": devices[rank], "threads": threads}
                processes[rank] = _start({"recipe": str(file), "group": spec})
            group.rendezvous.watch = lambda: _died(processes)
            yield group
        finally:
            _stop(list(processes.values()))
            group.close()


def serve(recipe: Recipe, group: Group, *, trial: bool = False) -> int:
    """Play as one of the further workers of a run (rank 1, 2, …) until it ends; returns the rounds played.

    Writes nothing and shows nothing. `run_started`, `critic_stepped` and `generator_stepped` are called as on rank 0, the
    other events are not. That a term was not finite, or that workers' states differ, is found by all workers at once and
    reported by rank 0.

    Args:
        trial: the run is part of a sweep.

    Raises:
        Lost: another worker died.
        Exception: an error in this worker, which rank 0 knows.
    """
    parts: Parts | None = None
    try:
        parts = Parts(recipe, group)
        trainer, cadence = parts.trainer, Cadence.of(recipe.train, trial=trial)
        parts.composition.begin(parts.game)
        group.join(parts.game.device)
        trainer.share()
        parts.composition.call("run_started", game=parts.game)
        while not trainer.stop:  # until the first worker needs nothing more
            trainer.advance(max(trainer.round + 1, cadence.next_stop(trainer.round)))
    except Lost:
        raise
    except (Apart, Diverged):
        pass
    except BaseException as error:
        group.rendezvous.report(_sentence(error, parts), "".join(traceback.format_exception(error)))
        raise
    finally:
        if parts:
            parts.feed.close()
        group.close()
    return parts.trainer.round if parts else 0


def _sentence(error: BaseException, parts: Parts | None) -> str:
    """One sentence about an error in this worker."""
    if isinstance(error, (Exception, SystemExit)):
        when = f"after {plural(parts.trainer.round, 'round')}" if parts else "when the run was built"
        error = plugins_fault(error, when, "the traceback is in the run's error.txt") or error
    return error.in_shell if isinstance(error, GanflowError) else f"{type(error).__name__}: {error}"


def _devices(name: str, workers: int) -> list[str]:
    """Each worker's device: a GPU each, unless the recipe names one for all."""
    device = pick_device(name)
    if device.type != "cuda" or ":" in name:
        return [str(device)] * workers
    there = torch.cuda.device_count()
    if there < workers:
        raise GanflowError(
            f"{workers} workers need {workers} GPUs and this machine has {there}; use "
            + Advised(f"workers={there}", f"--workers {there}") + ", or train.device=cpu"
        )
    return [f"cuda:{i}" for i in range(workers)]


def _start(spec: dict[str, object]) -> subprocess.Popen[str]:
    """Start a worker. It ends when its stdin is closed, which happens however this process ends.

    It has its own process group: Ctrl-C in a terminal is rank 0's alone."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    process = child.start(["-m", "ganflow.runs.worker"], stdin=pipe, stdout=nothing, text=True, process_group=0)
    assert process.stdin is not None
    process.stdin.write(json.dumps(spec) + "\n")
    process.stdin.flush()
    return process


def _died(processes: dict[int, subprocess.Popen[str]]) -> dict[int, str]:
    """Workers that died without a report, and how."""
    codes = {rank: process.poll() for rank, process in processes.items()}
    return {
        rank: f"(pid {processes[rank].pid}) {_ended(code)}"
        for rank, code in codes.items()
        if code is not None and code not in (REPORTED, LEFT)
    }


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    hint = "; was there too little memory?" if code == -signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"


def _stop(processes: list[subprocess.Popen[str]]) -> None:
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in processes:
            process.wait(GOODBYE)
    except (subprocess.TimeoutExpired, OSError):
        pass
    finally:
        for process in processes:
            process.kill()  # nothing to one that has ended
            process.wait()
