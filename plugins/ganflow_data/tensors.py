"""Tensors from a .npy or .safetensors file."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from ganflow_layers.files import RESIDENT_BYTES
from ganflow_layers.split import split
from torch import Tensor

from ganflow import GanflowError, StoredExamples, TensorData, check_room, open_regular, print_lines, user_path

CHANNELS = (1, 2, 3, 4)  # what a dimension of channels may measure when the layout has to be told
DIMENSIONS = {"nchw": 4, "nhwc": 4, "nhw": 3, "nd": 2}
LABEL, SUFFIXES = "label", (".npy", ".npz", ".safetensors")
SLACK = 1e-3  # rounding of half-precision pixels
PIECE_BYTES = 2**25  # that are checked at once, in their type
CONTENT_BYTES = 2**30
"""Files up to here are fingerprinted by every number."""


def tensor_file(
    path: str, fields: dict[str, str], labels: str | None, classes: list[str], layout: str, range: str, held_out: float,
    budget: int = RESIDENT_BYTES,
) -> TensorData:  # fmt: skip
    """One field per tensor: images (channels, height, width) in [-1, 1], or points (d,); and "label", where there are labels.

    Args:
        budget: bytes that they may take as float32. More stay in the file, mapped, in their type, until they are drawn.

    Raises:
        GanflowError: the file is missing, damaged or a pickle, or its tensors do not fit the keys.
    """
    file = user_path("data.path", path)
    found = read(file)
    if not found:
        raise GanflowError(f"data.path: {file} holds no tensors")
    if file.suffix == ".npz" and {"samples", "z"} <= found.keys() and not fields:  # of ganflow sample
        fields = {"real": "samples"}
        if LABEL in found and len(found[LABEL].unique()) > 1:
            labels = labels or LABEL
    numbers = labels_in(found, file, labels) if labels is not None else None
    if not found:
        raise GanflowError(f"data.path: {file} holds nothing but the labels")
    wanted = fields or ({"real": next(iter(found))} if len(found) == 1 else {name: name for name in found})
    for field, name in wanted.items():
        if name not in found:
            close = difflib.get_close_matches(name, found, 1)
            meant = f"; did you mean {close[0]!r}?" if close else f", which holds {', '.join(found)}"
            raise GanflowError(f"data.fields: {field}: no tensor {name!r} in {file}{meant}")
    ready = {field: prepare(found[name], layout, range, _says(file, name)) for field, name in wanted.items()}
    lengths = {field: len(t) for field, t in ready.items()}
    if len(set(lengths.values())) > 1:
        raise GanflowError(f"data.path: the tensors of {file} differ in length: {lengths}; choose with data.fields")
    n, names = next(iter(lengths.values())), {}
    if numbers is not None:
        if LABEL in ready:
            raise GanflowError(f"data.fields: '{LABEL}' is the field of data.labels; call the tensor {wanted[LABEL]!r} otherwise")
        numbers, names[LABEL] = classed(numbers, classes, n, f"data.labels: {labels}")
    small = 4 * sum(t.shape.numel() for t in ready.values()) <= budget
    parts: list[dict[str, Tensor | StoredExamples]] = [{}, {}]
    for part, rows in zip(parts, split(n, held_out, str(file)), strict=True):
        for field, t in ready.items():
            part[field] = t[rows] if small else StoredExamples(t.stored, rows, t.make)
        if numbers is not None:
            part[LABEL] = numbers[rows]
    digest = digest_of_size(file, wanted, layout, range) if file.stat().st_size > CONTENT_BYTES else None
    return FileData(f"tensors ({file.name})", *parts, source=str(file), classes=names, digest=digest)


class FileData(TensorData):
    """Tensors of a file; `digest` is the fingerprint where it is too large to be read for one."""

    def __init__(self, *arguments: Any, digest: str | None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._digest = digest

    def fingerprint(self) -> str:
        return self._digest or super().fingerprint()


def digest_of_size(file: Path, *treatment: object) -> str:
    """A short digest of a file's name, size and time, and of what is done to it."""
    about = file.stat()
    return hashlib.sha256(repr((file.name, about.st_size, about.st_mtime_ns, treatment)).encode()).hexdigest()[:16]


