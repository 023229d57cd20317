"""Survey of data: range, levels and repetitions of some examples, and reasons to doubt that anything can be learnt of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from ganflow.contract.data import Data, Field, IterableData, StreamData
from ganflow.contract.preview import Original, Preview, range_advice, spread_indices
from ganflow.errors import GanflowError
from ganflow.machine import in_threads

EXAMINED = 32
"""Examples that are looked at before a run begins."""
FEW = 12  # images of which a critic knows each one by heart, whatever is done against it
CORNER = 0.25  # share of the range below which images are as good as flat
MANY = 0.1  # share of images that are blank or copies, from which on a generator's look so, too
CLIPPED = 0.01  # share of pixels beyond black and white from which on it is no mere speck


@dataclass(frozen=True)
class Seen:
    """Some examples of a field.

    Attributes:
        field: shape, range and kind.
        examples: (n, *shape), on the CPU.
        originals: the pictures as their files have them, as far as there are files.
        texts: a sentence about each, where there are such.
    """

    field: Field
    examples: Tensor
    originals: Sequence[Original] = ()
    texts: Sequence[str] = ()

    @property
    def low(self) -> float:
        return float(self.examples.min())

    @property
    def high(self) -> float:
        return float(self.examples.max())

    @property
    def levels(self) -> int:
        """Different values that there are."""
        return len(self.examples.unique())

    @property
    def flat(self) -> int:
        """Examples of one colour: each channel holds one value throughout."""
        return int(self._one_colour().sum())

    @property
    def repeated(self) -> int:
        """Examples that are equal, number by number, to one before them; images mirrored, too."""
        return _repeated(self.examples, self.field)

    @property
    def copies(self) -> int:
        """Those of them that are not of one colour."""
        return _repeated(self.examples[~self._one_colour()], self.field)

    @property
    def clipped(self) -> float | None:
        """Share of the originals' numbers beyond black and white; None where no range is for them."""
        pixels = [(one.size[0] * one.size[1], one.outside) for one in self.originals if one.outside is not None]
        return sum(n * outside for n, outside in pixels) / sum(n for n, _ in pixels) if pixels else None

    @property
    def holds(self) -> str:
        """A range that holds all of the originals' numbers, where they are known, as an override; else empty."""
        ends = [original.numbers for original in self.originals if original.numbers]
        return range_advice(min(low for low, _ in ends), max(high for _, high in ends)) if ends else ""

    def _one_colour(self) -> Tensor:
        channels = self.examples.flatten(2) if self.field.is_image else self.examples.flatten(1)
        alike = channels.amin(-1) == channels.amax(-1)
        return alike.all(1) if alike.dim() > 1 else alike


def _repeated(examples: Tensor, field: Field) -> int:
    """The number of examples that equal one before them. A mirror image counts as the same: some data are mirrored at random."""
    mirrored = examples.flip(-1) if field.is_image else examples
    sides = zip(examples, mirrored, strict=True)
    return len(examples) - len({min(one.numpy().tobytes(), other.numpy().tobytes()) for one, other in sides})


def survey(data: Data, most: int = EXAMINED, *, iterate: bool = False) -> dict[str, Seen]:
    """Examine so many training examples, at equal distances and not augmented; of an iterable that has no preview, held-out ones.

    Args:
        iterate: an iterable's first examples instead: it is not to be trained on.

    Returns:
        By field. Nothing where there are no examples.
    """
    found = data.preview(most) or {name: Preview(part) for name, part in _drawn(data, most, iterate).items()}
    return {name: Seen(data.fields[name], p.examples.cpu(), p.originals, p.texts) for name, p in found.items() if len(p.examples)}


def _drawn(data: Data, most: int, iterate: bool) -> dict[str, Tensor]:
    """Examples of data that have no preview."""
    if isinstance(data, IterableData) and not iterate:
        return {name: part[:most] for name, part in data.held_out.items()}
    rows = list(islice(iter(data), most)) if isinstance(data, IterableData) else _loaded(data, most)
    return {name: torch.stack([row[name] for row in rows]) for name in data.fields} if rows else {}


