"""A folder of images, in memory or streamed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from ganflow_layers.files import RESIDENT_BYTES, digest_of_files, find_images
from ganflow_layers.framing import Transform, frames_in
from ganflow_layers.reading import HeldOut, stacked
from ganflow_layers.split import split
from torch import Tensor

from ganflow import (
    IMAGE_ERRORS,
    IMAGE_RANGE,
    Data,
    Field,
    GanflowError,
    StreamData,
    TensorData,
    UnknownRange,
    class_field,
    image_error_text,
    in_threads,
    print_lines,
    user_path,
)

_SEVERAL = (".gif", ".tif", ".tiff", ".webp")
"""Endings of files that may have several pages or frames."""
COUNTED = 1000


def image_folder(
    path: str, extensions: list[str], recursive: bool, transform: Transform, skip: bool, labelled: bool, held_out: float,
    in_memory: str, frames: str = "first", budget: int = RESIDENT_BYTES,
) -> Data:  # fmt: skip
    """Field "real", (channels, height, width) in [-1, 1], and "label", its sub-folder, where there are such: see `classes_of`.

    Args:
        skip: leave out what cannot be read.
        labelled: whether sub-folders are classes.
        frames: "all" for an image of every page or frame, "first" for one of each file.
        in_memory: "always" keeps decoded images, "never" does not, "auto" those that take `budget` bytes at most and are not
            augmented.

    Raises:
        GanflowError: the folder is missing, not readable or without images; without `skip`, an image is damaged.
    """
    folder = user_path("data.path", path)
    files = find_images(folder, extensions, recursive)
    pages = count_frames(folder, files, frames == "all")
    pages = pages if frames == "all" else {}
    data = Images(folder, files, transform, skip, labelled, held_out, pages)
    small = (len(files) + sum(pages.values())) * data.image_bytes <= budget and not transform.augmented
    return data.resident() if in_memory == "always" or (in_memory == "auto" and small) else data


def classes_of(files: Sequence[str]) -> list[str]:
    """The names of the sub-folders that the images lie in, sorted, where all of them do and there are two or more; else none."""
    folders = {file.partition("/")[0] for file in files}
    return sorted(folders) if len(folders) > 1 and all("/" in file for file in files) else []


def count_frames(folder: Path, files: Sequence[str], used: bool) -> dict[str, int]:
    """Pages or frames after the first, by file. Where they are not used, print how many there are in up to COUNTED files."""
    several = [file for file in files if Path(file).suffix.lower() in _SEVERAL]
    examined = several if used else several[:COUNTED]
    counts = in_threads(lambda file: frames_in(folder / file) - 1, examined)
    more = {file: count for file, count in zip(examined, counts, strict=True) if count > 0}
    if more and not used:
        files_have = "1 file has" if len(more) == 1 else f"{len(more)} files have"
        left = f"{sum(more.values())} pages or frames after the first are left out; data.frames=all uses them"
        print_lines(f"ganflow: {files_have} several: {left}", err=True)
    return more


class Images(StreamData):
    """The images of a folder, decoded when they are drawn; the held-out ones when they are asked for."""

    def __init__(
        self, folder: Path, files: Sequence[str], transform: Transform, skip: bool, labelled: bool, held_out: float,
        pages: Mapping[str, int],
    ) -> None:  # fmt: skip
        self.name, self.source = f"images ({folder.resolve().name})", str(folder)
        self._folder, self._skip, self._transform = folder, skip, transform
        train, kept = split(len(files), held_out, str(folder))
        self._pages = pages
        self._train, kept_images = self._frames(files[i] for i in train), self._frames(files[i] for i in kept)
        self.size = len(self._train)
        self.fields = {"real": Field((transform.channels, *transform.sides), *IMAGE_RANGE)}
        self._classes = {name: label for label, name in enumerate(classes_of(files) if labelled else [])}
        if self._classes:
            self.fields["label"] = class_field(list(self._classes), torch.tensor([self._label(file) for file, _ in self._train]))
        self.skipped: list[str] = []
        self._lock = threading.Lock()
        self.held_out = HeldOut(self._example, kept_images, self.fields).examples()

    @property
    def image_bytes(self) -> int:
        """Of one image in memory."""
        return 4 * torch.Size(self.shape).numel()

    def load(self, index: int, rng: torch.Generator | None) -> dict[str, Tensor] | None:
        return self._example(self._train[index], rng)

    def resident(self) -> TensorData:
        """The same examples, not augmented, in memory."""
        train, _ = stacked(self._example, self._train, self.fields)
        if not len(train["real"]):
            raise GanflowError(f"none of the {self.size} images in {self._folder} can be read")
        # Of the labels nothing in the fingerprint: the pictures' sequence, by folder, is in it.
        classes = {"label": list(self._classes)} if self._classes else {}
        held_out = {name: examples[:] for name, examples in self.held_out.items()}
        data = TensorData(self.name, train, held_out, source=self.source, classes=classes, derived=classes)
        data.skipped = self.skipped
        return data

    def _label(self, file: str) -> int:
        return self._classes[file.partition("/")[0]]

    def _frames(self, files: Iterable[str]) -> list[tuple[str, int]]:
        """Files and their frames, in this sequence."""
        return [(file, frame) for file in files for frame in range(1 + self._pages.get(file, 0))]

    def _example(self, wanted: tuple[str, int], rng: torch.Generator | None = None) -> dict[str, Tensor] | None:
        """The image of a file's frame, and its class; None where it cannot be read."""
        image = self._decode(*wanted, rng)
        if image is None:
            return None
        return {"real": image, "label": torch.tensor(self._label(wanted[0]))} if self._classes else {"real": image}

    def _decode(self, file: str, frame: int, rng: torch.Generator | None = None) -> Tensor | None:
        try:
            return self._transform(self._folder / file, rng, frame)
        except UnknownRange as error:
            raise GanflowError(f"data.range: {self._folder / file} has {error}; say which numbers are black and white: "
                               f"'data.range=[{error.low:g}, {error.high:g}]'") from error  # fmt: skip
        except IMAGE_ERRORS as error:
            if not self._skip:
                raise GanflowError(
                    f"data.path: cannot read the image {self._folder / file}: {image_error_text(error)}; "
                    "mend or remove it, or leave such files out with on_error: skip"
                ) from error
            with self._lock:
                if file not in self.skipped:
                    self.skipped.append(file)
                    print_lines(f"ganflow: left out {self._folder / file}: {image_error_text(error)}", err=True)
            return None

    def fingerprint(self) -> str:
        """Of the names, the transform and, up to 256 MiB, the files' bytes; beyond that, of sizes and times instead."""
        files = list(dict.fromkeys(file for file, _ in self._train))
        return digest_of_files(self._folder, files, repr(self._transform) + (" of all frames" if self._pages else ""))
