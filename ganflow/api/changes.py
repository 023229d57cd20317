"""Changes to a recipe in Python, as the commands' overrides."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganflow.errors import GanflowError

Changes = Mapping[str, Any] | Sequence[str]
"""Changes to a recipe: {"train.rounds": 200, "critic": {"use": "mlp"}}, or as typed for a command: ["train.rounds=200"]."""


def as_typed(changes: Changes) -> list[str]:
    """Changes as they are typed for a command.

    Raises:
        GanflowError: a value is none that a recipe can hold.
    """
    if isinstance(changes, str):
        raise GanflowError(f"changes: a mapping is wanted, or a list of texts: ['{changes[:50]}']")
    if not isinstance(changes, Mapping):
        return [str(change) for change in changes]
    return [key if key.startswith("~") else f"{key}={_value(key, value)}" for key, value in changes.items()]


def _value(key: str, value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)  # JSON is YAML, and its quotes keep text text
    except (TypeError, ValueError):
        what = f"a recipe holds no {type(value).__name__}"
        raise GanflowError(f"{key}: {what}; give a number, a text, a list or a mapping") from None


def _plain(value: Any) -> Any:
    """Numbers of numpy and torch, and paths, as JSON has them."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(type(value))


def metrics_typed(metrics: Sequence[str | Mapping[str, Any]]) -> list[str]:
    """Metrics as `--metric` has them: a name, or a mapping with its keys."""
    return [metric if isinstance(metric, str) else _value("metrics", dict(metric)) for metric in metrics]
