"""Names of an export's arguments in messages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Names of the format, the path, the repository to push to, what replaces an earlier export, and what keeps others out."""

    format: str
    path: str
    push: str
    force: str
    private: str


COMMAND = Options("--to", "-o", "--push", "--force", "--private")
PYTHON = Options("format", "path", "push", "force=True", "private=True")
