"""Why a trial's process ended, in a few words: Ray tells it in a paragraph about itself, or by a traceback."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial as RayTrial

from ganflow.machine import broken, of_memory
from ganflow.runner.workers import Lost

DIED = "its process died"
_MEMORY = "its process was ended: the node ran out of memory"
_WORDS = {
    r"low on memory|ray\.exceptions\.OutOfMemoryError": _MEMORY,
    r"node (has )?died|node was (terminated|removed|dead)|node is dead|NODE_DIED": "its node was lost",
    r"[Pp]lacement group .*(removed|not found)": "its place in the cluster was lost",
    r"ActorUnavailable|actor .*is (temporarily )?unavailable": "its process, or its node, was lost",
    r"connection error code 2": f"{DIED} at once; was it killed, for want of memory?",
    r"ActorDied|actor (has )?died|actor is dead|RayActorError": DIED,
}
"""What Ray says where no part of the trial said anything."""


@dataclass(frozen=True)
class Reason:
    """Why a trial ended.

    Attributes:
        machine: it is no fault of the trial's: another attempt may end well.
        broken: a disk or a mount failed: all trials would end so.
    """

    words: str
    machine: bool = False
    broken: bool = False


def tell_all() -> None:
    """Let Ray Tune see the end of a process in whatever Ray raises of it. Ray's own watch over a node's memory raises what Tune
    does not know (as of Ray 2.60), and the whole sweep would end with it."""
    manager: Any = RayActorManager
    manager._actor_task_failed = _task_failed


_known = RayActorManager._actor_task_failed


def _task_failed(manager: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    if isinstance(exception, RayError) and not isinstance(exception, (RayActorError, RayTaskError)):
        exception = RayActorError(error_msg=str(exception))
    _known(manager, tracked_actor_task, exception)


def why(trial: RayTrial) -> Reason:
    """Why a trial of Ray's failed the last time."""
    text = ""
    with suppress(OSError, TypeError):  # no file
        text = Path(trial.error_file).read_text()
    return reason(re.split(r"^Failure # \d+ .*$", text, flags=re.MULTILINE)[-1])


def reason(text: str) -> Reason:
    """What Ray's text means; the last line of a traceback where it is one."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    said = re.sub(r"^[\w.]+: ", "", lines[-1])[:300] if lines else DIED
    if re.search(r"^Traceback |^ +File ", text, flags=re.MULTILINE):
        fault = broken(RuntimeError(lines[-1]))
        if fault:
            return Reason(str(fault), machine=True, broken=True)
        if of_memory(lines[-1]):
            return Reason(f"the machine had too little memory: {said}", machine=True)
        if lines[-1].startswith(f"{Lost.__module__}.{Lost.__name__}: "):
            return Reason(said, machine=True)
    for pattern, words in _WORDS.items():
        if re.search(pattern, text):
            return Reason(words, machine=True)
    return Reason(said, machine=not lines)
