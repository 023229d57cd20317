"""Preflight checks: what could go wrong in a cluster, all of it found before anything starts."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ganflow import machine
from ganflow.engine.build import pick_device
from ganflow.errors import GanflowError, Problem
from ganflow.runs.folders import RunFolder
from ganflow.tune import compat
from ganflow.tune.cluster import Address, parse_address
from ganflow.tune.records import plural

if TYPE_CHECKING:
    from ganflow.recipe import Recipe, Tune
    from ganflow.tune.plan import Plan

SECONDS = 10.0
"""For everything together. Where plugins are shipped, each node unpacks them first: see SHIPPING."""
SHIPPING = 90.0
_PROBE = ".probe"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Node:
    """A machine of the cluster. `cpus` and `gpus` are all that it has, free or not."""

    id: str
    name: str
    cpus: float
    gpus: float


def alive_nodes() -> list[Node]:
    """The machines that Ray can use at this moment."""
    import ray

    found = [node for node in ray.nodes() if node["Alive"]]
    names = [node["NodeManagerHostname"] for node in found]
    nodes = []
    for node, name in zip(found, names, strict=True):
        unique = name if names.count(name) == 1 else f"{name} ({node['NodeManagerAddress']}:{node['NodeManagerPort']})"
        nodes.append(Node(node["NodeID"], unique, node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)))
    return nodes


def check_nodes(path: Path, wanted: list[str], deadline: float) -> list[str]:
    """Compare every node's versions, and try the folder there. One sentence per fault.

    Args:
        path: a folder that all are to share.
        wanted: distributions whose versions must be this machine's.
        deadline: of time.monotonic().
    """
    probe, token = path / _PROBE, secrets.token_hex(16)
    try:
        probe.mkdir(parents=True, exist_ok=True)
        (probe / "driver").write_text(token)
    except OSError as error:
        return [f"cannot write in {path}: {error.strerror}; choose another folder with --runs"]
    try:
        answers, silent = _ask(probe, token, wanted, deadline)
        here = inspect_node(str(probe), "", wanted)["versions"]
        faults = [f"{name} does not answer: {why}" for name, why in silent.items()]
        for name, answer in answers.items():
            for what, version in here.items():
                there = answer["versions"][what]
                if not there:
                    how = "install it there, or submit a job (--address http://…)"
                    faults.append(f"{name} has no {what}; this machine has {version}: {how}")
                elif there != version:
                    faults.append(f"{name} has {what} {there}, and this machine has {version}; they must be equal")
        return faults + _storage(path, token, answers, deadline)
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _ask(probe: Path, token: str, wanted: list[str], deadline: float) -> tuple[dict[str, Any], dict[str, str]]:
    """(answers by node, reasons by silent node)."""
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(inspect_node)
    ours = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(ours)  # a node may have no ganflow, or another
    asked = {}
    for node in alive_nodes():
        here = NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
        asked[task.options(scheduling_strategy=here).remote(str(probe), f"{token} {node.id}", wanted)] = node.name
    cloudpickle.unregister_pickle_by_value(ours)
    done, waiting = ray.wait(list(asked), num_returns=len(asked), timeout=max(1.0, deadline - time.monotonic()))
    answers: dict[str, Any] = {}
    silent = {asked[ref]: "its worker did not start in time; is it overloaded, or cut off?" for ref in waiting}
    for ref in done:
        try:
            answers[asked[ref]] = ray.get(ref)
        except Exception as error:
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            silent[asked[ref]] = lines[-1][:300]
    for ref in waiting:
        ray.cancel(ref, force=True)
    return answers, silent


def inspect_node(probe: str, mark: str, wanted: list[str]) -> dict[str, Any]:
    """Versions of a node, and what it reads and writes in a folder. Runs there by itself, whatever ganflow the node has.

    Args:
        probe: the folder with the driver's file.
        mark: text of the file that the node leaves there, named by its second word; "" leaves nothing.
        wanted: distributions whose versions are returned.
    """
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import ray

    versions = {"Python": platform.python_version(), "Ray": ray.__version__}
    for name in wanted:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = ""
    answer: dict[str, Any] = {"versions": versions, "read": None, "error": "", "mark": mark}
    try:
        with open(os.path.join(probe, "driver")) as file:
            answer["read"] = file.read()
        if mark:
            with open(os.path.join(probe, mark.split()[1]), "w") as file:
                file.write(mark)
    except OSError as error:
        answer["error"] = error.strerror or str(error)
    return answer


def _storage(path: Path, token: str, answers: dict[str, Any], deadline: float) -> list[str]:
    """Faults of nodes that do not see what the driver wrote, cannot write, or write where the driver does not see it."""
    faults = []
    blind = [name for name, answer in answers.items() if answer["read"] != token]
    for name, answer in answers.items():
        if name in blind:
            continue
        if answer["error"]:
            faults.append(f"{name} cannot write in {path}: {answer['error']}")
        elif not _seen(path / _PROBE / answer["mark"].split()[1], answer["mark"], deadline):
            blind.append(name)
    if blind:
        see = "does not see" if len(blind) == 1 else "do not see"
        remedy = "give a folder on storage that every node mounts with --runs"
        faults.insert(0, f"{path} is not shared: {', '.join(blind)} {see} what this machine writes there; {remedy}")
    return faults


def _seen(file: Path, text: str, deadline: float) -> bool:
    """Wait for a file with this text; network file systems are slow."""
    while True:
        try:
            if file.read_text() == text:
                return True
        except OSError:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


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
    faults, notes = _where_written(plan, "tune.resources", infeasible(plan.tune, alive_nodes())), list[str]()
    if uri := tracking_uri(plan.recipe):
        more, notes = mlflow_reachable(uri)
        faults += more
    if (parse_address(address) if isinstance(address, str) else address).kind != "local":
        faults += check_nodes(folder.path, distributions(plan.recipe), deadline)
    if faults:
        raise GanflowError("\n".join(faults))
    return notes


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
            faults += _where_written(plan, "train.device", [str(error)])
    if faults:
        raise GanflowError("\n".join(faults))


def _where_written(plan: Plan, key: str, faults: list[str]) -> list[str]:
    """Faults of a key with the file and the line where it is, or could be; those of the command line where it changed it."""
    lines = plan.recipe.lines
    there = [line for path, line in lines.items() if path == key or path.startswith(f"{key}.")]
    line = min(there) if there else lines.get(key.partition(".")[0], 0)
    return [str(Problem(line, fault, plan.recipe.file)) for fault in faults]


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


def distributions(recipe: Recipe) -> list[str]:
    """ganflow, and what the components come from that the recipe names, or that its space may choose."""
    from ganflow.plugins import load_catalogue

    catalogue = load_catalogue()
    named = [c.component for c in recipe.chosen()]
    for word in _words(recipe.tune.space) if recipe.tune else []:
        named += [c for c in catalogue.components() if word in (c.qualified, catalogue.shortest(c))]
    return list(dict.fromkeys(["ganflow", *(c.distribution for c in named if c.distribution)]))


def _words(value: Any) -> Iterable[str]:
    """Every string in plain data, the keys of its mappings left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _words(item)


