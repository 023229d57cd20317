"""A folder of pictures with captions as data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ganflow_layers.cache import cache_key
from ganflow_layers.files import RESIDENT_BYTES, digest_of_files
from ganflow_layers.frames import further_frames
from ganflow_layers.framing import Transform
from ganflow_layers.omissions import Omissions, Unusable, unusable_files
from ganflow_layers.originals import original
from ganflow_layers.reading import HeldOut
from ganflow_layers.split import split
from torch import Tensor

from ganflow import IMAGE_ERRORS, IMAGE_RANGE, Examples, Field, GanflowError, Original, TextEncoder, image_error_text, user_path
from ganflow_text.captioned import CaptionedData, cut_as, smaller
from ganflow_text.folder.layout import Captioned, captioned


class Folder(CaptionedData):
    """Pictures that are few and not augmented are decoded once.

    Args:
        path, captions, extensions: see ganflow_text.folder.layout.captioned.
        transform: of a picture to train on.
        held_out: below 1 a share of the pictures, from 1 on a number; of a table with a split, below 1 all that it keeps from
            training.
        every_frame: a file's captions are of each of its pages or frames, not of the first alone.
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
        every_frame: bool = False,
        budget: int = RESIDENT_BYTES,
    ) -> None:
        self._root, self._transform = user_path("data.path", path), transform
        height, width = transform.sides
        laid_out = captioned(self._root, captions, extensions)
        found = laid_out.captions
        parts = parted(laid_out, held_out, str(self._root))
        self._omissions = Omissions(self._root, False, "image", "mend them, or remove them and their captions")
        self._omissions.settle(unusable_files(self._root, list(found)))
        pages = further_frames(self._root, list(found), every_frame)
        self._pictures, self._kept_pictures = (
            [(file, frame) for file in part for frame in range(1 + pages.get(file, 0))] for part in parts
        )
        self._still = transform.still()
        few = len(self._pictures) * 12 * height * width <= budget
        self._decoded = self._every(self._pictures, self._still) if few and not transform.augmented else None
        meaning = transform.pixels.treatment(every_frame)
        self._digest_of = digest_of_files(self._root, [file for file, frame in self._pictures if not frame], meaning)
        super().__init__(
            f"captioned ({self._root.resolve().name})",
            str(self._root),
            (3, height, width),
            [found[file] for file, _ in self._pictures],
            [found[file] for file, _ in self._kept_pictures],
            encoder,
            cache_key(self._digest_of, cut_as(self._still), *(text for file, _ in self._pictures for text in found[file])),
        )

    def picture(self, index: int, rng: torch.Generator) -> Tensor:
        return self._one(self._pictures[index], self._transform, rng) if self._decoded is None else self._decoded[index]

    def still(self, index: int) -> Tensor:
        return self._one(self._pictures[index], self._still) if self._decoded is None else self._decoded[index]

    def original(self, index: int) -> Original | None:
        file, frame = self._pictures[index]
        return original(self._root / file, self._transform.pixels, 3, frame)

    def reduced(self, side: int) -> Tensor:
        return self._every(self._pictures, smaller(self._still, side))

    def held_out_pictures(self) -> Examples:
        picture = {"real": Field((3, *self._still.sides), *IMAGE_RANGE)}
        return HeldOut(lambda each: {"real": self._one(each, self._still)}, self._kept_pictures, picture).examples()["real"]

    @property
    def resident_bytes(self) -> int:
        return super().resident_bytes + (0 if self._decoded is None else self._decoded.nbytes)

    def _every(self, wanted: list[tuple[str, int]], transform: Transform) -> Tensor:
        picture = {"real": Field((3, *transform.sides), *IMAGE_RANGE)}
        return self._omissions.stacked(lambda each: {"real": self._decode(each, transform)}, wanted, picture)[0]["real"]

    def _one(self, wanted: tuple[str, int], transform: Transform, rng: torch.Generator | None = None) -> Tensor:
        made = self._omissions.one(lambda: self._decode(wanted, transform, rng))
        assert made is not None  # or it is refused
        return made

    def _decode(self, wanted: tuple[str, int], transform: Transform, rng: torch.Generator | None = None) -> Tensor:
        file, frame = wanted
        try:
            return transform(self._root / file, rng, frame)
        except IMAGE_ERRORS as error:
            raise Unusable(file, image_error_text(error)) from error


def parted(laid_out: Captioned, held_out: float, where: str) -> tuple[list[str], list[str]]:
    """The pictures to train on, and those that are held out: by the table's split where it has one, of which `held_out` says how
    many are held out (none, all below 1, or a number), else by chance.

    Raises:
        GanflowError: nothing is left to train on.
    """
    files = list(laid_out.captions)
    if not laid_out.split:
        train, kept = split(len(files), held_out, where)
        return [files[i] for i in train.tolist()], [files[i] for i in kept.tolist()]
    chosen, others = ([file for file in files if laid_out.split[file] is training] for training in (True, False))
    if not chosen:
        raise GanflowError(f"data.captions: the table's split leaves none of the {len(files)} pictures in {where} for training "
                           "(train, restval); give them captions in another layout")  # fmt: skip
    return chosen, others[: 0 if held_out == 0 else len(others) if held_out < 1 else round(held_out)]
