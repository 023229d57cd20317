"""Pairs of images, in memory or streamed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from ganflow_layers.files import digest_of_files
from ganflow_layers.framing import Framing
from ganflow_layers.omissions import Unusable
from ganflow_layers.originals import originals
from ganflow_layers.reading import HeldOut
from ganflow_layers.tables import listed
from torch import Tensor

from ganflow import IMAGE_RANGE, Data, Field, GanflowError, Original, Preview, StreamData, TensorData, spread_indices
from ganflow_translation.folders.augmentation import Memory
from ganflow_translation.folders.layout import Pair, divided, pairs
from ganflow_translation.folders.reading import Header, Reader, classes, say_grey


@dataclass(frozen=True)
class Sides:
    """The direction of a pair of images, the channels of both, and the number of classes of source label maps."""

    direction: str
    channels: tuple[int, int]
    classes: int | None


def paired_folder(
    reader: Reader, two: tuple[str, str] | None, layout: str, extensions: list[str], sides: Sides, framing: Framing,
    held_out: float, memory: Memory,
) -> Data:  # fmt: skip
    """Fields "source" and "target", (channels, size, size) in [-1, 1].

    Args:
        two: the folders of A and B below the reader's; None to look for them.

    Raises:
        GanflowError: a folder is missing or empty, names or sizes of pairs do not match, or images cannot be read.
    """
    folder = reader.root
    train, kept = pairs(folder, layout, two, extensions)
    headers = reader.headers([file for pair in train + (kept or []) for file in pair.files])

    def readable(found: list[Pair]) -> list[Pair]:
        return [pair for pair in found if all(file in headers for file in pair.files)]

    train, kept = readable(train), None if kept is None else readable(kept)
    if not train:
        raise GanflowError(f"data.path: none of the pairs in {folder} can be read")
    check(train + (kept or []), headers, sides, folder)
    pages = reader.frames(list(headers))
    train, kept = (each_frame(part, pages, folder) for part in divided(train, kept, held_out, str(folder)))
    data = Pairs(reader, train, kept, sides, framing)
    numbers = data.size * sum(torch.Size(field.shape).numel() for field in data.fields.values())
    return data.resident() if memory.holds(framing, numbers) else data


def check(found: list[Pair], headers: dict[str, Header], sides: Sides, path: Path) -> None:
    """Sizes and channels of all pairs, as far as the files' headers tell."""
    odd = [f"{pair.a} ({headers[pair.a].size[0]} pixels)" for pair in found if pair.b is None and headers[pair.a].size[0] % 2]
    if odd:
        raise GanflowError(
            f"data.path: side-by-side images in {path} have an odd width, and no two halves: {listed(odd)}; "
            "two folders of images are named with a: and b:"
        )
    differ = [
        f"{pair.a} ({_shown(headers[pair.a])}) and {pair.b} ({_shown(headers[pair.b])})"
        for pair in found
        if pair.b is not None and headers[pair.a].size != headers[pair.b].size
    ]
    if differ:
        raise GanflowError(
            f"data.path: the two images of a pair differ in size in {path}: {listed(differ)}; bring both to one size"
        )
    of_a, of_b = ([(f, headers[f]) for f in files] for files in ([p.a for p in found], [p.b or p.a for p in found]))
    sources, targets = (of_a, of_b) if sides.direction == "AtoB" else (of_b, of_a)
    if sides.classes is None:
        say_grey(sources, sides.channels[0], "source_channels")
    else:
        coloured = [f"{file} ({header.mode})" for file, header in sources if not header.single]
        if coloured:
            raise GanflowError(
                "data.source_classes: a label map has one channel or a palette, but in "
                f"{path} these have more: {listed(coloured)}; leave source_classes out to take them as pictures"
            )
    say_grey(targets, sides.channels[1], "target_channels")


