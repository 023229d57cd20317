"""A folder of images, in memory or streamed."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from ganflow_layers.files import RESIDENT_BYTES, digest_of_files, find_images
from ganflow_layers.framing import Transform
from ganflow_layers.split import split
from torch import Tensor

from ganflow import IMAGE_ERRORS, IMAGE_RANGE, Data, Field, GanflowError, StreamData, TensorData, image_error_text, print_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ganflow_data import ImageFolder


def image_folder(settings: ImageFolder) -> Data:
    """Field "real", (channels, size, size) in [-1, 1].

    Raises:
        GanflowError: the folder is missing, not readable or without images; with on_error: refuse, an image is damaged.
    """
    folder = Path(settings.path).expanduser()
    files = find_images(folder, settings.extensions, settings.recursive)
    data = Images(folder, files, settings)
    small = len(files) * data.image_bytes <= RESIDENT_BYTES and not settings.augmented
    return data.resident() if settings.in_memory == "always" or (settings.in_memory == "auto" and small) else data


class Images(StreamData):
    """The images of a folder, decoded when they are drawn; the held-out ones when they are first asked for."""

    def __init__(self, folder: Path, files: Sequence[str], settings: ImageFolder) -> None:
        self.name, self.source = f"images ({folder.resolve().name})", str(folder)
        self._folder, self._skip = folder, settings.on_error == "skip"
        self._transform = Transform(
            settings.size, settings.resize or settings.size, settings.crop, settings.flip, settings.channels
        )
        train, kept = split(len(files), settings.held_out, str(folder))
        self._train, self._kept = [files[i] for i in train], [files[i] for i in kept]
        self.size = len(self._train)
        self.fields = {"real": Field((settings.channels, settings.size, settings.size), *IMAGE_RANGE)}
        self.skipped: list[str] = []
        self._lock = threading.Lock()

    @property
    def image_bytes(self) -> int:
        """Of one image in memory."""
        return 4 * torch.Size(self.shape).numel()

    @cached_property
    def held_out(self) -> dict[str, Tensor]:  # type: ignore[override]  # made when first asked for
        return {"real": self._decoded(self._kept)}

    def load(self, index: int, rng: torch.Generator) -> dict[str, Tensor] | None:
        image = self._decode(self._train[index], rng)
        return None if image is None else {"real": image}

    def resident(self) -> TensorData:
        """The same examples, not augmented, in memory."""
        train = self._decoded(self._train)
        if not len(train):
            raise GanflowError(f"none of the {self.size} images in {self._folder} can be read")
        data = TensorData(self.name, {"real": train}, self.held_out, source=self.source)
        data.skipped = self.skipped
        return data

    def _decoded(self, files: list[str]) -> Tensor:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            images = [image for image in pool.map(self._decode, files) if image is not None]
        return torch.stack(images) if images else torch.empty(0, *self.shape)

    def _decode(self, file: str, rng: torch.Generator | None = None) -> Tensor | None:
        try:
            return self._transform(self._folder / file, rng)
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
        return digest_of_files(self._folder, self._train, repr(self._transform))
