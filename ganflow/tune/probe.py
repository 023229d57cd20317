"""Probe of a Ray cluster, in a process that may be ended: Ray's client waits for minutes, prints pages, and kills its process
where it has no token.

    python -P -m ganflow.tune.probe host:port      prints one line of JSON: {"fault": …} or {"ray": …, "python": …, "member": …}

Where something answers that is not Ray's, SIGALRM ends it.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

from ganflow.tune import compat

PATIENCE = 3
"""Seconds for an answer, Ray's import not counted: on a busy machine that alone takes as long."""


def probe(address: str) -> dict[str, Any]:
    """Description of the cluster at host:port ("auto": the one that runs on this machine).

    Keys: `fault` ("no token", "token", "nobody", "mode"), else `address` and those of `compat.describe_head`.
    """
    from ray.exceptions import AuthenticationError

    found = compat.find_head() if address == "auto" else address
    if not found:
        return {"fault": "nobody"}
    if compat.wants_token() and not compat.has_token():
        return {"fault": "no token", "address": found}
    signal.alarm(PATIENCE)
    try:
        return {"address": found, **compat.describe_head(found, PATIENCE)}
    except AuthenticationError:
        return {"fault": "token" if compat.wants_token() else "mode", "address": found}


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1])))
