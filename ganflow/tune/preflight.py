"""Preflight checks: what could go wrong in a cluster, all of it found before anything starts."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow import machine
from ganflow.addresses import is_http
from ganflow.cluster import compat
from ganflow.cluster.address import Address, parse_address
from ganflow.cluster.joining import PATIENCE, connect
from ganflow.cluster.nodes import Node, alive_nodes, check_nodes
from ganflow.cluster.submit import check_job, distributions
from ganflow.engine.build import pick_device
from ganflow.engine.memory import check_estimate
from ganflow.errors import GanflowError, Problem
from ganflow.printing import plural
from ganflow.runs.folders import RunFolder
from ganflow.tracking.destination import check_recipe, tracking_uri
from ganflow.tune.plan import at_once, free_folder

if TYPE_CHECKING:
    from ganflow.recipe import Tune
    from ganflow.tune.plan import Plan

SECONDS = 10.0
"""For everything together. Where plugins are shipped, each node unpacks them first: see SHIPPING."""
SHIPPING = 90.0


def preflight(plan: Plan, folder: RunFolder, address: Address | str = "local") -> list[str]:
    """Check everything that a sweep needs of the cluster that Ray is connected to.

    Args:
        folder: the sweep's, which every node must see.
        address: "local" leaves out what cannot go wrong where there is one machine, and one Python.

    Returns:
        Notes on what keeps nothing from being done: an MLflow server that is away.

    Raises:
        GanflowError: every fault, one on each line.
    """
    deadline = time.monotonic() + (SHIPPING if _ships() else SECONDS)
    faults = _where_written(plan, "tune.resources", infeasible(plan.tune, alive_nodes()))
    notes = mlflow_reachable(uri) if (uri := tracking_uri(plan.recipe)) else []
    if (parse_address(address) if isinstance(address, str) else address).kind != "local":
        faults += check_nodes(folder.path, distributions(plan.recipe), deadline)
    if faults:
        raise GanflowError(*faults)
    return notes


def rehearse(plan: Plan, runs: Path, address: Address | str = "local", name: str | None = None) -> list[str]:
    """Check what a start under `runs` checks, the cluster's address included, as far as seconds are enough and no folder is made;
    returns the notes that it would show.

    Raises:
        GanflowError: the sweep would not start.
    """
    address = parse_address(address) if isinstance(address, str) else address
    check_recipe(plan.recipe, runs)
    if address.kind == "job":
        check_job(address, plan.recipe, runs)
    else:
        free_folder(plan, runs, name)
    check_resources(plan, address)
    if address.kind in ("auto", "cluster"):
        with connect(address):
            if short := _where_written(plan, "tune.resources", infeasible(plan.tune, alive_nodes())):
                raise GanflowError(*short)
    notes = list(plan.recipe.notes)
    pack_of(plan, notes.append)
    if uri := tracking_uri(plan.recipe):
        notes += mlflow_reachable(uri)
    return notes


def pack_of(plan: Plan, note: Callable[[str], None]) -> int:
    """Number of trials that are played together: the recipe's, or 1 where that would not pay, which is noted."""
    from ganflow.packed import worth_packing
    from ganflow.tune.objectives import Reports
    from ganflow.tune.plan import rounds_of

    wanted = plan.tune.pack
    if wanted == 1:
        return 1
    pays, why = worth_packing(Reports(plan.recipe).game, wanted, plan.recipe.train, rounds_of(plan))
    if why:
        note(why if pays else f"trials are not packed: {why}")
    return wanted if pays else 1


