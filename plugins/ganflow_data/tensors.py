"""Tensors from a .npy or .safetensors file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ganflow_layers.split import split
from torch import Tensor

from ganflow import GanflowError, TensorData

CHANNELS = (1, 2, 3, 4)  # what a dimension of channels may measure when the layout has to be told
DIMENSIONS = {"nchw": 4, "nhwc": 4, "nhw": 3, "nd": 2}
SLACK = 1e-3  # rounding of half-precision pixels


def tensor_file(path: str, fields: dict[str, str], layout: str, range: str, held_out: float) -> TensorData:
    """One field per tensor: images (channels, height, width) in [-1, 1], or points (d,).

    Raises:
        GanflowError: the file is missing, damaged or a pickle, or its tensors do not fit `fields`, `layout` or `range`.
    """
    file = Path(path).expanduser()
    found = read(file)
    if not found:
        raise GanflowError(f"data.path: {file} holds no tensors")
    wanted = fields or ({"real": next(iter(found))} if len(found) == 1 else {name: name for name in found})
    for field, name in wanted.items():
        if name not in found:
            raise GanflowError(f"data.fields: {field}: no tensor {name!r} in {file}, which holds {', '.join(found)}")
    ready = {field: prepare(found[name], layout, range, _says(file, name)) for field, name in wanted.items()}
    lengths = {field: len(t) for field, t in ready.items()}
    if len(set(lengths.values())) > 1:
        raise GanflowError(f"data.path: the tensors of {file} differ in length: {lengths}; choose with data.fields")
    train, kept = split(next(iter(lengths.values())), held_out, str(file))
    train_part, kept_part = ({field: t[rows] for field, t in ready.items()} for rows in (train, kept))
    return TensorData(f"tensors ({file.name})", train_part, kept_part, source=str(file))


def _says(file: Path, name: str) -> str:
    return f"data.path: {file}" + (f", tensor {name!r}" if name else "")


def read(file: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; the one of a .npy file is called ''."""
    if not file.is_file():
        raise GanflowError(f"data.path: {file} is not a file" if file.exists() else f"data.path: there is no file {file}")
    try:
        if file.suffix == ".npy":
            return {"": _tensor(np.load(file, allow_pickle=False))}
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
    except Exception as error:  # safetensors' and numpy's errors have no base in common
        raise GanflowError(f"data.path: cannot read {file}: {error}") from error
    raise GanflowError(f"data.path: {file} is neither .npy nor .safetensors; pickles (.pt, .pkl) are never read")


def _tensor(array: np.ndarray) -> Tensor:
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.ascontiguousarray(native))


def prepare(tensor: Tensor, layout: str, range: str, where: str) -> Tensor:
    """float32, images (n, C, H, W) in [-1, 1], points (n, d); `where` opens the errors."""
    if layout == "auto":
        layout = _told(tensor, where)
    if tensor.dim() != DIMENSIONS[layout]:
        raise GanflowError(f"{where} has shape {tuple(tensor.shape)}; layout {layout} has {DIMENSIONS[layout]} dimensions")
    if not (tensor.is_floating_point() or (tensor.dtype == torch.uint8 and layout != "nd")):
        raise GanflowError(f"{where} is {tensor.dtype}; images are uint8 or floating-point, points are floating-point")
    if 0 in tensor.shape:
        raise GanflowError(f"{where} is empty: shape {tuple(tensor.shape)}")
    values = tensor.float()
    bad = (~values.flatten(1).isfinite().all(1)).nonzero().flatten().tolist()
    if bad:
        raise GanflowError(f"{where} has NaN or infinite values in {len(bad)} examples, the first at index {bad[0]}")
    if layout == "nd":
        return values
    values = values / 127.5 - 1 if tensor.dtype == torch.uint8 else _signed(values, range, where)
    if layout == "nhw":
        return values[:, None].contiguous()
    return (values.permute(0, 3, 1, 2) if layout == "nhwc" else values).contiguous()


def _signed(values: Tensor, range: str, where: str) -> Tensor:
    low, high = float(values.min()), float(values.max())
    if low < (-1 if range == "signed" else 0) - SLACK or high > 1 + SLACK:
        raise GanflowError(
            f"{where} has values from {low:.4g} to {high:.4g}; images are in [-1, 1] (range: signed) or [0, 1] (range: unit)"
        )
    return (values if range == "signed" else values * 2 - 1).clamp(-1, 1)


def _told(tensor: Tensor, where: str) -> str:
    shape = tuple(tensor.shape)
    if len(shape) == 4:
        if shape[1] in CHANNELS:
            return "nchw"
        if shape[3] in CHANNELS:
            return "nhwc"
    elif len(shape) in (2, 3):
        return "nd" if len(shape) == 2 else "nhw"
    raise GanflowError(f"{where} has shape {shape}; wanted (n, C, H, W), (n, H, W, C), (n, H, W) or (n, d): see data.layout")
