"""A further worker's process, started by ganflow.runs.workers: python -m ganflow.runs.worker < spec

torch is imported when signals are ignored and the end of the parent is noticed."""

import json
import os
import signal
import sys
import threading


def _end_with_parent() -> None:
    """stdin ends when whoever started this process ends, however that happens."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # rank 0 hears them, too, and ends everybody after the round in hand
        signal.signal(number, signal.SIG_IGN)
    spec = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    from ganflow.engine.distributed import Group
    from ganflow.engine.rendezvous import Lost
    from ganflow.recipe.source import draft
    from ganflow.runs.workers import LEFT, REPORTED, serve

    group = Group(**spec["group"])
    try:
        serve(draft(spec["recipe"]).build(), group)  # the first worker has warned of what is worth it
    except Lost:
        return LEFT
    except BaseException:
        return REPORTED
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # nothing is left to be done, and connections that broke need no mourning
