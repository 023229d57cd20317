"""Nodes of the connected cluster: what they have, which versions run there, and whether they see a folder."""

from __future__ import annotations

import secrets
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROBE = ".probe"


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
