"""JSON lines: one file per run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from ganflow import TrackedRun, Tracker


class LinesTracker(Tracker):
    """Writes `name` in the run's folder, from its first line whenever the run begins or goes on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._file: TextIO | None = None

    def begin(self, run: TrackedRun) -> None:
        path = run.folder / self.name
        path.unlink(missing_ok=True)  # a link too, which is not followed
        self._file = path.open("x")
        self._write("begin", name=run.name, id=run.id, recipe=run.recipe)

    def values(self, round: int, time: float, values: Mapping[str, float]) -> None:
        finite = {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
        self._write("values", round=round, time=time, values=finite)

    def picture(self, round: int, path: Path) -> None:
        self._write("picture", round=round, path=f"{path.parent.name}/{path.name}")

    def end(self, status: str) -> None:
        self._write("end", status=status)
        if self._file:
            self._file.close()

    def _write(self, event: str, **what: Any) -> None:
        assert self._file, "it has not begun"
        self._file.write(json.dumps({"event": event, **what}) + "\n")
        self._file.flush()
