"""Private parts of Ray, each with the public way that was tried. tests/tune/test_ray_compat.py fails where an upgrade breaks one.

Ray is imported by the functions alone: `probe` runs in a process that may be ended, since Ray's client waits for minutes, prints
pages, and kills its process where it has no token.

    python -P -m ganflow.cluster.compat host:port 3   prints a line of JSON: {"fault": …} or {"ray": …, "python": …, "member": …},
                                                    or ends after 3 seconds
    python -P -m ganflow.cluster.compat               prints one of those on this machine: [[host:port, socket of a node], …]
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any, NamedTuple

PATIENCE = 3
"""Seconds for an answer, Ray's import not counted: on a busy machine that alone takes as long."""


def silence_error_messages() -> None:
    """Stop the paragraph that Ray prints on stdout about every process that dies.

    Tried: `log_to_driver=False`, `logging_level` and the levels of Ray's loggers; its thread prints past all of them.
    """
    from ray._private import worker

    printing: Any = worker
    printing.listen_error_messages = lambda *arguments: None


def skip_usage_tags() -> None:
    """Stop Ray Tune from counting callbacks for its usage statistics: to classify them it imports MLflow, two seconds.

    Tried: RAY_USAGE_STATS_ENABLED=0, which stops the sending, not the counting.
    """
    from ray.air._internal import usage

    usage.tag_callbacks = lambda callbacks: False


def report_every_death() -> None:
    """Let Ray Tune see the end of a process in whatever Ray raises of it: its watch over a node's memory raises
    OutOfMemoryError, which Tune (as of Ray 2.60) does not catch, and with which the whole sweep would end.

    Tried: FailureConfig and callbacks, which see no more than Tune does; the monitor's threshold belongs to the cluster.
    """
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import RayActorError, RayError, RayTaskError

    manager: Any = RayActorManager
    known = manager._actor_task_failed
    if getattr(known, "_every_death", False):
        return

    def task_failed(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, (RayActorError, RayTaskError)):
            exception = RayActorError(error_msg=str(exception))
        known(self, tracked_actor_task, exception)

    task_failed._every_death = True  # type: ignore[attr-defined]  # a mark on the function: patched once
    manager._actor_task_failed = task_failed


def wants_token() -> bool:
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def has_token() -> bool:
    """True if Ray finds a token in the environment or in its file.

    Tried: reading RAY_AUTH_TOKEN and RAY_AUTH_TOKEN_PATH, which leaves out the default file and the rules of precedence.
    """
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # compiled, without types

    return bool(AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))


def use_token() -> None:
    """Let this process, and its children, show the token that there is, where RAY_AUTH_MODE does not say what to do.

    Tried: `ray.init("auto")`, which does it (with an address it does not), and chooses the cluster by itself.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def token_headers() -> dict[str, str]:
    """HTTP headers with Ray's token, for its dashboard.

    Tried: JobSubmissionClient, which asks for the version without a timeout and prints about whatever else answers.
    """
    from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled

    return dict(get_auth_headers_if_auth_enabled({}))


class Raylet(NamedTuple):
    """A node's process on this machine.

    Attributes:
        head: host:port of its cluster's head.
        node: its id.
        socket: the file by which a driver connects to it.
        user: who started it.
    """

    head: str
    node: str
    socket: str
    user: str

    @property
    def entrance(self) -> str:
        """"open", "denied" (it is another user's), or "absent" (another container's: its files are not seen here)."""
        try:
            os.stat(self.socket)
        except PermissionError:
            return "denied"
        except OSError:
            return "absent"
        return "open" if os.access(self.socket, os.W_OK) else "denied"


def raylets() -> list[Raylet]:
    """The nodes' processes that are seen on this machine, those of other users and of containers included.

    Tried: `ray.init("auto")`, which takes the cluster that was started last, or any, and waits, prints, and where a token is
    missing ends the process; `services.find_gcs_addresses` and `find_node_ids`, which do not say what belongs together.
    """
    from ray._private import services

    inside: Any = services
    flags = {"head": "--gcs-address=", "node": "--node_id=", "socket": "--raylet_socket_name="}
    found = []
    for process in inside.psutil.process_iter(["cmdline", "username"]):
        line = process.info["cmdline"]
        if inside._is_raylet_process(line):
            words = [word for part in line for word in part.split(" ")]
            known = {key: word.removeprefix(flag) for key, flag in flags.items() for word in words if word.startswith(flag)}
            if known.keys() == flags.keys():
                found.append(Raylet(**known, user=process.info["username"] or "another user"))
    return found


def describe_head(address: str, timeout: float) -> dict[str, Any]:
    """Description of the cluster whose head is at host:port: `ray` and `python`, its versions, `member`, true if this machine is
    a node of it, and `owner`, its user where he is another one, whom alone its files let in.

    Tried: `ray.init` (see `raylets`); `ray.util.state.list_nodes`, which needs the dashboard, and it may be switched off.

    Raises:
        ray.exceptions.AuthenticationError: another token is wanted, or one at all.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled, without types

    client = GcsClient(address=address)
    about = json.loads(client.internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=timeout) or b"{}")
    nodes = {key.hex() for key in client.get_all_node_info(timeout=timeout)}
    entrances = {raylet.entrance: raylet.user for raylet in raylets() if raylet.node in nodes}
    owner = "" if "open" in entrances else entrances.get("denied", "")
    return {"ray": about.get("ray_version"), "python": about.get("python_version"),
            "member": "open" in entrances or bool(owner), "owner": owner}  # fmt: skip


