"""The plugin whose code an exception came from."""

from __future__ import annotations

from ganflow.errors import GanflowError, PluginError, innermost
from ganflow.machine import broken
from ganflow.plugins.catalogue import Catalogue, Plugin


def blame(error: BaseException, catalogue: Catalogue | None = None) -> Plugin | None:
    """Find the plugin whose code raised `error`, and note it on the error (once).

    The innermost frame that belongs to a plugin decides; where no frame does, those of the error's cause, and so on.

    Args:
        catalogue: of the plugins to consider, all installed ones by default.
    """
    if catalogue is None:
        from ganflow.plugins.loading import load_catalogue

        catalogue = load_catalogue()
    seen: list[BaseException] = []
    raised: BaseException | None = error
    while raised is not None and raised not in seen:
        frame = innermost(raised, lambda name: catalogue.by_module(name) is not None)
        if frame and (plugin := catalogue.by_module(frame.module)):
            note = f"raised in {plugin}"
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            return plugin
        seen.append(raised)
        raised = raised.__cause__
    return None


def plugins_fault(error: Exception | SystemExit, when: str, where: str) -> PluginError | None:
    """The sentence for an exception in a plugin's code; None where it is nobody's, the machine's (too little memory, a disk
    or mount that fails) or one sentence already."""
    import torch  # in here: the catalogue is read without it

    if isinstance(error, (GanflowError, MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error):
        return None
    plugin = None if ended_from_outside(error) or broken(error) else blame(error)
    if plugin is None:
        return None
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return PluginError(f"{plugin} failed {when}: {text}; {where}")


def ended_from_outside(error: BaseException) -> bool:
    """Return whether a process of Ray's was asked to end (SIGTERM: by a batch system, or because the node is stopped). Ray raises
    SystemExit then, wherever the code is at that moment, with a text of its own."""
    return isinstance(error, SystemExit) and hasattr(error, "ray_terminate_msg")
