"""Whose code an exception came from."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

from ganflow.plugins.catalogue import Catalogue, Plugin


class Place(NamedTuple):
    """A frame of a traceback."""

    module: str
    frame: FrameType
    line: int


def innermost(error: BaseException, wanted: Callable[[str], bool]) -> Place | None:
    """The frame nearest to where `error` was raised whose module's name is wanted."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if wanted(module):
            found = Place(module, frame, line)
    return found


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
        place = innermost(raised, lambda name: catalogue.by_module(name) is not None)
        plugin = catalogue.by_module(place.module) if place else None
        if plugin is not None:
            note = f"raised in {plugin}"
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            return plugin
        seen.append(raised)
        raised = raised.__cause__
    return None
