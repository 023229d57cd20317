"""Survey of data: range, levels and repetitions of some examples, and reasons to doubt that anything can be learnt of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from ganflow.contract.data import Data, Field, IterableData, StreamData, TensorData
from ganflow.errors import GanflowError
from ganflow.machine import in_threads

EXAMINED = 32
"""Examples that are looked at before a run begins."""
FEW = 12  # images of which a critic knows each one by heart, whatever is done against it
CORNER = 0.25  # share of the range below which images are as good as flat


@dataclass(frozen=True)
class Seen:
    """Some examples of a field.

    Attributes:
        field: shape, range and kind.
        examples: (n, *shape), on the CPU.
    """

    field: Field
    examples: Tensor

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
        """Examples that hold one value throughout."""
        rows = self.examples.flatten(1)
        return int((rows.amin(1) == rows.amax(1)).sum())

    @property
    def repeated(self) -> int:
        """Examples that are equal, number by number, to one before them."""
        return len(self.examples) - len({row.numpy().tobytes() for row in self.examples})


def survey(data: Data, most: int = EXAMINED, *, iterate: bool = False) -> dict[str, Seen]:
    """Examine so many training examples, at equal distances; of an iterable, held-out ones.

    Args:
        iterate: an iterable's first examples instead: it is not to be trained on.

    Returns:
        By field. Nothing where there are no examples.
    """
    if isinstance(data, TensorData):
        found = {name: part[_spread(len(part), most)] for name, part in data.train.items()}
    elif isinstance(data, IterableData) and not iterate:
        found = {name: part[:most] for name, part in data.held_out.items()}
    else:
        rows = list(islice(iter(data), most)) if isinstance(data, IterableData) else _loaded(data, most)
        found = {name: torch.stack([row[name] for row in rows]) for name in data.fields} if rows else {}
    return {name: Seen(data.fields[name], part.cpu()) for name, part in found.items() if len(part)}


def _loaded(data: Data, most: int) -> list[Mapping[str, Tensor]]:
    """Examples of a stream, by several threads: most are decoded."""
    assert isinstance(data, StreamData)
    rows = in_threads(lambda index: data.load(index, torch.Generator().manual_seed(index)), _spread(data.size, most).tolist())
    return [row for row in rows if row is not None]


def _spread(size: int, most: int) -> Tensor:
    """At most so many of 0 … size − 1, at equal distances."""
    return torch.arange(size) if size <= most else torch.arange(most) * size // most


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
    found = []
    for name, part in seen.items():
        if not part.field.is_image:
            continue
        n, low, high = len(part.examples), part.low, part.high
        what = f"data, field '{name}'"
        if low == high:
            level = f"every pixel of the {n} images that were looked at is {low:.2f}"
            helps = _helps(keys, "transparent pictures lie over black by data.background=black, and ")
            found.append(Doubt(f"{what}: {level}, on a scale from −1 to 1: there is nothing to learn{helps}", certain=True))
        elif n > 1 and part.repeated == n - 1:
            same = f"all {n} images that were looked at are the same one: there is nothing to learn"
            found.append(Doubt(f"{what}: {same}", certain=True))
        elif high - low < 2 * CORNER or low > -0.01 or high < 0.01:
            corner = f"the pixels of {n} images lie between {low:.2f} and {high:.2f}, and could be anything from −1 to 1"
            found.append(Doubt(f"{what}: {corner}{_helps(keys)}"))
    size = data.size
    if data.main.is_image and size is not None and size < FEW:
        images = "there is 1 image" if size == 1 else f"there are {size} images"
        more = "a critic knows them by heart within minutes; a few dozen are needed, hundreds are better"
        found.append(Doubt(f"data: {images} to train on: {more}"))
    return found


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
