"""Is there a Ray cluster at an address? Asked in a process of its own, which may be ended: Ray's client waits for minutes, prints
pages, and kills its process where it has no token.

    python -P reach.py host:port      prints one line of JSON: {"fault": …} or {"ray": …, "python": …, "member": …}

Where something answers that is not Ray's, SIGALRM ends it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

PATIENCE = 3
"""Seconds for an answer, Ray's import not counted: on a busy machine that alone takes as long."""


def reach(address: str) -> dict[str, Any]:
    """What answers at host:port ("auto": whatever Ray finds on this machine).

    Keys: `fault` ("no token", "token", "nobody", "mode"), else `address`, `ray` and `python` (versions of the cluster's head) and
    `member` (whether this machine is one of its nodes).
    """
    from ray._private import services
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray._raylet import AuthenticationTokenLoader, GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError

    found = address
    if address == "auto":
        try:
            found = services.canonicalize_bootstrap_address("auto") or ""
        except ConnectionError:
            return {"fault": "nobody"}
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    asked = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
    if asked and not AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
        return {"fault": "no token", "address": found}
    signal.alarm(PATIENCE)
    try:
        client = GcsClient(address=found)
        about = json.loads(client.internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=PATIENCE) or b"{}")
        nodes = {key.hex() for key in client.get_all_node_info(timeout=PATIENCE)}
    except AuthenticationError:
        return {"fault": "token" if asked else "mode", "address": found}
    told = {"address": found, "ray": about.get("ray_version"), "python": about.get("python_version")}
    here = set(services.find_node_ids())
    return {**told, "member": bool(nodes & here)}


if __name__ == "__main__":
    print(json.dumps(reach(sys.argv[1])))
