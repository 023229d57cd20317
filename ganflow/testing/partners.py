"""Names that callers of the suite and its checks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganflow.plugins import Component

Partner = Component | tuple[Component, Mapping[str, Any]]
"""A component, and values of its keys where the defaults will not do."""


class RunsEagerly(UserWarning):
    """Rounds with a component cannot be compiled, and why."""


class RefusesAll(AssertionError):
    """A component accepts none of the data that were tried, beside these partners."""
