"""What could go wrong in a cluster, found out before anything starts: every fault in one sentence, all of them at once."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ganflow.errors import GanflowError
from ganflow.runs import RunFolder
from ganflow.tune.address import Address, parse_address
from ganflow.tune.nodes import Node, alive_nodes, check_nodes

if TYPE_CHECKING:
    from ganflow.recipe import Recipe, Tune
    from ganflow.tune.plan import Plan

SECONDS = 10.0
"""For everything together. Where plugins are shipped, each node installs them first: see SHIPPING."""
SHIPPING = 90.0
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def preflight(plan: Plan, folder: RunFolder, address: Address | str = "local") -> list[str]:
    """Check everything that a sweep needs of the cluster that Ray is connected to.

    Args:
        folder: the sweep's, which every node must see.
        address: "local" leaves out what cannot go wrong where there is one machine, and one Python.

    Returns:
        What is worth knowing, but keeps nothing from being done: an MLflow server that is away.

    Raises:
        GanflowError: every fault, one on each line.
    """
    recipe, deadline = plan.recipe, time.monotonic() + (SHIPPING if _ships() else SECONDS)
    notes: list[str] = []
    faults = infeasible(plan.tune, alive_nodes())
    uri = tracking_uri(recipe)
    if uri is not None:
        fault, note = mlflow_reachable(uri)
        faults += fault
        notes += note
    if (parse_address(address) if isinstance(address, str) else address).kind != "local":
        faults += check_nodes(folder.path, distributions(recipe), deadline)
    if faults:
        raise GanflowError("\n".join(faults))
    return notes


def _ships() -> bool:
    import ray

    return bool(ray.get_runtime_context().runtime_env.get("py_modules"))


def infeasible(tune: Tune, nodes: list[Node]) -> list[str]:
    """Why no trial could ever be placed: [] where it can."""
    from ganflow.tune.resources import bundles

    wanted = bundles(tune).bundles
    cpus, gpus = wanted[0].get("CPU", 0.0), wanted[0].get("GPU", 0.0)
    places = sum(min(_times(node.cpus, cpus), _times(node.gpus, gpus)) for node in nodes)
    if places >= len(wanted):
        return []
    faults = []
    for word, all_, each, of in (
        ("CPU", cpus * len(wanted), cpus, [node.cpus for node in nodes]),
        ("GPU", gpus * len(wanted), gpus, [node.gpus for node in nodes]),
    ):
        if each and sum(_times(have, each) for have in of) < len(wanted):
            there = f"the largest node has {max(of, default=0):g}, the cluster {sum(of):g}"
            there = f"this machine has {sum(of):g}" if len(of) == 1 else there
            faults.append(f"tune.resources: a trial wants {_count(all_, word)}; {there}")
    both = f"tune.resources: a trial wants {_count(cpus, 'CPU')} and {_count(gpus, 'GPU')}"
    several = f"{both} for each of {len(wanted)} workers; the nodes have room for {places:g}"
    return faults or [several if len(wanted) > 1 else f"{both} on one node; no node has both"]


def _times(have: float, want: float) -> float:
    return float("inf") if want == 0 else float(have / want + 1e-9) // 1


def _count(n: float, word: str) -> str:
    return f"{n:g} {word}{'' if n == 1 else 's'}"


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
    misses is kept in the runs' folders."""
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
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or port == 0:
        return [f"track.uri: {uri!r} names no host, or no port from 1 to 65535"], []
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
