"""Image files as a run's data read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ganflow import resolved_recipe
from ganflow_layers.files import EXTENSIONS
from ganflow_layers.framing import Pixels

if TYPE_CHECKING:
    from ganflow import RunFolder


@dataclass(frozen=True)
class Reading:
    """Attributes:
    pixels: the meaning of the numbers in the files.
    extensions: of files that count.
    classes: number of classes of the field "source", where its files are label maps.
    """

    pixels: Pixels = field(default_factory=Pixels)
    extensions: tuple[str, ...] = EXTENSIONS
    classes: int | None = None


def reading_of(folder: RunFolder) -> Reading:
    """The keys of the run's data that say how its image files are read; the defaults where it has none."""
    data: dict[str, Any] = resolved_recipe(folder.recipe).get("data") or {}
    limits, background = data.get("range"), data.get("background")
    if not isinstance(background, str):  # no component that reads image files
        return Reading()
    pixels = Pixels((limits[0], limits[1]) if limits else None, background)
    return Reading(pixels, tuple(dict.fromkeys((*data.get("extensions", ()), *EXTENSIONS))), data.get("source_classes"))
