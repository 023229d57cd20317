"""Ids of runs and sweeps: the time in UTC at which each was begun, which sort in the sequence in which they were."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

_FORM, _TICK = "%Y%m%d-%H%M%S-%f", timedelta(microseconds=100)
_STAMP = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]{4}")


def stamp(others: Iterable[str] = ()) -> str:
    """The time in UTC, for an id: "20261125-093015-0421", the last part in tenths of a millisecond. A clock may be set back, or
    stand still: then it is the tick after the latest of the others, so that `latest` stays what was begun last.

    Args:
        others: ids, or what begins with one; the rest of them is passed over.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    found = (match.group() for match in map(_STAMP.match, others) if match)
    for latest in sorted(found, reverse=True):
        with suppress(ValueError, OverflowError):  # no time, or the last of all: somebody else's folder
            now = max(now, datetime.strptime(f"{latest}00", _FORM) + _TICK)
            break
    return now.strftime(_FORM)[:-2]


def is_time(text: str) -> bool:
    """Tell whether a text is a time since 1970, in ISO 8601: MLflow has no earlier ones."""
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).timestamp() >= 0
    return False
