"""A run's generator for other programs: `TrainedRun.export`, through which `ganflow export` goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.errors import GanflowError
from ganflow.export.options import PYTHON, Options

if TYPE_CHECKING:
    from ganflow.export.tried import Exported
    from ganflow.runs.folders import RunFolder


def export(
    folder: RunFolder,
    format: str,
    path: Path | None = None,
    checkpoint: str = "last",
    options: Options = PYTHON,
    *,
    force: bool = False,
    push: str | None = None,
    private: bool = False,
) -> tuple[Exported, str | None]:
    """Export a run; returns what was written, and the address to which it was sent. Other arguments as of `TrainedRun.export`.

    Args:
        options: what messages call them.

    Raises:
        GanflowError: as `TrainedRun.export`.
    """
    from ganflow.export import hub
    from ganflow.export.formats import check_format, check_path, export_run

    check_format(format, bool(push), options)
    if push and format != "hub":
        what = f"{options.format} hub, not {options.format} {format}"
        raise GanflowError(f"{options.push} sends to the Hugging Face hub: {what}")
    if private and not push:
        raise GanflowError(f"{options.private} goes with {options.push} NAME/REPO")
    if push:
        hub.check_repository(push, options)
    to = path or Path(f"{folder.name}-{format}")
    check_path(to, force, options)
    exported = export_run(folder, format, to, checkpoint, force, push, options)
    return exported, hub.push(to, push, private=private, force=force, options=options) if push else None
