"""Survey of data: range, levels and repetitions of some examples, and reasons to doubt that anything can be learnt of them."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor

from ganflow.contract.data import Data, Field, IterableData, StreamData
from ganflow.contract.preview import Original, Preview, likely_range, range_override, spread_indices
from ganflow.errors import GanflowError
from ganflow.machine import in_threads

EXAMINED = 32
"""Examples that are looked at before a run begins."""
FEW = 12  # images of which a critic knows each one by heart, whatever is done against it
CORNER = 0.25  # share of the range below which images are as good as flat
MANY = 0.1  # share of images that are blank or copies, from which on a generator's look so, too
DARK = 65535 * CORNER  # white in files of 16 bits that hold fewer
SLACK = 1e-3  # rounding of half-precision pixels
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
    def names(self) -> list[str]:
        """Of the examples: their files', or their numbers, from 1."""
        found = [original.name for original in self.originals]
        return found if len(found) == len(self.examples) and all(found) else [f"#{i + 1}" for i in range(len(self.examples))]

    @property
    def flat(self) -> list[str]:
        """Names of the examples of one colour: each channel holds one value throughout."""
        return [name for name, alike in zip(self.names, self._one_colour().tolist(), strict=True) if alike]

    @property
    def repeated(self) -> int:
        """Examples that are equal, number by number, to one before them; images mirrored, too."""
        return len(self.examples) - len(set(self._digests(self.examples)))

    @property
    def copies(self) -> int:
        """Those of them that are not of one colour."""
        return sum(len(names) - 1 for names in self.duplicates())

    def duplicates(self, held_out: Tensor | None = None, held_out_names: Sequence[str] = ()) -> list[list[str]]:
        """Names of examples that are equal as in `repeated`, and not of one colour, in groups.

        Args:
            held_out: such examples (n, *shape), that are compared with these, too.
            held_out_names: of those.
        """
        alike: dict[bytes, list[str]] = defaultdict(list)
        for name, digest, flat in zip(self.names, self._digests(self.examples), self._one_colour().tolist(), strict=True):
            if not flat:
                alike[digest].append(name)
        for name, digest in zip(held_out_names, self._digests(held_out) if held_out is not None else (), strict=True):
            if digest in alike:
                alike[digest].append(f"{name} (held out)")
        return [names for names in alike.values() if len(names) > 1]

    @property
    def clipped(self) -> float | None:
        """Share of the originals' numbers beyond black and white; None where no range is for them."""
        pixels = [(one.size[0] * one.size[1], one.outside) for one in self.originals if one.outside is not None]
        return sum(n * outside for n, outside in pixels) / sum(n for n, _ in pixels) if pixels else None

    @cached_property
    def numbers(self) -> tuple[float, float] | None:
        """The lowest and the highest of the originals' numbers, as far as they can be known; None where not, or where they are
        those of a file's type anyway."""
        read = in_threads(lambda one: one.numbers or (one.measure() if one.measure else None), self.originals)
        ends = [numbers for numbers in read if numbers]
        found = (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None
        eight = all(original.numbers is None for original in self.originals)
        return None if found and eight and likely_range(*found) == (0, 255) else found

    @property
    def override(self) -> str:
        """A range that holds all of the originals' numbers, where they are known, as an override; else empty."""
        return range_override(*self.numbers) if self.numbers else ""

    def _one_colour(self) -> Tensor:
        channels = self.examples.flatten(2) if self.field.is_image else self.examples.flatten(1)
        alike = channels.amin(-1) == channels.amax(-1)
        return alike.all(1) if alike.dim() > 1 else alike

    def _digests(self, examples: Tensor) -> list[bytes]:
        """A text for each example, the same for those that are equal. A mirror image counts as the same: some data are mirrored
        at random."""
        mirrored = examples.flip(-1) if self.field.is_image else examples
        sides = zip(examples, mirrored, strict=True)
        return [min(one.numpy().tobytes(), other.numpy().tobytes()) for one, other in sides]


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
    """Reason to doubt that anything can be learnt, in one sentence that says what helps; certain where nothing can be.

    Attributes:
        override: a change of the recipe that helps, where there is one.
    """

    text: str
    certain: bool = False
    override: str = ""


def doubts(data: Data, seen: dict[str, Seen], keys: Collection[str] = ()) -> list[Doubt]:
    """Reasons to doubt images, as far as some of them show.

    Args:
        keys: of the data's component, for what helps.
    """
    images = [name for name, part in seen.items() if part.field.is_image]
    found = [doubt for name in images for doubt in _of_images(name, seen[name], keys, alone=len(images) == 1)]
    size = data.size
    if data.main.is_image and size == 1:
        helps = "every sample would be that one; put a few dozen others beside it, hundreds are better"
        return [*(doubt for doubt in found if doubt.certain), Doubt(f"data: there is 1 image to train on: {helps}", certain=True)]
    if data.main.is_image and size is not None and size < FEW:
        more = "a critic knows them by heart within minutes; a few dozen are needed, hundreds are better"
        found.append(Doubt(f"data: there are {size} images to train on: {more}"))
    return found


def _of_images(name: str, part: Seen, keys: Collection[str], alone: bool) -> Iterator[Doubt]:
    n, low, high = len(part.examples), part.low, part.high
    what, clipped = f"data, field '{name}'", _clipped(part)
    flat = part.flat
    if low == high or (alone and len(flat) == n):
        each = f"every pixel of the {n} images that were looked at is {low:.2f}, on a scale from −1 to 1"
        if low != high:
            each = f"each of the {n} images that were looked at is of one colour"
        helps, override = (f"; {clipped}", part.override) if clipped else _against_flat(part, keys)
        yield Doubt(f"{what}: {each}: there is nothing to learn{helps}", certain=True, override=override)
        return
    if n > 1 and part.repeated == n - 1:
        helps = "take away the copies, and put a few dozen others in their place"
        same = f"all {n} images that were looked at are the same one: there is nothing to learn"
        yield Doubt(f"{what}: {same}; {helps}", certain=True)
        return
    if high - low < 2 * CORNER or low > -0.01 or high < 0.01:
        corner = f"the pixels of {n} images lie between {low:.2f} and {high:.2f}, and could be anything from −1 to 1"
        helps, override = ("", "") if clipped else _range(part, keys)
        yield Doubt(f"{what}: {corner}{helps}", override=override)
    elif deep := _dark_among_others(part):
        yield Doubt(f"{what}: {deep}")
    if many := _blank_or_copied(part, flat):
        yield Doubt(f"{what}: {many}")
    if clipped:
        yield Doubt(f"{what}: {clipped}", override=part.override)


def _blank_or_copied(part: Seen, flat: Sequence[str]) -> str:
    """Empty where few images are of one colour, and few are copies."""
    n, copies = len(part.examples), part.copies
    if len(flat) + copies < max(2, MANY * n):
        return ""
    blank = [f"{len(flat)} of {n} images are of one colour"] if flat else []
    twice = [f"{copies} of {n} images are exact duplicates of others, or of their mirror images"] if copies else []
    return f"{', and '.join(blank + twice)}: a generator learns them as often as they are there; take away what does not belong"


def _dark_among_others(part: Seen) -> str:
    """Empty where no range is for the files, or few of 16 bits hold 12 alone, say, beside others that fill theirs."""
    dark = [one.numbers for one in part.originals if one.mode.startswith("I;16") and one.numbers and one.numbers[1] < DARK]
    count = len(part.originals)
    if part.clipped is not None or len(dark) < max(2, MANY * count):
        return ""
    override = range_override(min(low for low, _ in dark), max(high for _, high in dark))
    return (f"{len(dark)} of {count} files have 16 bits, and fill a corner of them, so that they are almost black beside the "
            f"others; {shlex.quote(override)} is for them in a folder of their own")  # fmt: skip


def _clipped(part: Seen) -> str:
    """Empty where few pixels lie beyond black and white."""
    if part.clipped is None or part.clipped < CLIPPED:
        return ""
    share = f"{100 * part.clipped:.0f} % of the pixels of {len(part.originals)} files lie outside data.range"
    return f"{share}, and become black or white; {shlex.quote(part.override)} holds all of them"


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


def _against_flat(part: Seen, keys: Collection[str]) -> tuple[str, str]:
    """Advice on images of one colour, as far as the files show why they are; and an override."""
    if "background" in keys and any(original.transparent for original in part.originals):
        other = "white" if isinstance(keys, Mapping) and keys.get("background") == "black" else "black"
        override = f"data.background={other}"
        return f"; the pictures have transparent pixels, which lie over {other} by {override}", override
    if any(original.numbers and original.numbers[0] < original.numbers[1] for original in part.originals):
        return _range(part, keys)
    return "; put pictures that show something in their place", ""


def _range(part: Seen, keys: Collection[str]) -> tuple[str, str]:
    """Advice on numbers that fill a corner of the range, as far as there is some; and an override."""
    if part.override and "range" in keys:
        return f"; {shlex.quote(part.override)} holds what is in the files", part.override
    if "range" in keys and "background" not in keys:  # of arrays
        return "; data.range=unit is for numbers from 0 to 1", "data.range=unit" if part.low > -SLACK else ""
    return "", ""