def labels_in(found: dict[str, Tensor], file: Path, labels: str) -> Tensor:
    """The tensor of that name, taken out of what was found in the file, or the one of another file."""
    if labels and labels in found:
        return found.pop(labels)
    other = user_path("data.labels", labels)
    if other.suffix not in SUFFIXES:
        names = f"which holds {', '.join(found)}" if any(found) else "whose one tensor has no name"
        raise GanflowError(f"data.labels: {labels!r} is no tensor in {file}, {names}; nor is it a {' or '.join(SUFFIXES)} file")
    tensors = read(other, "data.labels")
    if len(tensors) != 1:
        raise GanflowError(f"data.labels: {other} holds {len(tensors)} tensors ({', '.join(tensors)}), not the labels alone")
    return next(iter(tensors.values()))


def classed(labels: Tensor, names: list[str], n: int, where: str) -> tuple[Tensor, list[str]]:
    """Labels as int64 (n,) between 0 and the number of classes, and their names: those that are known, or else the numbers that
    there are. `where` opens the errors."""
    labels = labels[:, 0] if labels.dim() == 2 and labels.shape[1] == 1 else labels
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool or labels.dim() != 1:
        raise GanflowError(f"{where} has {labels.dtype} of shape {tuple(labels.shape)}; labels are whole numbers of shape ({n},)")
    if len(labels) != n:
        raise GanflowError(f"{where} has {len(labels)} labels for {n} examples")
    labels = labels.long()
    there = labels.unique().tolist()
    if there[0] < 0:
        raise GanflowError(f"{where} has {int((labels < 0).sum())} negative labels; classes are 0, 1, …: leave such examples out")
    if len(there) < 2:
        raise GanflowError(f"{where} has only the label {there[0]}; two classes are needed: leave data.labels out")
    if not names:
        return torch.searchsorted(torch.tensor(there), labels), [str(label) for label in there]
    if there[-1] >= len(names):
        raise GanflowError(f"{where} has the label {there[-1]}, and data.classes names {len(names)}, from 0 to {len(names) - 1}")
    return labels, names


def _says(file: Path, name: str) -> str:
    return f"data.path: {file}" + (f", tensor {name!r}" if name else "")


def read(file: Path, key: str = "data.path") -> dict[str, Tensor]:
    """The tensors of a file by name; the one of a .npy file is called ''. `key` opens the errors."""
    try:
        open_regular(file).close()  # what reads it would wait for a pipe
    except FileNotFoundError:
        raise GanflowError(f"{key}: there is no file {file}") from None
    except OSError as error:
        what = "is not a file" if file.is_dir() else f"cannot be read: {error.strerror}"
        raise GanflowError(f"{key}: {file} {what}") from None
    try:
        if file.suffix == ".npy":
            return {"": _tensor(np.load(file, mmap_mode="c", allow_pickle=False))}
        if file.suffix == ".npz":
            with ZipFile(file) as packed:  # a small file may hold more than any memory does
                unpacked = sum(each.file_size for each in packed.infolist())
            check_room(unpacked, f"{key}: {file}, unpacked,", "keep its arrays in .npy files, which are not read as a whole")
            with np.load(file, allow_pickle=False) as arrays:
                return {name: _tensor(arrays[name]) for name in arrays}
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
    except GanflowError:
        raise
    except MemoryError as error:  # for an array that the file says it holds
        raise GanflowError(f"{key}: cannot read {file}: {error}") from None
    except Exception as error:  # safetensors' and numpy's errors have no base in common
        why, *_ = str(error).splitlines() or [type(error).__name__]  # the others of numpy's advise to trust the file
        raise GanflowError(f"{key}: cannot read {file}: {why}") from error
    raise GanflowError(f"{key}: {file} is neither .npy, .npz nor .safetensors; pickles (.pt, .pkl) are never read")


