"""Private parts of Ray, each with the public way that was tried. tests/tune/test_ray_compat.py fails where an upgrade breaks one.

Ray is imported by the functions alone: `probe` runs in a process that may be ended, since Ray's client waits for minutes, prints
pages, and kills its process where it has no token.

    python -P -m ganflow.tune.compat host:port      prints one line of JSON: {"fault": …} or {"ray": …, "python": …, "member": …}
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

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


def token_headers() -> dict[str, str]:
    """HTTP headers with Ray's token, for its dashboard.

    Tried: JobSubmissionClient, which asks for the version without a timeout and prints about whatever else answers.
    """
    from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled

    return dict(get_auth_headers_if_auth_enabled({}))


def find_head() -> str:
    """host:port of the cluster that runs on this machine; "" where there is none.

    Tried: `ray.init("auto")`, which waits, prints, and where a token is missing ends the process.
    """
    from ray._private import services
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    try:
        found = services.canonicalize_bootstrap_address("auto") or ""
    except ConnectionError:
        return ""
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    return found


def describe_head(address: str, timeout: float) -> dict[str, Any]:
    """`ray` and `python`, versions of the cluster whose head is at host:port, and `member`, true if this machine is a node of it.

    Tried: `ray.init` (see `find_head`); `ray.util.state.list_nodes`, which needs the dashboard, and it may be switched off.

    Raises:
        ray.exceptions.AuthenticationError: another token is wanted, or one at all.
    """
    from ray._private import services
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled, without types

    client = GcsClient(address=address)
    about = json.loads(client.internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=timeout) or b"{}")
    nodes = {key.hex() for key in client.get_all_node_info(timeout=timeout)}
    member = not nodes.isdisjoint(services.find_node_ids())
    return {"ray": about.get("ray_version"), "python": about.get("python_version"), "member": member}


def probe(address: str) -> dict[str, Any]:
    """Description of the cluster at host:port ("auto": the one that runs on this machine). Where something answers that is not
    Ray's, SIGALRM ends the process.

    Keys: `fault` ("no token", "token", "nobody", "mode"), else `address` and those of `describe_head`.
    """
    from ray.exceptions import AuthenticationError

    found = find_head() if address == "auto" else address
    if not found:
        return {"fault": "nobody"}
    if wants_token() and not has_token():
        return {"fault": "no token", "address": found}
    signal.alarm(PATIENCE)
    try:
        return {"address": found, **describe_head(found, PATIENCE)}
    except AuthenticationError:
        return {"fault": "token" if wants_token() else "mode", "address": found}


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1])))
