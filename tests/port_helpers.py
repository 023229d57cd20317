"""Ports for servers that a test starts."""

import contextlib
import random
import socket

RANGE = range(20_000, 30_000)
"""Below those that Linux gives to connections and to servers that ask for any: none of these takes a port meanwhile."""


def free_ports(n: int) -> list[int]:
    """Ports that nobody listens on."""
    found: list[int] = []
    for port in random.SystemRandom().sample(RANGE, len(RANGE)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            found.append(port)
        if len(found) == n:
            break
    return found
