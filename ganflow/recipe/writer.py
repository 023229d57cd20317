"""Plain data to YAML that our reader, and any other, reads as the same data."""

from __future__ import annotations

from typing import Any

import yaml

from ganflow.printing import escaped
from ganflow.recipe.reader import scalar


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if not isinstance(scalar(text), str):
        style = "'"  # PyYAML quotes what it would not read as text itself; to it, 5e-5 is text
    elif escaped(text, keep="\n\t") != text:
        style = '"'  # the only style with escapes, which `escaped` writes
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


def _list(dumper: _Dumper, items: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=not any(isinstance(i, dict) for i in items))


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


class _Flow(_Dumper):
    """Everything on one line."""


_Flow.add_representer(list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True))


def to_yaml(data: Any) -> str:
    """One key per line, in the order of `data`; lists of single values on one line."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    return escaped(text, keep="\n\t")


def to_flow(value: Any) -> str:
    """A value on one line, as an override has it: 0.0003, {use: hinge}."""
    text: str = yaml.dump([value], Dumper=_Flow, sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=True)
    return escaped(text.strip()[1:-1], keep="\n\t")
