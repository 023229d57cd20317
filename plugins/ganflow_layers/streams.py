"""Streams of samples out of shards, shuffled by a buffer, that go on exactly where they were."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganflow import IMAGE_ERRORS, Field, GanflowError, IterableData, NothingLeft, Original, Preview, image_error_text, in_threads
from ganflow_layers.omissions import Omissions, Unusable
from ganflow_layers.reading import Example, HeldOut

_SNAPSHOT = 64  # samples after which a walk's state is kept: so many are walked over again at most


@dataclass(frozen=True)
class Sample:
    """A sample of a shard.

    Attributes:
        shard, position: where it begins; together they are its reference.
        after: where the next one begins.
        name: for messages.
        parts: what it is made of, by name.
    """

    shard: int
    position: int
    after: int
    name: str
    parts: Mapping[str, Any]


class Source(ABC):
    """Shards of samples.

    Attributes:
        shards: the number of them.
        omissions: what becomes of samples, and shards, that are broken.
    """

    shards: int

    def __init__(self, omissions: Omissions) -> None:
        self.omissions = omissions

    @abstractmethod
    def samples(self, shard: int, position: int) -> Iterator[Sample]:
        """The samples of a shard from a position on; 0 is its beginning. A broken shard ends where it breaks."""

    def found(self, references: Sequence[tuple[int, int]]) -> list[Sample]:
        """The samples of these shards and positions, each shard gone through once at most.

        Raises:
            GanflowError: some are no longer there.
        """
        there: dict[tuple[int, int], Sample] = {}
        wanted = set(references)
        for shard in sorted({shard for shard, _ in wanted}):
            positions = sorted(position for each, position in wanted if each == shard)
            for sample in self.samples(shard, positions[0]):
                if (shard, sample.position) in wanted:
                    there[shard, sample.position] = sample
                if sample.position >= positions[-1]:
                    break
        if missing := wanted - there.keys():
            raise GanflowError(f"data: {len(missing)} samples that were read before the checkpoint are gone; the shards have "
                               "changed since")  # fmt: skip
        return [there[reference] for reference in references]


class Walk:
    """The samples of one epoch after the other, in a sequence that the seed fixes.

    The shards come in another sequence in every epoch. A buffer is filled from them, and a sample is drawn out of it, at random.
    Without a buffer they come as they lie.

    Args:
        size: samples in the buffer; 0 or 1 for none.
        start: shard and position before which samples are left alone: they are held out.
    """

    def __init__(self, source: Source, size: int, seed: int, start: tuple[int, int]) -> None:
        self._source, self._size, self._seed, self._start = source, max(1, size), seed, start
        self._begin(0)

    def _begin(self, epoch: int) -> None:
        self.epoch, self._drawn, self._turn, self._position = epoch, 0, 0, -1
        self._buffer: list[Sample] = []
        self._reading: Iterator[Sample] | None = None
        there = np.arange(self._start[0], self._source.shards)
        shuffled = np.random.default_rng([self._seed, epoch]).permutation(there)
        self._shards: list[int] = (shuffled if self._size > 1 else there).tolist()

    def state(self) -> dict[str, Any]:
        """The position, and references to what is in the buffer."""
        buffered = [(sample.shard, sample.position) for sample in self._buffer]
        return {"epoch": self.epoch, "drawn": self._drawn, "turn": self._turn, "position": self._position,
                "buffer": torch.tensor(buffered, dtype=torch.int64).view(-1, 2)}  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._begin(int(state["epoch"]))
        self._drawn, self._turn, self._position = int(state["drawn"]), int(state["turn"]), int(state["position"])
        references = [(int(shard), int(position)) for shard, position in state["buffer"].tolist()]
        self._buffer = self._source.found(references) if references else []

    def epoch_samples(self) -> Iterator[Sample]:
        """The rest of this epoch; then the next one has begun."""
        while (sample := self._next()) is not None:
            yield sample
        self._begin(self.epoch + 1)

    def _next(self) -> Sample | None:
        while len(self._buffer) < self._size and (read := self._read()) is not None:
            self._buffer.append(read)
        if not self._buffer:
            return None
        last = len(self._buffer) - 1
        chosen = int(np.random.default_rng([self._seed, self.epoch, 1, self._drawn]).integers(last + 1)) if last else 0
        self._drawn += 1
        self._buffer[chosen], self._buffer[last] = self._buffer[last], self._buffer[chosen]
        return self._buffer.pop()

    def _read(self) -> Sample | None:
        """The next sample of the shards; None after the last one."""
        while self._turn < len(self._shards):
            shard = self._shards[self._turn]
            if self._reading is None:
                position = self._position if self._position >= 0 else self._start[1] if shard == self._start[0] else 0
                self._reading = self._source.samples(shard, position)
            sample = next(self._reading, None)
            if sample is not None:
                self._position = sample.after
                return sample
            self._turn, self._position, self._reading = self._turn + 1, -1, None
        return None


class Streamed(IterableData):
    """Examples of the samples of shards, decoded by several threads.

    Args:
        make: the example of a sample, augmented with draws from a generator. What is broken raises one of IMAGE_ERRORS.
        buffer, seed: of the shuffle.
        held_out: the first so many samples are held out.
        digest: of the training examples.
        originals: a sample's pictures as they are there, by field.
    """

    def __init__(
        self, name: str, where: str, source: Source, make: Callable[[Sample, torch.Generator | None], Example],
        fields: Mapping[str, Field], buffer: int, seed: int, held_out: int, digest: str,
        originals: Callable[[Sample], Mapping[str, Original]],
    ) -> None:  # fmt: skip
        self.name, self.source, self.fields = name, where, dict(fields)
        self._shards, self._make, self._seed, self._digest = source, make, seed, digest
        self._originals = originals
        self.skipped = source.omissions.skipped
        kept, start = first_samples(source, held_out)
        if next(iter(Walk(source, 0, seed, start).epoch_samples()), None) is None:
            raise NothingLeft(f"data.held_out: {held_out} leaves nothing of the {len(kept)} samples in {where} for training",
                              f"data.held_out={len(kept) // 10}")  # fmt: skip
        self.held_out = HeldOut(lambda sample: self._one(sample, None), kept, self.fields).examples()
        self._walk = lambda most=buffer: Walk(source, min(buffer, most), seed, start)
        self._base: dict[str, Any] = self._walk().state()
        self._steps = 0  # of the walk since `_base` was taken

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        walk = self._walk()
        walk.load(self._base)
        samples, first = walk.epoch_samples(), self._steps
        for _ in islice(samples, first):
            pass
        snapshots: deque[tuple[int, dict[str, Any]]] = deque()

        def walked() -> Iterator[tuple[int, int, Sample]]:
            for step, sample in enumerate(samples, first + 1):
                yield step, walk.epoch, sample
                if step % _SNAPSHOT == 0:
                    snapshots.append((step, walk.state()))

        def made(each: tuple[int, int, Sample]) -> tuple[int, Example | None]:
            step, epoch, sample = each
            return step, self._one(sample, generator(self._seed, epoch, sample.shard, sample.position))

        based = 0
        for step, example in in_threads(made, walked()):
            while snapshots and snapshots[0][0] <= step:
                based, self._base = snapshots.popleft()
            self._steps = step - based
            if example is not None:
                yield dict(example)
        self._base, self._steps = walk.state(), 0

    def preview(self, most: int) -> dict[str, Preview]:
        """The first training examples, of a buffer no larger than they are many."""
        samples = list(islice(self._walk(most).epoch_samples(), most))
        made, read = self._shards.omissions.stacked(lambda sample: self._example(sample, None), samples, self.fields)
        found = list(in_threads(self._originals, read))
        return {name: Preview(part, [each[name] for each in found if name in each]) for name, part in made.items()}

    def _one(self, sample: Sample, rng: torch.Generator | None) -> Example | None:
        """The example of a sample; None where it is left out."""
        return self._shards.omissions.one(lambda: self._example(sample, rng))

    def _example(self, sample: Sample, rng: torch.Generator | None) -> Example:
        try:
            return self._make(sample, rng)
        except IMAGE_ERRORS as error:
            raise Unusable(sample.name, image_error_text(error)) from error

    def state_dict(self) -> dict[str, Any]:
        return {"walk": self._base, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._base, self._steps = dict(state["walk"]), int(state["steps"])

    def fingerprint(self) -> str:
        return self._digest


def first_samples(source: Source, count: int) -> tuple[list[Sample], tuple[int, int]]:
    """The first so many samples, and the shard and position where the others begin."""
    kept: list[Sample] = []
    for shard in range(source.shards):
        for sample in source.samples(shard, 0):
            if len(kept) == count:
                return kept, (shard, sample.position)
            kept.append(sample)
    return kept, (source.shards, 0)


def generator(*key: int) -> torch.Generator:
    """A generator that follows from numbers alone."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
