"""Pictures in a terminal, by textual-image."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

_log = logging.getLogger("ganflow")
WIDTH, HEIGHT = 100, 40  # cells of a picture, at most


def show_picture(path: Path, *, always: bool = False) -> bool:
    """Show a picture on stdout, where that is a terminal; returns whether it was.

    Args:
        always: in coloured half blocks where the terminal has no protocol for images (Kitty's, or Sixel).
    """
    if not (sys.__stdout__ is not None and sys.__stdout__.isatty() and sys.__stdin__ is not None and sys.__stdin__.isatty()):
        return False
    try:
        from ganflow.pictures.files import open_image

        with open_image(path) as image:
            return _drawn(image.convert("RGB"), always)
    except Exception as error:  # a terminal that answers oddly, or says that it has no columns, is no reason to fail
        _log.debug("%s cannot be shown: %s", path, error)
        return False


def _drawn(image: Image, always: bool) -> bool:
    from rich.console import Console

    renderable: Any = import_module("textual_image.renderable")  # asks the terminal what it can
    kind = renderable.Image
    if kind not in (renderable.SixelImage, renderable.TGPImage) and not always:
        return False
    console = Console(file=sys.__stdout__)
    width = min(WIDTH, console.width, round(HEIGHT * 2 * image.width / max(1, image.height)))
    console.print(kind(image, width=max(1, width), height="auto"))
    return True
