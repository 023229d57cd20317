"""Paths to keys of a recipe: train.rounds, modifiers[0].c or modifiers.0.c, optimizer.critic.lr."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+|\[\d+\])*", re.ASCII)
_STEP = re.compile(r"\w+", re.ASCII)


def steps(path: str) -> list[str | int] | None:
    """The keys and indexes that a path consists of; None if it is not one."""
    if not _PATH.fullmatch(path) or len(path) > 500:
        return None
    return [int(step) if step.isdecimal() else step for step in _STEP.findall(path)]


def longest_key(keys: Container[str], path: Sequence[str | int]) -> tuple[str, list[str | int]]:
    """The longest of a mapping's keys that a path begins with, for keys may have dots ("generator.mapping"), and the rest of the
    path; "" and all of it where there is none."""
    for n in range(len(path), 0, -1):
        if (key := ".".join(map(str, path[:n]))) in keys:
            return key, list(path[n:])
    return "", list(path)
