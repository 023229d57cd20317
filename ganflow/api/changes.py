"""Changes to a recipe in Python, as the commands' overrides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganflow.errors import GanflowError

Changes = Mapping[str, Any] | str | Sequence[str]
"""Changes to a recipe: {"train.rounds": 200, "critic": {"use": "mlp"}}, or as typed for a command: "train.rounds=200", or several
of these in a list."""


def as_typed(changes: Changes) -> list[str]:
    """Changes as one types them for a command.

    Raises:
        GanflowError: they are none, or a value is none that a recipe can hold.
    """
    if isinstance(changes, Mapping):
        return [_change(key, value) for key, value in changes.items()]
    listed = [changes] if isinstance(changes, str) else changes
    if not isinstance(listed, Sequence) or not all(isinstance(change, str) for change in listed):
        forms = 'a mapping is wanted, {"train.rounds": 5}, or texts, ["train.rounds=5"]'
        raise GanflowError(f"changes: {forms}, not {changes!r:.60}")
    return list(listed)


def metrics_typed(metrics: Sequence[str | Mapping[str, Any]]) -> list[str]:
    """Metrics as `--metric` has them: a name, or a mapping with its keys."""
    return [metric if isinstance(metric, str) else _value("metrics", dict(metric)) for metric in metrics]


def _change(key: Any, value: Any) -> str:
    if not isinstance(key, str):
        raise GanflowError(f'changes: {key!r:.60} is no key of a recipe; write it as text: "train.rounds"')
    return key if key.startswith("~") else f"{key}={_value(key, value)}"


def _value(key: str, value: Any) -> str:
    from ganflow.recipe.yaml import to_flow

    try:
        made = _plain(value)
        text = to_flow(made)
        return json.dumps(made, ensure_ascii=False) if text.startswith("'") else text  # the quotes that a shell leaves
    except (TypeError, ValueError, RecursionError):
        what = f"a recipe holds no {type(value).__name__}"
        raise GanflowError(f"{key}: {what}; give a number, a text, a list or a mapping") from None


def _plain(value: Any) -> Any:
    """A value as YAML has it, numbers of numpy and torch, paths and runs, too; raises TypeError where it has none."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(path := getattr(value, "path", value), Path):  # of a run that was opened
        return str(path)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(type(value))