def living_nodes(timeout: float) -> list[dict[str, Any]]:
    """The nodes that the connected cluster's head holds for alive: of each `id`, `name`, `cpus` and `gpus`.

    Tried: `ray.nodes`, which takes no timeout, and waits for a head that hangs as long as that does.

    Raises:
        ray.exceptions.RpcError: there is no answer in time.
    """
    from ray._private import worker

    client = vars(worker)["global_worker"].gcs_client
    nodes = [node for node in client.get_all_node_info(timeout=timeout).values() if node.state == 0]  # GcsNodeInfo.ALIVE
    return [
        {"id": node.node_id.hex(), "name": node.node_manager_hostname, **{
            name: node.resources_total.get(resource, 0.0) for name, resource in (("cpus", "CPU"), ("gpus", "GPU"))
        }}
        for node in nodes
    ]  # fmt: skip


def probe(address: str, timeout: int) -> dict[str, Any]:
    """Description of the cluster at host:port. Where what answers is not Ray's, or does not in time, SIGALRM ends the process.

    Keys: `address`, and `fault` ("no token", "token", "mode") or those of `describe_head`.
    """
    from ray.exceptions import AuthenticationError

    if wants_token() and not has_token():
        return {"fault": "no token", "address": address}
    signal.alarm(timeout)
    try:
        return {"address": address, **describe_head(address, timeout)}
    except AuthenticationError:
        return {"fault": "token" if wants_token() else "mode", "address": address}


def gpus() -> int:
    """GPUs of this machine that a process of this one may use, as Ray counts them when it starts.

    Tried: `torch.cuda.device_count()`, which knows one maker's, and takes memory of each.
    """
    from ray._private.accelerators import get_accelerator_manager_for_resource

    manager: Any = get_accelerator_manager_for_resource("GPU")
    there: int = manager.get_current_node_num_accelerators()
    visible = manager.get_current_process_visible_accelerator_ids()
    return there if visible is None else min(there, len(visible))


def end_processes(folder: str) -> None:
    """End the processes of a start that failed: a head without a node.

    Tried: `ray.shutdown`, which knows of nothing that did not come up; Ray itself ends them with this process.
    """
    from ray._private import services

    psutil = vars(services)["psutil"]  # which Ray brings along
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(folder in word for word in process.cmdline()):
                process.kill()
                process.wait(10)


if __name__ == "__main__":
    asked = sys.argv[1:]
    answer: Any = probe(asked[0], int(asked[1])) if asked else [(raylet.head, raylet.socket) for raylet in raylets()]
    print(json.dumps(answer))