def tracking_uri(recipe: Recipe) -> str | None:
    """The MLflow store that the recipe or the environment names; None for the SQLite file beside the runs, or for none."""
    return (recipe.track.uri or os.environ.get("MLFLOW_TRACKING_URI") or None) if recipe.track.mlflow else None


def mlflow_reachable(uri: str) -> tuple[list[str], list[str]]:
    """(faults, notes): a store that can never be reached is a fault; a server that is away for now is worth a note, for what it
    misses is kept in the runs' folders. That the address is one was checked before (`check_address`)."""
    from ganflow.tracking.store import reason

    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if uri in ("databricks", "databricks-uc"):
        return [], []
    if scheme in ("", "file"):
        return [f"track.uri: MLflow does not take the folder {uri} as a store; use sqlite:///{parts.path or uri}/mlflow.db"], []
    if scheme not in (*_DATABASES, "http", "https", "databricks", "databricks-uc", "uc"):
        return [f"track.uri: {uri!r} is not the address of an MLflow store; use http(s)://host:port or sqlite:///file"], []
    if scheme not in ("http", "https"):
        return [], []
    try:
        urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=3).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            return [], [f"MLflow at {uri}: {reason(Exception('unauthorized'))}; what is not sent is kept: ganflow sync"]
    except OSError as error:
        why = reason(error.reason if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError) else error)
        return [], [f"MLflow at {uri} does not answer ({why}); what is not sent is kept: ganflow sync"]
    return [], []
