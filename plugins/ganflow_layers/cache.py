"""Results that took long to compute, kept in the user's cache folder: learnt encoders and classifiers, sentences' vectors."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ganflow import GanflowError, replacing_file

Tensors = dict[str, Tensor]
SEAL = "ganflow.seal"


def folder() -> Path:
    """$GANFLOW_CACHE, else ganflow/ in the user's cache folder."""
    chosen, usual = os.environ.get("GANFLOW_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(chosen) if chosen else Path(usual or "~/.cache").expanduser() / "ganflow"


def cache_key(*parts: str) -> str:
    """A short digest of texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def cached(name: str, key: str, make: Callable[[], Tensors]) -> Tensors:
    """The tensors that were kept under this name and key; else those that `make` makes, which are kept from now on. A file that
    cannot be read, was changed since it was written, or was written for something else is made anew; a folder that cannot be
    written is logged once, and nothing is kept."""
    file = folder() / f"{name}-{key}.safetensors"
    with suppress(OSError, SafetensorError):
        kept = load(file.read_bytes())
        if torch.equal(kept.pop(SEAL, torch.empty(0)), seal(name, key, kept)):
            return kept
    made = {tensor: t.contiguous() for tensor, t in make().items()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(file) as scratch:
            scratch.write_bytes(save({**made, SEAL: seal(name, key, made)}))
    except (OSError, GanflowError) as error:
        _warn_unwritable(file.parent, str(error))
    return made


@cache
def _warn_unwritable(folder: Path, why: str) -> None:
    logging.getLogger("ganflow").warning("what took long to compute is not kept in %s: %s; set GANFLOW_CACHE", folder, why)


def seal(name: str, key: str, tensors: Tensors) -> Tensor:
    """A digest of what a file is for and of all that it holds, (32,) uint8: kept beside the tensors."""
    digest = hashlib.sha256(f"{name}\0{key}".encode())
    for tensor in sorted(tensors):
        t = tensors[tensor].contiguous()
        digest.update(f"{tensor}{tuple(t.shape)}{t.dtype}".encode())
        digest.update(t.flatten().view(torch.uint8).numpy().data)
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
