"""Keys that all components share which read image files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from ganflow import key, settings
from ganflow_layers.files import EXTENSIONS

if TYPE_CHECKING:
    from ganflow_layers.framing import Pixels

GROUNDS = ("white", "black", "grey")
CHANNELS = "1: grey, 2: grey and alpha, 3: colour, 4: colour and alpha; images are converted"


@settings
class EncodedImages:
    """Images as files have them, wherever these are: what their numbers and their transparency mean."""

    path: str = key(doc="the file or folder")
    range: list[float] = key([], "numbers of black and white, [0, 4095] of 12 bits in files of 16; empty: those of a file's type")
    background: str = key("white", "what transparent pixels lie over: white, black, grey, or a colour as '#8080ff'")

    def __post_init__(self) -> None:
        if self.range and (len(self.range) != 2 or self.range[0] == self.range[1]):
            raise ValueError("range: two different numbers, those of black and of white: [0, 4095]")
        if self.background not in GROUNDS and not re.fullmatch("#[0-9a-fA-F]{6}", self.background):
            raise ValueError(f"background: {', '.join(GROUNDS)}, or red, green and blue as '#8080ff'")

    def check_background(self, *channels: int) -> None:
        """Refuse a background of images whose transparency is a channel of theirs.

        Raises:
            ValueError: it is not the default, and all images have so many channels.
        """
        if self.background != "white" and all(n in (2, 4) for n in channels):
            raise ValueError("background: with 2 or 4 channels transparency is one of them, and nothing lies under it")

    @property
    def pixels(self) -> Pixels:
        """The meaning of the numbers in the files."""
        from ganflow_layers.framing import Pixels

        return Pixels((self.range[0], self.range[1]) if self.range else None, self.background)


@settings
class ImageFiles(EncodedImages):
    """Image files below a folder: which of them count, and what their numbers, their transparency and their pages mean."""

    path: str = key(doc="the folder")
    frames: Literal["first", "all"] = key("first", "of files with several pages or frames; all: an image each")
    extensions: list[str] = key(list(EXTENSIONS), "files that count, any case")
