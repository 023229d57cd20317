"""Images of two domains that do not belong together, in memory or streamed."""

from __future__ import annotations

from functools import partial

import torch
from ganflow_layers.files import digest_of_files
from ganflow_layers.framing import Framing
from ganflow_layers.originals import originals
from ganflow_layers.reading import HeldOut
from torch import Tensor

from ganflow import IMAGE_RANGE, Data, Field, GanflowError, Original, Preview, StreamData, TensorData, spread_indices
from ganflow_translation.folders.augmentation import Memory
from ganflow_translation.folders.layout import divided, domain
from ganflow_translation.folders.reading import Reader, say_grey

Image = tuple[str, int]
"""File and frame."""


def unpaired_folder(
    reader: Reader, framing: Framing, channels: dict[str, int], extensions: list[str], held_out: float, memory: Memory
) -> Data:
    """Fields "a" and "b", (channels, size, size) in [-1, 1].

    Raises:
        GanflowError: a folder is missing or empty, or images cannot be read.
    """
    folder = reader.root
    found = {field: domain(folder, field.upper(), extensions) for field in ("a", "b")}
    headers = reader.headers([file for train, kept in found.values() for file in train + (kept or [])])
    pages = reader.frames(list(headers))
    trains: dict[str, list[Image]] = {}
    keeps: dict[str, list[Image]] = {}
    for field, (train, kept) in found.items():
        train = [file for file in train if file in headers]
        kept = None if kept is None else [file for file in kept if file in headers]
        where = folder / f"train{field.upper()}"
        if not train:
            raise GanflowError(f"data.path: none of the images in {where} can be read")
        say_grey([(file, headers[file]) for file in train + (kept or [])], channels[field], f"{field}_channels")
        for files, images in zip(divided(train, kept, held_out, str(where)), (trains, keeps), strict=True):
            images[field] = [(file, frame) for file in files for frame in range(1 + pages.get(file, 0))]
    data = Unpaired(reader, trains, keeps, channels, framing)
    numbers = sum(len(trains[name]) * torch.Size(field.shape).numel() for name, field in data.fields.items())
    return data.resident() if memory.holds(framing, numbers) else data


class Unpaired(StreamData):
    """Images of "a" and "b", decoded when they are drawn; the held-out ones when they are asked for.

    Example i is the i-th image of the larger domain and one of the other, drawn at random, as in CycleGAN's code.
    """

    aligned = False

    def __init__(
        self,
        reader: Reader,
        train: dict[str, list[Image]],
        kept: dict[str, list[Image]],
        channels: dict[str, int],
        framing: Framing,
    ) -> None:
        self.name, self.source = f"unpaired ({reader.root.resolve().name})", str(reader.root)
        self.skipped = reader.skipped
        self._reader, self._train, self._kept, self._channels = reader, train, kept, channels
        self._framing, self._still = framing, framing.still()
        self._larger, self._other = ("a", "b") if len(train["a"]) >= len(train["b"]) else ("b", "a")
        self.size = len(train[self._larger])
        self.fields = {name: Field((channels[name], *framing.sides), *IMAGE_RANGE) for name in ("a", "b")}
        count = min(map(len, kept.values()))
        self.held_out = {
            name: HeldOut(partial(self._held_out_image, name), files, {name: self.fields[name]}).examples(count)[name]
            for name, files in kept.items()
        }

    def load(self, index: int, rng: torch.Generator) -> dict[str, Tensor] | None:
        # The order in which partners are tried is drawn first, so that nothing else depends on which of them can be read.
        partners = torch.randperm(len(self._train[self._other]), generator=rng)
        image = self._reader.one(partial(self._decode, self._larger, self._train[self._larger][index], rng))
        if image is None:
            return None
        for partner in partners.tolist():
            other = self._reader.one(partial(self._decode, self._other, self._train[self._other][partner], rng))
            if other is not None:
                return {self._larger: image, self._other: other}
        raise self._none(self._other)

    def preview(self, most: int) -> dict[str, Preview]:
        found = {}
        for name, files in self._train.items():
            chosen = [files[i] for i in spread_indices(len(files), most)]
            made, read = self._decoded(name, chosen)
            found[name] = Preview(made, originals(partial(self._original, name), read))
        return found

    def resident(self) -> TensorData:
        """The same images, not augmented, in memory."""
        found = {name: self._decoded(name, files) for name, files in self._train.items()}
        train = {name: images for name, (images, _) in found.items()}
        for name, images in train.items():
            if not len(images):
                raise self._none(name)
        kept = {name: self._decoded(name, files)[0] for name, files in self._kept.items()}
        count = min(map(len, kept.values()))
        held_out = {name: images[:count] for name, images in kept.items()}
        data = TensorData(
            self.name, train, held_out, source=self.source, paired=False,
            original=lambda field, row: self._original(field, found[field][1][row]),
        )  # fmt: skip
        data.aligned, data.skipped = False, self.skipped
        return data

    def _none(self, name: str) -> GanflowError:
        return GanflowError(f"data.path: none of the images in {self._reader.root / f'train{name.upper()}'} can be read")

    def _decoded(self, name: str, wanted: list[Image]) -> tuple[Tensor, list[Image]]:
        """Those of the wanted images that can be read, and which these are."""
        field = {name: self.fields[name]}
        made, read = self._reader.stacked(lambda each: {name: self._decode(name, each)}, wanted, field)
        return made[name], read

    def _original(self, name: str, wanted: Image) -> Original | None:
        return self._reader.original(*wanted, self._channels[name])

    def _held_out_image(self, name: str, wanted: Image) -> dict[str, Tensor] | None:
        return self._reader.one(lambda: {name: self._decode(name, wanted)})

    def _decode(self, name: str, wanted: Image, rng: torch.Generator | None = None) -> Tensor:
        file, frame = wanted
        image = self._reader.open(file, frame)
        cut = (self._still if rng is None else self._framing).cut(image.width, image.height, rng)
        return self._reader.numbers(image, file, self._channels[name], cut)

    def fingerprint(self) -> str:
        """Of the files and of what is done to them: see ganflow_layers.files.digest_of_files."""
        files = [file for name in ("a", "b") for file in dict.fromkeys(file for file, _ in self._train[name])]
        treatment = repr((self._framing, self._channels)) + self._reader.treatment
        return digest_of_files(self._reader.root, files, treatment)