def each_frame(found: list[Pair], pages: dict[str, int], folder: Path) -> list[Pair]:
    """A pair for every page or frame of files that have several.

    Args:
        pages: after the first, by file.

    Raises:
        GanflowError: the files of a pair have not the same number.
    """
    counts = {pair: [1 + pages.get(file, 0) for file in pair.files] for pair in found}
    if odd := [f"{pair.a} ({n[0]}) and {pair.b} ({n[1]})" for pair, n in counts.items() if len(set(n)) > 1]:
        raise GanflowError(f"data.frames: the two files of a pair have not as many frames each in {folder}: {listed(odd)}; "
                           "data.frames=first uses the first of each")  # fmt: skip
    return [replace(pair, frame=frame) for pair in found for frame in range(counts[pair][0])]


def _shown(header: Header) -> str:
    return f"{header.size[0]} × {header.size[1]}"


class Pairs(StreamData):
    """Pairs, decoded when they are drawn; the held-out ones when they are asked for. Both of a pair are cut and mirrored
    alike."""

    def __init__(self, reader: Reader, train: list[Pair], kept: list[Pair], sides: Sides, framing: Framing) -> None:
        self.name, self.source, self.size = f"pairs ({reader.root.resolve().name})", str(reader.root), len(train)
        self.skipped = reader.skipped
        self._reader, self._train = reader, train
        self._framing, self._still = framing, framing.still()
        self._direction, self._classes = sides.direction, sides.classes
        self._channels = (sides.classes or sides.channels[0], sides.channels[1])
        self.fields = {
            name: Field((channels, *framing.sides), *IMAGE_RANGE)
            for name, channels in zip(("source", "target"), self._channels, strict=True)
        }
        self._kept = kept
        self.held_out = HeldOut(lambda pair: reader.one(partial(self._decode, pair)), kept, self.fields).examples()

    def load(self, index: int, rng: torch.Generator) -> dict[str, Tensor] | None:
        return self._reader.one(partial(self._decode, self._train[index], rng))

    def preview(self, most: int) -> dict[str, Preview]:
        chosen = [self._train[i] for i in spread_indices(self.size, most)]
        made, read = self._reader.stacked(self._decode, chosen, self.fields)
        return {name: Preview(part, originals(partial(self._original, name), read)) for name, part in made.items()}

    def resident(self) -> TensorData:
        """The same pairs, not augmented, in memory."""
        train, read = self._reader.stacked(self._decode, self._train, self.fields)
        if not len(train["source"]):
            raise GanflowError(f"data.path: none of the {self.size} pairs in {self.source} can be read")
        held_out, _ = self._reader.stacked(self._decode, self._kept, self.fields)
        data = TensorData(
            self.name, train, held_out, source=self.source, original=lambda field, row: self._original(field, read[row])
        )
        data.skipped = self.skipped
        return data

    def _original(self, field: str, pair: Pair) -> Original | None:
        """The picture of one side; a half where both lie in one file."""
        first = (field == "source") == (self._direction == "AtoB")
        channels = self._channels[field == "target"]
        found = self._reader.original(pair.a if first else pair.b or pair.a, pair.frame, channels)
        return replace(found, size=(found.size[0] // 2, found.size[1])) if found and pair.b is None else found

    def _decode(self, pair: Pair, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        a, file_b = self._reader.open(pair.a, pair.frame), pair.b or pair.a
        if pair.b is None:
            half = a.width // 2
            a, b = a.crop((0, 0, half, a.height)), a.crop((half, 0, 2 * half, a.height))
        else:
            b = self._reader.open(pair.b, pair.frame)
            if b.size != a.size:  # of frames after the first, whose sizes no header tells
                raise Unusable(pair.b, f"{b.width} × {b.height}, where {pair.a} has {a.width} × {a.height}")
        cut = (self._still if rng is None else self._framing).cut(a.width, a.height, rng)
        sides = [(a, pair.a), (b, file_b)]
        source, target = sides if self._direction == "AtoB" else sides[::-1]
        numbers = self._reader.numbers
        return {
            "source": numbers(*source, self._channels[0], cut) if self._classes is None else classes(*source, self._classes, cut),
            "target": numbers(*target, self._channels[1], cut),
        }

    def fingerprint(self) -> str:
        """Of the files and of what is done to them: see ganflow_layers.files.digest_of_files."""
        treatment = repr((self._framing, self._direction, self._channels, self._classes)) + self._reader.treatment
        return digest_of_files(self._reader.root, [f for pair in self._train if not pair.frame for f in pair.files], treatment)
