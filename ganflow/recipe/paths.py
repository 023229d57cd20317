"""Paths to keys of a recipe: train.rounds, modifiers[0].c or modifiers.0.c, optimizer.critic.lr."""

from __future__ import annotations

import re

_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+|\[\d+\])*", re.ASCII)
_STEP = re.compile(r"\w+", re.ASCII)


def steps(path: str) -> list[str | int] | None:
    """The keys and indexes that a path consists of; None if it is not one."""
    if not _PATH.fullmatch(path) or len(path) > 500:
        return None
    return [int(step) if step.isdecimal() else step for step in _STEP.findall(path)]
