"""Images of two domains that do not belong together, in memory or streamed."""

from __future__ import annotations

from functools import partial

import torch
from ganflow_layers.files import digest_of_files
from ganflow_layers.framing import Framing
from ganflow_layers.reading import HeldOut
from torch import Tensor

from ganflow import IMAGE_RANGE, Data, Field, GanflowError, StreamData, TensorData
from ganflow_translation.folders.augmentation import Memory
from ganflow_translation.folders.layout import divided, domain, root
from ganflow_translation.folders.reading import Reader, pixels, say_grey


def unpaired_folder(
    path: str, framing: Framing, channels: dict[str, int], extensions: list[str], skip: bool, held_out: float, memory: Memory
) -> Data:
    """Fields "a" and "b", (channels, size, size) in [-1, 1].

    Args:
        skip: leave out what cannot be read.

    Raises:
        GanflowError: a folder is missing or empty, or images cannot be read.
    """
    folder = root(path)
    reader = Reader(folder, skip)
    found = {field: domain(folder, field.upper(), extensions) for field in ("a", "b")}
    headers = reader.headers([file for train, kept in found.values() for file in train + (kept or [])])
    trains: dict[str, list[str]] = {}
    keeps: dict[str, list[str]] = {}
    for field, (train, kept) in found.items():
        train = [file for file in train if file in headers]
        kept = None if kept is None else [file for file in kept if file in headers]
        where = folder / f"train{field.upper()}"
        if not train:
            raise GanflowError(f"data.path: none of the images in {where} can be read")
        say_grey([(file, headers[file]) for file in train + (kept or [])], channels[field], f"{field}_channels")
        trains[field], keeps[field] = divided(train, kept, held_out, str(where))
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
        train: dict[str, list[str]],
        kept: dict[str, list[str]],
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

    def resident(self) -> TensorData:
        """The same images, not augmented, in memory."""
        train = {name: self._decoded(name, files) for name, files in self._train.items()}
        for name, images in train.items():
            if not len(images):
                raise self._none(name)
        kept = {name: self._decoded(name, files) for name, files in self._kept.items()}
        count = min(map(len, kept.values()))
        held_out = {name: images[:count] for name, images in kept.items()}
        data = TensorData(self.name, train, held_out, source=self.source, paired=False)
        data.aligned, data.skipped = False, self.skipped
        return data

    def _none(self, name: str) -> GanflowError:
        return GanflowError(f"data.path: none of the images in {self._reader.root / f'train{name.upper()}'} can be read")

    def _decoded(self, name: str, files: list[str]) -> Tensor:
        field = {name: self.fields[name]}
        return self._reader.stacked(lambda file: {name: self._decode(name, file)}, files, field)[name]

    def _held_out_image(self, name: str, file: str) -> dict[str, Tensor] | None:
        return self._reader.one(lambda: {name: self._decode(name, file)})

    def _decode(self, name: str, file: str, rng: torch.Generator | None = None) -> Tensor:
        image = self._reader.open(file)
        cut = (self._still if rng is None else self._framing).cut(image.width, image.height, rng)
        return pixels(image, file, self._channels[name], cut)

    def fingerprint(self) -> str:
        """Of the files and of what is done to them: see ganflow_layers.files.digest_of_files."""
        return digest_of_files(self._reader.root, self._train["a"] + self._train["b"], repr((self._framing, self._channels)))
