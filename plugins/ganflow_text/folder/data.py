"""A folder of pictures with captions as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from ganflow_layers.cache import cache_key
from ganflow_layers.files import RESIDENT_BYTES, digest_of_files
from ganflow_layers.framing import Transform
from ganflow_layers.reading import HeldOut, stacked
from ganflow_layers.split import split
from torch import Tensor

from ganflow import IMAGE_ERRORS, IMAGE_RANGE, Examples, Field, GanflowError, TextEncoder, image_error_text, user_path
from ganflow_text.captioned import CaptionedData
from ganflow_text.folder.layout import captioned


class Folder(CaptionedData):
    """Pictures that are few and not augmented are decoded once.

    Args:
        path, captions, extensions: see ganflow_text.folder.layout.captioned.
        transform: of a picture to train on.
        held_out: below 1 a share of the pictures, from 1 on a number.
        budget: bytes that decoded pictures may take.

    Raises:
        GanflowError: see ganflow_text.folder.layout.captioned; or a picture cannot be read.
    """

    def __init__(
        self,
        path: str,
        captions: str | None,
        extensions: Sequence[str],
        transform: Transform,
        held_out: float,
        encoder: TextEncoder,
        budget: int = RESIDENT_BYTES,
    ) -> None:
        self._root, self._transform, size = user_path("data.path", path), transform, transform.sides[0]
        found = captioned(self._root, captions, extensions)
        files = list(found)
        train, kept = split(len(files), held_out, str(self._root))
        self._files, self._kept_files = [files[i] for i in train], [files[i] for i in kept]
        self._still = transform.still()
        few = len(self._files) * 12 * size**2 <= budget
        self._decoded = self._every(self._files, self._still) if few and not transform.augmented else None
        self._digest_of = digest_of_files(self._root, self._files, "")
        super().__init__(
            f"captioned ({self._root.resolve().name})",
            str(self._root),
            (3, size, size),
            [found[file] for file in self._files],
            [found[file] for file in self._kept_files],
            encoder,
            cache_key(self._digest_of, self._still.crop, *(sentence for file in self._files for sentence in found[file])),
        )

    def picture(self, index: int, rng: torch.Generator) -> Tensor:
        return self._decode(self._files[index], self._transform, rng) if self._decoded is None else self._decoded[index]

    def reduced(self, side: int) -> Tensor:
        return self._every(self._files, replace(self._still, size=side, resize=side))

    def held_out_pictures(self) -> Examples:
        picture = {"real": Field((3, *self._still.sides), *IMAGE_RANGE)}
        return HeldOut(lambda file: {"real": self._decode(file, self._still)}, self._kept_files, picture).examples()["real"]

    @property
    def resident_bytes(self) -> int:
        return super().resident_bytes + (0 if self._decoded is None else self._decoded.nbytes)

    def _every(self, files: list[str], transform: Transform) -> Tensor:
        picture = {"real": Field((3, *transform.sides), *IMAGE_RANGE)}
        return stacked(lambda file: {"real": self._decode(file, transform)}, files, picture)[0]["real"]

    def _decode(self, file: str, transform: Transform, rng: torch.Generator | None = None) -> Tensor:
        try:
            return transform(self._root / file, rng)
        except IMAGE_ERRORS as error:
            raise GanflowError(f"data.path: cannot read the image {self._root / file}: {image_error_text(error)}; mend it, or "
                               "remove it and its captions") from error  # fmt: skip
