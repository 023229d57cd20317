"""Whose fault an exception is, in one sentence."""

from __future__ import annotations

import torch

from ganflow.errors import GanflowError, PluginError
from ganflow.machine import broken
from ganflow.plugins import blame


def plugins_fault(error: Exception | SystemExit, when: str, where: str) -> PluginError | None:
    """The sentence for an exception in a plugin's code; None where it is nobody's, the machine's (too little memory, a disk
    or mount that fails) or one sentence already."""
    if isinstance(error, (GanflowError, MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error):
        return None
    if ended_from_outside(error):
        return None
    plugin = None if broken(error) else blame(error)
    if plugin is None:
        return None
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return PluginError(f"{plugin} failed {when}: {text}; {where}")


def ended_from_outside(error: BaseException) -> bool:
    """Whether a process of Ray's was asked to end (SIGTERM: by a batch system, by whoever stops the node). Ray raises SystemExit
    then, wherever the code is at that moment, with a text of its own."""
    return isinstance(error, SystemExit) and hasattr(error, "ray_terminate_msg")
