"""What took long to compute, kept in the user's cache folder: learnt encoders and sentences' vectors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ganflow.errors import GanflowError
from ganflow.pictures import replacing

Tensors = dict[str, Tensor]


def folder() -> Path:
    """$GANFLOW_CACHE, else ganflow/ in the user's cache folder."""
    given, usual = os.environ.get("GANFLOW_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(given) if given else Path(usual or "~/.cache").expanduser() / "ganflow"


def key(*parts: str) -> str:
    """A short digest of texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def cached(name: str, key: str, make: Callable[[], Tensors]) -> Tensors:
    """The tensors that were kept under this name and key; else those that `make` makes, which are kept from now on. A file that
    cannot be read is made anew, and where nothing can be written, nothing is kept."""
    file = folder() / f"{name}-{key}.safetensors"
    try:
        return load(file.read_bytes())
    except (OSError, SafetensorError):
        made = make()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as scratch:
            scratch.write_bytes(save({name: t.contiguous() for name, t in made.items()}))
    except (OSError, GanflowError):
        pass
    return made
