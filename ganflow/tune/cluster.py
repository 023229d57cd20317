"""Whether a Ray cluster can be joined, found out in seconds and said in one sentence; Ray itself takes minutes."""

from __future__ import annotations

import json
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

from ganflow import child
from ganflow.errors import GanflowError

TOKENS = "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH with a file that holds it"


def check_cluster(address: str) -> dict[str, Any]:
    """What runs at an address, host:port or "auto": its `address` as host:port, its `ray` and `python`.

    Raises:
        GanflowError: nobody answers, it is not Ray, it wants another token, other versions run there, or this machine is no part
            of it.
    """
    if address != "auto":
        _answers(address)
    told = _asked(address)
    where = told.get("address") or address
    fault = told.get("fault")
    if fault == "nobody":
        raise GanflowError(
            "--address auto: no Ray cluster runs on this machine; start one with: ray start --head, or use --address local"
        )
    if fault == "silent":
        raise GanflowError(f"what answers at {where} is not the head of a Ray cluster; is it the right port? (Ray's own is 6379)")
    if fault == "no token":
        raise GanflowError(f"RAY_AUTH_MODE is 'token', and there is no token for the Ray cluster at {where}; set {TOKENS}")
    if fault == "mode":
        raise GanflowError(f"the Ray cluster at {where} asks for a token; set RAY_AUTH_MODE=token and {TOKENS}")
    if fault == "token":
        raise GanflowError(f"the Ray cluster at {where} does not accept the token; set the cluster's own in {TOKENS}")
    import ray

    for name, there, here in (("Ray", told["ray"], ray.__version__), ("Python", told["python"], platform.python_version())):
        if there and there != here:
            raise GanflowError(f"the Ray cluster at {where} has {name} {there}, and this machine has {here}; they must be equal")
    if not told["member"]:
        head = where.rpartition(":")[0]
        join = f"make it one with: ray start --address={where}, or submit a job with: --address http://{head}:8265"
        raise GanflowError(f"this machine is not part of the Ray cluster at {where}; {join}")
    return told


def _answers(text: str) -> None:
    host, _, port = text.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=3):
            return
    except socket.gaierror:
        why = "no machine of that name"
    except TimeoutError:
        why = "no answer within 3 seconds"
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    raise GanflowError(f"no Ray cluster answers at {text}: {why}; is the port that of its head (ray start --head says it)?")


def _asked(address: str) -> dict[str, Any]:
    try:
        printed = child.output([str(Path(__file__).with_name("reach.py")), address], timeout=60)
        told: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return told
    except (subprocess.TimeoutExpired, IndexError, ValueError):
        return {"fault": "silent"}
