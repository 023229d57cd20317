"""Data and priors: named fields, resident, indexed or iterable data, and the distribution of z."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganflow.contract.examples import Examples, StoredExamples, bytes_in_memory, pieces
from ganflow.contract.preview import Original, Preview, spread_indices
from ganflow.machine import in_threads


class Prior(ABC):
    """A distribution over z.

    Attributes:
        shape: of one draw, e.g. (100,).
        support: the lowest and highest value a draw can have; None for the whole line.
    """

    shape: tuple[int, ...]
    support: tuple[float, float] | None = None

    @abstractmethod
    def sample(self, *lead: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu") -> torch.Tensor:
        """Independent draws, shape (*lead, *shape), on `device` (which must be the generator's)."""

    @abstractmethod
    def between(self, a: torch.Tensor, b: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Points on the way from draws `a` to `b`, each (*shape), at t in [0, 1], shape (n,): shape (n, *shape).
        The way stays where the prior has mass: a great circle for a normal prior, a straight line for a uniform one."""


@dataclass(frozen=True)
class Field:
    """Shape, range and kind of one tensor of a batch, without the batch dimension.

    Attributes:
        shape: (channels, height, width) for images, (d,) for points and embeddings, () for classes.
        low, high: the range of values, None where unbounded. Images are in [-1, 1].
        classes: names of the classes 0, 1, …, whose tensors are int64; empty for other fields.
        frequencies: the share of each class among the training examples, where it is known.
        kind: "image", "points", "embedding" or "class". Left empty: "class" where there are classes, "image" for three
            dimensions, else "points".

    Raises:
        ValueError: the kind is unknown, or does not go with the classes.
    """

    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None
    classes: tuple[str, ...] = ()
    frequencies: tuple[float, ...] | None = None
    kind: str = ""

    def __post_init__(self) -> None:
        usual = "class" if self.classes else "image" if len(self.shape) == 3 else "points"
        object.__setattr__(self, "kind", self.kind or usual)
        if self.kind not in _FIELDS:
            raise ValueError(f"a field of kind '{self.kind}'; kinds: {', '.join(_FIELDS)}")
        if (self.kind == "class") != bool(self.classes):
            raise ValueError(f"a field of kind '{self.kind}' with {len(self.classes)} classes; kind 'class' needs their names")
        if self.classes and (self.shape or len(set(self.classes)) < len(self.classes)):
            raise ValueError(f"a class field has shape () and classes of different names, not shape {self.shape}, {self.classes}")
        if self.frequencies is not None and len(self.frequencies) != len(self.classes):
            raise ValueError(f"{len(self.frequencies)} frequencies of {len(self.classes)} classes")

    @property
    def is_image(self) -> bool:
        return self.kind == "image"

    def blank(self, n: int) -> Tensor:
        """n examples of zeros, (n, *shape): int64 for classes, else float32."""
        return torch.zeros(n, *self.shape, dtype=torch.int64 if self.kind == "class" else torch.float32)

    def draw(self, n: int, generator: torch.Generator, balanced: bool = False) -> Tensor:
        """n classes, (n,): as often as the training examples have them, where that is known.

        Args:
            balanced: every class as often as the others, in turn.
        """
        count = len(self.classes)
        if balanced:
            return torch.arange(n) % count
        weights = torch.tensor(self.frequencies or [1 / count] * count)
        return torch.multinomial(weights, n, replacement=True, generator=generator)


_FIELDS = ("image", "points", "embedding", "class")
IMAGE_RANGE = (-1.0, 1.0)


class Data(ABC):
    """Real examples.

    Attributes:
        name: short, for logs: "digits".
        fields: what a batch holds, by name. The unconditional field is called "real".
        size: the number of training examples; None where it is unknown.
        held_out: examples never trained on, (n, *shape) per field: CPU tensors, or what is decoded when it is asked for
            (`examples[:8]` is a tensor, `examples[:]` all of them); may be empty.
        aligned: whether the i-th held-out examples of all fields belong together, so that they can be compared.
        source: where the examples come from, for the record: a path, or "scikit-learn".
        skipped: files that were left out because they cannot be read, as far as they are known by now.
        held_out_names: the files of the held-out examples, below `source`, those that cannot be read included; may be empty.
    """

    name: str
    fields: dict[str, Field]
    size: int | None
    held_out: Mapping[str, Examples]
    aligned: bool = True
    source: str = ""
    skipped: Sequence[str] = ()
    held_out_names: Sequence[str] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example of the first field."""
        return self.main.shape

    @property
    def main(self) -> Field:
        """The first field: "real" where there is no other."""
        return next(iter(self.fields.values()))

    @property
    def resident_bytes(self) -> int:
        """Bytes of memory that the examples keep as long as the data are used, those of mapped files included."""
        return bytes_in_memory(self.held_out)

    @abstractmethod
    def fingerprint(self) -> str:
        """A short digest that changes when the training examples do."""

    def preview(self, most: int) -> Mapping[str, Preview]:
        """Up to so many training examples by field, not augmented, at equal distances, each field's by themselves where they do
        not belong together. Nothing that training depends on changes. Nothing where there is no such way: then examples are drawn
        as for training, or, of an iterable, held-out ones are used."""
        return {}

    def keep(self, folder: Path) -> None:  # noqa: B027  (most have nothing)
        """Write into the folder of a new run whatever sampling needs besides the networks: a text encoder's weights, say."""

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x), shape (n,), for points x of shape (n, d), where the density is known.

        Raises:
            NotImplementedError: the density is not known; `knows_density` says so beforehand.
        """
        raise NotImplementedError(f"the density of {self.name} is not known")

    @property
    def knows_density(self) -> bool:
        return type(self).log_density is not Data.log_density


class TensorData(Data):
    """Examples that fit in memory. They are kept on the training device and sampled there, with replacement.

    Args:
        name: for logs.
        train: (n, *shape) per field, int64 (n,) for classes, else float; all with the same n, where they are paired. Each is a
            tensor, or `StoredExamples`: rows of one that stays in its type, or in its file.
        held_out: the same fields, not trained on.
        ranges: (low, high) per field; image fields (3 dimensions) default to (-1, 1), others to unbounded.
        source: where they come from.
        paired: whether the i-th examples of all fields belong together. Where not, each field is drawn by itself.
        classes: names of the classes 0, 1, … of the fields that hold such.
        derived: fields that follow from the others, and so are left out of the fingerprint: what a digit shows.
        original: for `preview`, the picture of a field's n-th training example as its file has it; None where it has none.

    Raises:
        ValueError: fields differ in length where they are paired, or a tensor of classes does not hold what it should.
    """

    size: int
    held_out: dict[str, Examples]

    def __init__(
        self,
        name: str,
        train: Mapping[str, Tensor | StoredExamples],
        held_out: Mapping[str, Examples] | None = None,
        ranges: Mapping[str, tuple[float | None, float | None]] | None = None,
        source: str = "",
        paired: bool = True,
        classes: Mapping[str, Sequence[str]] | None = None,
        derived: Collection[str] = (),
        original: Callable[[str, int], Original | None] | None = None,
    ) -> None:
        self.name, self.source, self._original = name, source, original
        self.train: dict[str, Tensor | StoredExamples] = dict(train)
        self.held_out = dict(held_out or {})
        self.paired, self._derived = paired, frozenset(derived)
        sizes = {len(t) for t in self.train.values()}
        if paired and len(sizes) != 1:
            raise ValueError(f"fields of {name} differ in length: { {k: len(t) for k, t in self.train.items()} }")
        self.size = max(sizes) if min(sizes) else 0
        self.fields = {
            field: Field(tuple(t.shape[1:]), *((ranges or {}).get(field) or (IMAGE_RANGE if len(t.shape) == 4 else (None, None))))
            for field, t in self.train.items()
        }
        for field, names in (classes or {}).items():
            for part in (self.train, self.held_out):
                if field not in part:
                    continue
                labels = part[field][:]
                if not (labels.dtype == torch.int64 and labels.dim() == 1 and ((labels >= 0) & (labels < len(names))).all()):
                    raise ValueError(f"field {field} of {name} is not int64 of shape (n,) between 0 and {len(names) - 1}")
            self.fields[field] = class_field(names, self.train[field][:])

    @property
    def resident_bytes(self) -> int:
        return bytes_in_memory(self.train, self.held_out)

    def preview(self, most: int) -> dict[str, Preview]:
        found = {}
        for name, part in self.train.items():
            rows, originals = spread_indices(len(part), most), []
            if self._original:
                originals = [each for each in in_threads(partial(self._original, name), rows) if each]
            found[name] = Preview(part[torch.tensor(rows, dtype=torch.int64)].cpu(), originals)
        return found

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name in sorted(self.train.keys() - self._derived):
            digest.update(f"{name}{tuple(self.train[name].shape)}{self.train[name][:1].dtype}".encode())
            for piece in pieces(self.train[name]):
                digest.update(piece.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]


def class_field(names: Sequence[str], labels: Tensor) -> Field:
    """The field of the classes of these names, as often as they are among the labels (n,) of the training examples."""
    counts = labels.bincount(minlength=len(names)).double()
    return Field((), classes=tuple(names), frequencies=tuple((counts / max(1, len(labels))).tolist()))


class StreamData(Data):
    """Examples loaded one by one in background threads, in an order that the seed fixes, each once per epoch.

    Resuming needs nothing but the number of examples drawn so far: an item's augmentation depends on (seed, epoch,
    index) alone, not on which thread loads it, or when.
    """

    size: int

    @abstractmethod
    def load(self, index: int, rng: torch.Generator) -> dict[str, Tensor] | None:
        """Example `index` in 0 … size − 1: one CPU tensor (*shape) per field, augmented with draws from `rng`.
        None leaves the example out (an unreadable file under on_error: skip); the next one takes its place.
        Called from several threads at once. What it returns must follow from `index` and `rng` alone."""


class IterableData(Data):
    """Examples that come one after another, their number unknown: shards, a simulation, a reader of another library.

    A subclass sets `name`, `fields` and `held_out`, and says by `state_dict` where its iteration stands, as torchdata's stateful
    data sets and loaders do. An iteration that ends begins again (an epoch); one that never ends is fine. Examples are drawn in
    the iteration's sequence; a shuffle, and what is read in advance, are the iterable's own. Each of several workers iterates
    over all examples and keeps its share of every batch, so that all of them must see the same sequence: random numbers come from
    a generator of the iterable's own, whose seed is a key of the component, and whose state is part of `state_dict`.
    """

    size = None

    @abstractmethod
    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        """Begin an iteration, or go on where `load_state_dict` has put it: one CPU tensor (*shape) per field and example. Only
        the newest iterator is used."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """The position after the last example that the newest iterator gave: tensors, numbers, strings, None, and lists, tuples
        and dicts of them. Taken at any moment between two examples, before the first and after the last too; often, so it is
        small."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back, or on, to where `state` was taken: the next `iter()` gives the examples that came after it. Where it was taken
        after an iteration's last example, that may be none."""
