"""A checkpoint is one safetensors file: every tensor by name, the plain values as JSON in its header, and a digest of
both. Nothing that is read can run code."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ganflow.errors import GanflowError
from ganflow.files import open_regular, replacing
from ganflow.runs.record import Best, mistyped

FORMAT = 1
BEST = "best.safetensors"
Tensors = dict[str, Tensor]


class Damaged(Exception):
    """A checkpoint file is not what was written."""

    def __init__(self, path: Path, how: str) -> None:
        self.path = path
        super().__init__(f"{path.name} {how}")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read, and is whole.

    Attributes:
        digest: of tensors and plain values, by which it is known again.
    """

    path: Path
    tensors: Tensors
    plain: dict[str, Any]
    digest: str = ""

    @property
    def round(self) -> int:
        played: int = self.plain["round"]
        return played


def read(path: Path) -> Checkpoint:
    """Read and verify a checkpoint; raises Damaged, saying how, and FileNotFoundError where there is none."""
    try:
        open_regular(path).close()  # safetensors would wait for a pipe
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise
    except (SafetensorError, ValueError, RuntimeError, OSError) as error:
        raise Damaged(path, f"cannot be read ({error})") from None
    if header.get("digest") != _digest(tensors, header.get("plain", "")):
        raise Damaged(path, "does not match its digest")
    plain = _plain(path, header.get("plain", ""))
    if plain["format"] > FORMAT:
        raise Damaged(path, f"is of format {plain['format']}, of a newer ganflow (this one reads {FORMAT}): update ganflow")
    if plain.get("exported"):
        tensors = {f"game.generator.{name}": t for name, t in tensors.items()}
    return Checkpoint(path, tensors, plain, header["digest"])


def _plain(path: Path, text: str) -> dict[str, Any]:
    """The plain values of a header, which somebody may have written by hand; raises Damaged where they are none."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        raise Damaged(path, "has a header that is no JSON") from None
    if not isinstance(plain, dict):
        raise Damaged(path, "has a header that is no mapping")
    for name, most in (("format", 2**31), ("round", 2**62)):
        value = plain.get(name)
        if type(value) is not int or not 0 <= value < most:
            raise Damaged(path, f"has a header whose '{name}' is no number of that kind")
    if problem := mistyped("best", plain.get("best") or None, Best | None):
        raise Damaged(path, f"has a header that is damaged ({problem})")
    return plain


def write_weights(path: Path, network: torch.nn.Module, round: int) -> None:
    """Write a generator's weights, as `read` reads them.

    Raises:
        OSError: they cannot be written.
    """
    tensors = {name: t.detach().clone().contiguous() for name, t in network.state_dict().items()}
    plain = json.dumps({"format": FORMAT, "round": round, "exported": True})
    header = {"format": "pt", "digest": _digest(tensors, plain), "plain": plain}
    try:
        save_file(tensors, path, header)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def stored(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder by their rounds, without the best one."""
    return sorted(folder.glob(f"round-{8 * '[0-9]'}.safetensors"))


def round_of(path: Path) -> int:
    """The round of a checkpoint, by its name."""
    return int(path.stem.removeprefix("round-"))


def newest(folder: Path) -> tuple[Checkpoint | None, list[Damaged]]:
    """The newest checkpoint that is whole (the best one, where no other is), and what was wrong with newer ones."""
    wrong: list[Damaged] = []
    for path in (*sorted(folder.glob("round-*.safetensors"), reverse=True), folder / BEST):
        try:
            return read(path), wrong
        except FileNotFoundError:  # removed by the run's own writer in the meantime, or there is no best one
            continue
        except Damaged as error:
            wrong.append(error)
    return None, wrong


def _digest(tensors: Tensors, plain: str) -> str:
    digest = hashlib.sha256(plain.encode())
    for name in sorted(tensors):
        t = tensors[name]
        digest.update(f"{name} {t.dtype} {tuple(t.shape)}".encode())
        if t.numel():
            digest.update(t.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Writer:
    """Writes checkpoints in a thread: training waits only for a copy into memory that is used again and again.

    A file appears under its name when all of it is on the disk. What a writer that was killed left unfinished is removed
    by the next one; there must be only one in a folder at a time.

    Args:
        folder: where the files go.
        keep: how many of the newest stay.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self._buffers: Tensors = {}
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        # safetensors' own while it writes; earlier versions' of ganflow
        for unfinished in (*folder.glob(".*.safetensors.*"), *folder.glob(".tmp??????"), *folder.glob("*.partial")):
            unfinished.unlink(missing_ok=True)

    def write(self, tensors: Tensors, plain: dict[str, Any], *, best: bool = False) -> Path:
        """Copy the tensors and write them as the checkpoint of `plain["round"]`, and as the best one if it is.

        Raises:
            GanflowError: the checkpoint before could not be written (a full disk). Older ones are intact.
        """
        self.wait()
        text = json.dumps({"format": FORMAT, **plain})
        for name, t in tensors.items():
            buffer = self._buffers.get(name)
            if buffer is None or buffer.shape != t.shape or buffer.dtype != t.dtype:
                self._buffers[name] = torch.empty(t.shape, dtype=t.dtype)
            self._buffers[name].copy_(t)
        snapshot = {name: self._buffers[name] for name in tensors}
        path = self.folder / f"round-{plain['round']:08d}.safetensors"
        self._thread = threading.Thread(target=self._write, args=(snapshot, text, path, best), name="checkpoint")
        self._thread.start()
        return path

    def wait(self) -> None:
        """Until the last checkpoint is on disk; raises GanflowError where it could not be written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            if not isinstance(error, OSError):
                raise error
            why = error.strerror or error
            raise GanflowError(f"cannot write a checkpoint to {self.folder}: {why}; earlier ones are intact") from error

    def _write(self, tensors: Tensors, text: str, path: Path, best: bool) -> None:
        try:
            with replacing(path) as scratch:
                try:
                    save_file(tensors, scratch, {"plain": text, "digest": _digest(tensors, text)})
                except SafetensorError as error:  # its word for a failed write
                    raise OSError(str(error)) from None
                if best:
                    self._keep_as_best(scratch)
            for old in sorted(self.folder.glob("round-*.safetensors"))[: -self.keep]:
                old.unlink(missing_ok=True)
        except Exception as error:  # raised in the training thread, by `wait`
            self._error = error

    def _keep_as_best(self, file: Path) -> None:
        """Give the file a second name, or copy it where the file system has no links."""
        with replacing(self.folder / BEST) as twin:
            try:
                os.link(file, twin)
            except OSError:
                shutil.copyfile(file, twin)