def _loaded(data: Data, most: int) -> list[Mapping[str, Tensor]]:
    """Examples of a stream, by several threads: most are decoded."""
    assert isinstance(data, StreamData)
    rows = in_threads(lambda index: data.load(index, torch.Generator().manual_seed(index)), spread_indices(data.size, most))
    return [row for row in rows if row is not None]


@dataclass(frozen=True)
class Doubt:
    """Reason to doubt that anything can be learnt, in one sentence that says what helps; certain where nothing can be."""

    text: str
    certain: bool = False


def doubts(data: Data, seen: dict[str, Seen], keys: Collection[str] = ()) -> list[Doubt]:
    """Reasons to doubt images, as far as some of them show.

    Args:
        keys: of the data's component, for what helps.
    """
    found = [doubt for name, part in seen.items() if part.field.is_image for doubt in _of_images(name, part, keys)]
    size = data.size
    if data.main.is_image and size is not None and size < FEW:
        images = "there is 1 image" if size == 1 else f"there are {size} images"
        more = "a critic knows them by heart within minutes; a few dozen are needed, hundreds are better"
        found.append(Doubt(f"data: {images} to train on: {more}"))
    return found


def _of_images(name: str, part: Seen, keys: Collection[str]) -> Iterator[Doubt]:
    n, low, high = len(part.examples), part.low, part.high
    what, clipped = f"data, field '{name}'", _clipped(part)
    if low == high:
        level = f"every pixel of the {n} images that were looked at is {low:.2f}"
        helps = _helps(keys, "transparent pictures lie over black by data.background=black, and ")
        helps = f"; {clipped}" if clipped else helps
        yield Doubt(f"{what}: {level}, on a scale from −1 to 1: there is nothing to learn{helps}", certain=True)
        return
    if n > 1 and part.repeated == n - 1:
        same = f"all {n} images that were looked at are the same one: there is nothing to learn"
        yield Doubt(f"{what}: {same}", certain=True)
        return
    if high - low < 2 * CORNER or low > -0.01 or high < 0.01:
        corner = f"the pixels of {n} images lie between {low:.2f} and {high:.2f}, and could be anything from −1 to 1"
        holds = f"; {part.holds} holds what is in the files"
        yield Doubt(f"{what}: {corner}{'' if clipped else holds if part.holds else _helps(keys)}")
    if many := _blank_or_copied(part):
        everything = part.flat == n and not clipped
        yield Doubt(f"{what}: {many}{_helps(keys) if everything else ''}")
    if clipped:
        yield Doubt(f"{what}: {clipped}")


def _blank_or_copied(part: Seen) -> str:
    """Empty where few images are of one colour, and few are copies."""
    n, flat, copies = len(part.examples), part.flat, part.copies
    if flat + copies < max(2, MANY * n):
        return ""
    blank = [f"{flat} of {n} images are of one colour"] if flat else []
    twice = [f"{copies} of {n} images are exact duplicates of others, or of their mirror images"] if copies else []
    return f"{', and '.join(blank + twice)}: a generator learns them as often as they are there; take away what does not belong"


def _clipped(part: Seen) -> str:
    """Empty where few pixels lie beyond black and white."""
    if part.clipped is None or part.clipped < CLIPPED:
        return ""
    share = f"{100 * part.clipped:.0f} % of the pixels of {len(part.originals)} files lie outside data.range"
    return f"{share}, and become black or white; {part.holds} holds all of them"


def examined(data: Data, keys: Collection[str]) -> list[str]:
    """Doubts about data that are about to be trained on, a sentence each.

    Args:
        keys: as of `doubts`.

    Raises:
        GanflowError: nothing can be learnt of them.
    """
    found = doubts(data, survey(data), keys)
    if nothing := next((doubt for doubt in found if doubt.certain), None):
        raise GanflowError(nothing.text)
    return [doubt.text for doubt in found]


def _helps(keys: Collection[str], first: str = "") -> str:
    if "background" in keys and "range" in keys:
        return f"; {first}'data.range=[BLACK, WHITE]' says which numbers in the files are black and white"
    return "; data.range=unit is for numbers from 0 to 1" if "range" in keys else ""
