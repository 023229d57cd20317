"""Whose code an exception came from."""

from __future__ import annotations

from ganflow.errors import innermost
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
