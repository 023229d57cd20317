"""Files that `ganflow translate` reads and writes: images with their pages, and numbers in .npy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from ganflow_layers.files import find_images
from ganflow_layers.frames import further_frames
from ganflow_layers.of_runs import Reading
from torch import Tensor

from ganflow import GanflowError, check_room, coloured_images, open_regular, picture_of, read_image, replacing_file, save_png

NUMBERS = ".npy"
SLACK = 1e-3  # rounding of half-precision pixels


@dataclass(frozen=True)
class Input:
    """One image to translate.

    Attributes:
        file: where it is.
        name: what it is called below the folder that was named, "day1/a.png".
        frame: of several in the file, which one; None where the file is taken as a whole.
    """

    file: Path
    name: PurePosixPath
    frame: int | None = None

    @property
    def numbers(self) -> bool:
        return self.file.suffix.lower() == NUMBERS

    def __str__(self) -> str:
        return str(self.file) if not self.frame else f"{self.file}, frame {self.frame}"


def found(inputs: Sequence[Path], reading: Reading, every_frame: bool) -> list[Input]:
    """The images that are meant, those below folders sorted by name.

    Raises:
        GanflowError: there is no such file, or nothing in a folder.
    """
    meant: list[Input] = []
    for path in inputs:
        if path.is_dir():
            names = find_images(path, (*reading.extensions, NUMBERS), recursive=True, key=None)
            meant += [Input(path / name, PurePosixPath(name)) for name in names]
        elif path.exists():
            meant.append(Input(path, PurePosixPath(path.name)))
        else:
            raise GanflowError(f"there is no image {path}")
    pages = further_frames(Path(), [str(each.file) for each in meant], every_frame, "--frames all")
    several = {each.file: 1 + pages[str(each.file)] for each in meant if str(each.file) in pages}
    return [Input(each.file, each.name, frame) for each in meant
            for frame in (range(several[each.file]) if each.file in several else [None])]  # fmt: skip


def outputs(folder: Path, inputs: Sequence[Input], endings: Sequence[str]) -> list[Path]:
    """A file in a folder for each input, under its name; where several have one up to the ending, under the whole of it.

    Raises:
        GanflowError: two would still be written to one file, or an input over itself.
    """
    stems = [each.name.with_suffix("").as_posix() for each in inputs]
    files = {(stem, each.file) for stem, each in zip(stems, inputs, strict=True)}
    shared = Counter(stem for stem, _ in files)
    targets = []
    for each, stem, ending in zip(inputs, stems, endings, strict=True):
        name = stem if shared[stem] == 1 else each.name.as_posix()
        targets.append(folder / f"{name}{'' if each.frame is None else f'-{each.frame:03}'}{ending}")
    counts = Counter(targets)
    if twice := sorted({str(t.relative_to(folder)) for t, n in counts.items() if n > 1}):
        raise GanflowError(f"several images would be written as {', '.join(twice[:5])}: translate one folder at a time")
    for each, target in zip(inputs, targets, strict=True):
        if target.exists() and target.samefile(each.file):
            raise GanflowError(f"{each.file} would be written over: let -o name another folder")
    return targets


def read(each: Input, channels: int, reading: Reading, labels: bool | None = None) -> Tensor:
    """Images (n, channels, height, width) in [-1, 1]; n is 1 but where a .npy file holds several.

    Args:
        labels: files are label maps; None: where there are more than four channels.

    Raises:
        GanflowError: the file is no image, or has other channels.
    """
    if each.numbers:
        return read_numbers(each.file, channels)
    pixels = reading.pixels
    return read_image(each.file, channels, pixels.limits, pixels.background, frame=each.frame or 0, labels=labels)[None]


def read_numbers(file: Path, channels: int) -> Tensor:
    """Images of a .npy file: (H, W), (C, H, W), (H, W, C), or several of such after each other; uint8, or floating-point in
    [-1, 1] or, where none is below 0, in [0, 1]."""
    try:
        open_regular(file).close()  # what maps it would wait for a pipe
        array = np.load(file, mmap_mode="r", allow_pickle=False)  # mapped: a header may ask for more than any memory holds
    except Exception as error:  # numpy's have no base in common: a header is read as Python's tokens
        why, *_ = str(error).splitlines() or [type(error).__name__]  # the others of numpy's advise to trust the file
        raise GanflowError(f"cannot read the image {file}: {why}") from error
    shape = tuple(array.shape)
    if 0 in shape:
        raise GanflowError(f"{file} is empty: shape {shape}")
    if array.ndim == 2 and channels == 1:
        array = array[None, None]
    elif array.ndim in (3, 4) and shape[-3] == channels:
        array = array.reshape(-1, *shape[-3:])
    elif array.ndim in (3, 4) and shape[-1] == channels:
        array = np.moveaxis(array.reshape(-1, *shape[-3:]), -1, 1)
    else:
        raise GanflowError(f"{file} has shape {shape}; the run takes images of {channels} channels: ({channels}, height, width)")
    check_room(3 * 4 * array.size, f"{file}, an image of shape {shape},", "write it in several files")  # copies at a time
    if array.dtype == np.uint8:
        return torch.from_numpy(array.astype(np.float32) / 127.5 - 1)
    if array.dtype.kind != "f":
        raise GanflowError(f"{file} is {array.dtype}; images are uint8 or floating-point")
    values = torch.from_numpy(array.astype(np.float32))
    low, high = float(values.min()), float(values.max())
    if not (low >= -1 - SLACK and high <= 1 + SLACK):  # nor not a number
        raise GanflowError(f"{file} has values from {low:.4g} to {high:.4g}; images are in [-1, 1] or [0, 1]")
    return values if low < -SLACK else values * 2 - 1


def write(images: Tensor, target: Path) -> None:
    """Write one image (1, channels, height, width), or several as .npy; more than four channels in a .png in colours.

    Raises:
        GanflowError: the file cannot be written.
    """
    if target.suffix.lower() != NUMBERS:
        save_png(picture_of(coloured_images(images)[0]), target)
        return
    with replacing_file(target) as scratch, scratch.open("wb") as file:
        np.save(file, (images if len(images) > 1 else images[0]).numpy())


def true_image(path: Path, each: Input, made: Tensor, reading: Reading) -> Tensor:
    """The truth beside a translation: `path`, or the file of the same name in that folder, up to the ending.

    Raises:
        GanflowError: there is none, or it has another size.
    """
    if path.is_dir():
        names = find_images(path, (*reading.extensions, NUMBERS), recursive=True, key=None)
        stems = {PurePosixPath(name).with_suffix("").as_posix(): name for name in names}
        stem = each.name.with_suffix("").as_posix()
        if stem not in stems:
            raise GanflowError(f"--truth: there is no {stem} in {path}")
        path = path / stems[stem]
    true = read(Input(path, PurePosixPath(path.name), each.frame), made.shape[1], reading)
    if true.shape != made.shape:
        sizes = " and ".join(f"{t.shape[3]} × {t.shape[2]}" for t in (true, made))
        raise GanflowError(f"--truth: {path} and what is made from {each.file.name} differ in size: {sizes}")
    return true