def _tensor(array: np.ndarray) -> Tensor:
    """The array, mapped if it is; numbers in the other sequence of bytes, and single ones, are read."""
    if not array.dtype.isnative:
        check_room(array.nbytes, "what has its bytes in the other sequence", 'write it with .astype(dtype.newbyteorder("="))')
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(native if native.ndim else np.array(native))


def prepare(tensor: Tensor, layout: str, range: str, where: str) -> StoredExamples:
    """Images (n, C, H, W) in [-1, 1], points (n, d), float32 when they are asked for; `where` opens the errors."""
    if layout == "auto":
        layout = _guessed_layout(tensor, where)
    if tensor.dim() != DIMENSIONS[layout]:
        raise GanflowError(f"{where} has shape {tuple(tensor.shape)}; layout {layout} has {DIMENSIONS[layout]} dimensions")
    if not (tensor.is_floating_point() or (tensor.dtype == torch.uint8 and layout != "nd")):
        raise GanflowError(f"{where} is {tensor.dtype}; images are uint8 or floating-point, points are floating-point")
    if 0 in tensor.shape:
        raise GanflowError(f"{where} is empty: shape {tuple(tensor.shape)}")
    if tensor.dtype != torch.uint8:
        range = _checked_range(tensor, layout != "nd", range, where)
    return StoredExamples(tensor, None, maker(layout, range, tensor.dtype == torch.uint8))


def maker(layout: str, range: str, eight_bits: bool) -> Callable[[Tensor], Tensor]:
    """A function from rows of a tensor to float32 examples, on any device."""

    def make(rows: Tensor) -> Tensor:
        values = rows.float()
        if layout == "nd":
            return values
        if eight_bits:  # divided by a tensor: a GPU would multiply by a rounded 1 / 127.5
            values = values / torch.full((), 127.5, device=values.device) - 1
        else:
            values = (values if range == "signed" else values * 2 - 1).clamp(-1, 1)
        if layout == "nhw":
            return values[:, None].contiguous()
        return (values.permute(0, 3, 1, 2) if layout == "nhwc" else values).contiguous()

    return make


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    """All rows in their sequence, float32."""
    several = max(1, PIECE_BYTES // max(1, tensor[0].nbytes))
    return (rows.float() for rows in tensor.split(several))


def _checked_range(tensor: Tensor, images: bool, range: str, where: str) -> str:
    """The range of images, auto decided. Refuse NaN, infinity and images out of it."""
    bad: list[int] = []
    low, high, first = float("inf"), float("-inf"), 0
    for values in _pieces(tensor):
        finite = values.flatten(1).isfinite().all(1)
        bad += (first + (~finite).nonzero().flatten()).tolist()
        first += len(values)
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if bad:
        raise GanflowError(f"{where} has NaN or infinite values in {len(bad)} examples, the first at index {bad[0]}")
    if images and range == "auto":
        range = "signed" if low < -SLACK else "unit"
        if range == "unit" and high <= 1 + SLACK:
            taken = "taken as [0, 1]; data.range=signed takes it as [-1, 1]"
            print_lines(f"ganflow: {where} has no number below 0: {taken}", err=True)
    if images and (low < (-1 if range == "signed" else 0) - SLACK or high > 1 + SLACK):
        raise GanflowError(
            f"{where} has values from {low:.4g} to {high:.4g}; images are in [-1, 1] (data.range=signed) or [0, 1] "
            "(data.range=unit)"
        )
    return range


def _guessed_layout(tensor: Tensor, where: str) -> str:
    shape = tuple(tensor.shape)
    if len(shape) == 4:
        if shape[1] in CHANNELS:
            return "nchw"
        if shape[3] in CHANNELS:
            return "nhwc"
    elif len(shape) in (2, 3):
        return "nd" if len(shape) == 2 else "nhw"
    wanted = "wanted (n, C, H, W), (n, H, W, C), (n, H, W) or (n, d)"
    if len(shape) == 4:  # the channels are most likely the fewer
        layout, channels = ("nchw", shape[1]) if shape[1] <= shape[3] else ("nhwc", shape[3])
        wanted += f"; if it is images of {channels} channels: data.layout={layout}"
    raise GanflowError(f"{where} has shape {shape}; {wanted}")