def check_resources(plan: Plan, address: Address | str = "local") -> None:
    """Check what is known before Ray starts, of this machine ("local") or of every one: that a trial gets the processors and the
    GPUs that it wants, and that it has its device.

    Raises:
        GanflowError: no trial can ever run.
    """
    tune, device = plan.tune, plan.recipe.train.device
    local = (parse_address(address) if isinstance(address, str) else address).kind == "local"
    short = infeasible(tune, [Node("", os.uname().nodename, machine.cores(), compat.gpus())]) if local else []
    faults = _where_written(plan, "tune.resources", short)
    kind, _, number = device.partition(":")
    if kind == "cuda" and int(number or 0) >= 1 and tune.resources.get("gpus"):
        seen = f"a trial's process sees its own GPU alone, as cuda:0, and not {device}; use train.device=cuda"
        faults += _where_written(plan, "train.device", [f"train.device: {seen}"])
    elif local:
        try:
            pick_device(device)
        except GanflowError as error:
            faults += _where_written(plan, "train.device", [error.text])
    if faults:
        raise GanflowError(*faults)
    if local and plan.memory and (picked := pick_device(device)).type == "cpu":
        check_estimate(plan.recipe, plan.memory, picked, alike=at_once(tune))


class Lacking:
    """Note, once for each time, that the nodes which are left have no room for any trial, so that the sweep waits for others.

    Args:
        note: shows a sentence.
    """

    def __init__(self, tune: Tune, note: Callable[[str], None]) -> None:
        self.tune, self.note = tune, note
        self._since: float | None = None
        self._noted = False

    def __call__(self, nodes: list[Node]) -> None:
        """Compare with the nodes that are alive."""
        if not infeasible(self.tune, nodes):
            self._since, self._noted = None, False
            return
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not self._noted and now - self._since > PATIENCE:
            self._noted = True
            left = f"{plural(len(nodes), 'node')} of the cluster {'is' if len(nodes) == 1 else 'are'} left, without room"
            self.note(f"{left} for a trial: the sweep waits for others (Ctrl-C ends it; it can go on from its checkpoints)")


def _where_written(plan: Plan, key: str, faults: list[str]) -> list[str]:
    """Faults of a key with the file and the line where it is, or could be; those of the command line where it changed it."""
    lines = plan.recipe.lines
    there = [line for path, line in lines.items() if path == key or path.startswith(f"{key}.")]
    line = min(there) if there else lines.get(key.partition(".")[0], 0)
    return [Problem(line, fault, plan.recipe.file).located for fault in faults]


def _ships() -> bool:
    import ray

    return bool(ray.get_runtime_context().runtime_env.get("working_dir"))


def infeasible(tune: Tune, nodes: list[Node]) -> list[str]:
    """Reasons why no trial can ever run: [] where it can."""
    from ganflow.tune.executors import bundles

    wanted = bundles(tune).bundles
    cpus, gpus = wanted[0].get("CPU", 0.0), wanted[0].get("GPU", 0.0)
    slots = sum(min(_times(node.cpus, cpus), _times(node.gpus, gpus)) for node in nodes)
    if slots >= len(wanted):
        return []
    faults = []
    for word, all_, each, of in (
        ("CPU", cpus * len(wanted), cpus, [node.cpus for node in nodes]),
        ("GPU", gpus * len(wanted), gpus, [node.gpus for node in nodes]),
    ):
        if each and sum(_times(have, each) for have in of) < len(wanted):
            there = f"the largest node has {max(of, default=0):g}, the cluster {sum(of):g}"
            there = f"this machine has {sum(of):g}" if len(of) == 1 else there
            faults.append(f"tune.resources: a trial wants {plural(all_, word)}; {there}")
    both = f"tune.resources: a trial wants {plural(cpus, 'CPU')} and {plural(gpus, 'GPU')}"
    several = f"{both} for each of {len(wanted)} workers; the nodes have room for {slots:g}"
    return faults or [several if len(wanted) > 1 else f"{both} on one node; no node has both"]


def _times(have: float, want: float) -> float:
    return float("inf") if want == 0 else float(have / want + 1e-9) // 1


def mlflow_reachable(uri: str) -> list[str]:
    """Notes on a server that is away for now, or wants a login: what it misses is kept in the runs' folders. That the address is
    one was checked before (`check_address`)."""
    from ganflow.tracking.store import reason

    if not is_http(uri):
        return []
    try:
        urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=3).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            return [f"MLflow at {uri}: {reason(Exception('unauthorized'))}; what is not sent is kept: ganflow sync"]
    except OSError as error:
        why = reason(error.reason if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError) else error)
        return [f"MLflow at {uri} does not answer ({why}); what is not sent is kept: ganflow sync"]
    return []
