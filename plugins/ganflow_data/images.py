"""A folder of images, in memory or streamed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from ganflow_layers.files import RESIDENT_BYTES, digest_of_files, find_images
from ganflow_layers.frames import further_frames
from ganflow_layers.framing import Transform
from ganflow_layers.omissions import Omissions, Unusable, unusable_files
from ganflow_layers.originals import original, originals
from ganflow_layers.reading import HeldOut
from ganflow_layers.split import split
from torch import Tensor

from ganflow import (
    IMAGE_ERRORS,
    IMAGE_RANGE,
    Data,
    Field,
    GanflowError,
    Original,
    Preview,
    StreamData,
    TensorData,
    class_field,
    image_error_text,
    spread_indices,
    user_path,
)
from ganflow_data.labels import class_of_each


def image_folder(
    path: str, extensions: list[str], recursive: bool, transform: Transform, skip: bool, labels: str, held_out: float,
    in_memory: str, frames: str = "first", budget: int = RESIDENT_BYTES,
) -> Data:  # fmt: skip
    """Field "real", (channels, height, width) in [-1, 1], and "label", where there are such: see `ganflow_data.labels`.

    Args:
        skip: leave out what cannot be read.
        labels: see `ganflow_data.labels.class_of_each`.
        frames: "all" for an image of every page or frame, "first" for one of each file.
        in_memory: "always" keeps decoded images, "never" does not, "auto" those that take `budget` bytes at most and are not
            augmented.

    Raises:
        GanflowError: the folder is missing, not readable or without images; without `skip`, an image is damaged.
    """
    folder = user_path("data.path", path)
    files = find_images(folder, extensions, recursive)
    pages = further_frames(folder, files, frames == "all")
    data = Images(folder, files, transform, skip, class_of_each(labels, folder, files), held_out, pages)
    small = (len(files) + sum(pages.values())) * data.image_bytes <= budget and not transform.augmented
    data.omissions.settle(unusable_files(folder, files))
    return data.resident() if in_memory == "always" or (in_memory == "auto" and small) else data


class Images(StreamData):
    """The images of a folder, decoded when they are drawn; the held-out ones when they are asked for.

    Attributes:
        omissions: what becomes of those that cannot be read.
    """

    def __init__(
        self, folder: Path, files: Sequence[str], transform: Transform, skip: bool, class_of: Mapping[str, str],
        held_out: float, pages: Mapping[str, int],
    ) -> None:  # fmt: skip
        self.name, self.source = f"images ({folder.resolve().name})", str(folder)
        self._folder, self._transform, self.omissions = folder, transform, Omissions(folder, skip)
        train, kept = split(len(files), held_out, str(folder))
        self._pages = pages
        self._train, kept_images = self._frames(files[i] for i in train), self._frames(files[i] for i in kept)
        self.size = len(self._train)
        self.fields = {"real": Field((transform.channels, *transform.sides), *IMAGE_RANGE)}
        self._class_of = class_of
        self._classes = {name: label for label, name in enumerate(sorted(set(class_of.values())))}
        self._by_table = any(name != file.partition("/")[0] for file, name in class_of.items())
        if self._classes:
            self.fields["label"] = class_field(list(self._classes), torch.tensor([self._label(file) for file, _ in self._train]))
        self.skipped = self.omissions.skipped
        self.held_out = HeldOut(self._one, kept_images, self.fields).examples()
        self.held_out_names = [f"{file}, frame {frame}" if frame else file for file, frame in kept_images]

    @property
    def image_bytes(self) -> int:
        """Of one image in memory."""
        return 4 * torch.Size(self.shape).numel()

    def load(self, index: int, rng: torch.Generator | None) -> dict[str, Tensor] | None:
        return self._one(self._train[index], rng)

    def preview(self, most: int) -> dict[str, Preview]:
        chosen = [self._train[i] for i in spread_indices(self.size, most)]
        made, read = self.omissions.stacked(self._example, chosen, self.fields)
        found = originals(self._original, read)
        return {name: Preview(part, found if name == "real" else ()) for name, part in made.items()}

    def resident(self) -> TensorData:
        """The same examples, not augmented, in memory."""
        train, read = self.omissions.stacked(self._example, self._train, self.fields)
        if not len(train["real"]):
            raise GanflowError(f"none of the {self.size} images in {self._folder} can be read")
        # Of labels by folder nothing in the fingerprint: the pictures' sequence, by folder, is in it.
        classes = {"label": list(self._classes)} if self._classes else {}
        derived = () if self._by_table else classes
        held_out = {name: examples[:] for name, examples in self.held_out.items()}
        data = TensorData(
            self.name, train, held_out, source=self.source, classes=classes, derived=derived,
            original=lambda field, row: self._original(read[row]) if field == "real" else None,
        )  # fmt: skip
        data.skipped, data.held_out_names = self.skipped, self.held_out_names
        return data

    def _label(self, file: str) -> int:
        return self._classes[self._class_of[file]]

    def _frames(self, files: Iterable[str]) -> list[tuple[str, int]]:
        """Files and their frames, in this sequence."""
        return [(file, frame) for file in files for frame in range(1 + self._pages.get(file, 0))]

    def _one(self, wanted: tuple[str, int], rng: torch.Generator | None = None) -> dict[str, Tensor] | None:
        """The example of a file's frame; None where it is left out."""
        return self.omissions.one(lambda: self._example(wanted, rng))

    def _original(self, wanted: tuple[str, int]) -> Original | None:
        file, frame = wanted
        return original(self._folder / file, self._transform.pixels, self._transform.channels, frame)

    def _example(self, wanted: tuple[str, int], rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """The image of a file's frame, and its class.

        Raises:
            Unusable: it cannot be read.
        """
        file, frame = wanted
        try:
            image = self._transform(self._folder / file, rng, frame)
        except IMAGE_ERRORS as error:
            raise Unusable(file, image_error_text(error)) from error
        return {"real": image, "label": torch.tensor(self._label(file))} if self._classes else {"real": image}

    def fingerprint(self) -> str:
        """Of the names, the transform and, up to 256 MiB, the files' bytes; beyond that, of sizes and times instead."""
        files = list(dict.fromkeys(file for file, _ in self._train))
        labels = str([self._class_of[file] for file in files]) if self._by_table else ""
        return digest_of_files(self._folder, files, repr(self._transform) + (" of all frames" if self._pages else "") + labels)
