"""A line about data, for the beginning of a run: how many examples, of which shape, with which classes, and what was left out."""

from __future__ import annotations

from collections.abc import Collection

from ganflow.contract.data import Data, Field
from ganflow.printing import plural

NAMED = 4
"""Classes that are counted one by one."""


def data_line(data: Data, read: Collection[str] = (), *, free: bool = False) -> str:
    """ "images (plain): 24 to train on, 3 held out; 80×80, 3 channels; 2 left out".

    Args:
        read: the fields that the training reads.
        free: the recipe leaves it open whether its networks get classes, and they could.
    """
    fields, held_out = data.fields, max(map(len, data.held_out.values()), default=0)
    count = "an unknown number" if data.size is None else f"{data.size:,}"
    several = len({field.shape for field in fields.values() if field.kind != "class"}) > 1
    parts = [f"{count}{' points' if data.main.kind == 'points' else ''} to train on, {held_out:,} held out"]
    for name, field in fields.items():
        if field.kind == "class":
            parts.append(_classes(name, field, data.size, ignored=free and name not in read))
        elif several or field is data.main:
            parts.append(f"{name} {_shape(field)}" if several else _shape(field))
    if data.skipped:
        parts.append(f"{len(data.skipped):,} left out")
    return f"{data.name}: {'; '.join(parts)}"


def _shape(field: Field) -> str:
    if field.is_image:
        channels, height, width = field.shape
        return f"{width}×{height}, {plural(channels, 'channel')}"
    return f"{'×'.join(map(str, field.shape))} {'number' if field.shape == (1,) else 'numbers'} each"


def _classes(name: str, field: Field, size: int | None, ignored: bool) -> str:
    counted = zip(field.classes, field.frequencies or (), strict=False)
    each = [f"{one} {round(share * size):,}" for one, share in counted] if size else list(field.classes)
    shown = f" ({', '.join(each)})" if len(each) <= NAMED else ""
    return f"{len(field.classes)} classes{shown}" + (f", not used (condition={name} takes them)" if ignored else "")
