"""What this machine has for this process, and how busy it is."""

from __future__ import annotations

import math
import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """Cores that this process may use: its affinity, and what a container's limit leaves of it."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(limit) for limit in _limits(_GROUPS, _own_group()))]))


def load() -> tuple[float, int]:
    """How many processes wanted a core over the last minute, on average, and how many cores the machine has."""
    average = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return average, os.cpu_count() or 1


def _own_group() -> str:
    """The path of this process's control group (version 2)."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ""
    return next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")


def _limits(root: Path, group: str) -> list[float]:
    """The limits in cores of a control group and of those above it, of either version of the interface."""
    found = []
    for folder in [root / group, *(root / group).parents]:
        if not folder.is_relative_to(root):
            break
        found.append(_ratio(_read(folder / "cpu.max").split()))
    found.append(_ratio([_read(root / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period")]))
    return [limit for limit in found if limit]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _ratio(words: list[str]) -> float | None:
    """Quota over period; None where there is no limit ("max", −1) or nothing that can be read."""
    return int(words[0]) / int(words[1]) if len(words) == 2 and all(word.isdigit() and word != "0" for word in words) else None
