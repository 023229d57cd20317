"""Displays in a notebook's cell, which change while something runs."""

from __future__ import annotations

import base64
import io
import sys
import time
from importlib import import_module
from typing import Any

from ganflow.errors import escaped

EVERY_SECONDS = 0.5  # between two changes of a cell: each is a message to the browser
WIDTH, NOTES = 110, 4  # characters of a line, and the last of the sentences that are kept below


def in_notebook() -> bool:
    """Return whether this process is a notebook's kernel, whose cells can show HTML, and rich is there to write it."""
    ipython = sys.modules.get("IPython")
    if ipython is None or getattr(ipython.get_ipython(), "kernel", None) is None:
        return False
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return True


def _ipython() -> Any:
    """The functions by which a cell shows something."""
    return import_module("IPython.display")


class Live:
    """A display in the cell that is being executed, with the methods of rich.live.Live that are used here.

    Args:
        shown: what rich can show; its attribute `picture`, if any, is the path of a picture that is shown below.
    """

    def __init__(self, shown: Any) -> None:
        self._shown = shown
        self._handle: Any = None
        self._drawn, self._notes = 0.0, list[str]()

    @property
    def console(self) -> Live:
        """This display, which prints lines below what is drawn."""
        return self

    def start(self) -> None:
        """Begin a display."""
        self._handle = _ipython().display(self._cell(), display_id=True)

    def stop(self) -> None:
        """Draw once more, and leave it there."""
        self._draw()

    def refresh(self) -> None:
        """Draw, unless that was done a moment ago."""
        if time.monotonic() - self._drawn >= EVERY_SECONDS:
            self._draw()

    def print(self, text: str, **_: Any) -> None:
        """Add a line below what is drawn."""
        self._notes.append(text)
        self.refresh()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._handle is not None:
            self._handle.update(self._cell())

    def _cell(self) -> Any:
        from rich.console import Console

        console = Console(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, force_jupyter=False)
        console.print(self._shown)
        for note in self._notes[-NOTES:]:
            console.print(escaped(note), markup=False, highlight=False, style="dim")
        form = "<pre style='line-height:1.3'>{code}</pre>"
        return _ipython().HTML(console.export_html(inline_styles=True, code_format=form) + self._picture())

    def _picture(self) -> str:
        path = getattr(self._shown, "picture", None)
        try:
            data = base64.b64encode(path.read_bytes()).decode() if path else ""
        except OSError:
            return ""
        return f'<img src="data:image/png;base64,{data}" style="max-width:480px">' if data else ""
