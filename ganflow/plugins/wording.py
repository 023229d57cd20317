"""Words shared by the messages about plugins."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'; did you mean …?' where something known is close to `word`, otherwise nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def origin(distribution: str, version: str) -> str:
    """'gf-acme 1.2'; the distribution of a plugin that was not installed as a package is not known."""
    return f"{distribution} {version}".strip() or "not installed as a package"
