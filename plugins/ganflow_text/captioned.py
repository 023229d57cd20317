"""Pictures with sentences: what birds and folders have in common."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from ganflow_layers.cache import cache_key, cached
from ganflow_layers.framing import Transform
from safetensors.torch import save_file
from torch import Tensor

from ganflow import (
    ENCODER_FILE,
    IMAGE_RANGE,
    Examples,
    Field,
    Original,
    Preview,
    StreamData,
    TextEncoder,
    in_threads,
    spread_indices,
)
from ganflow_text.encoding.matching import squeezed

Captions = Sequence[Sequence[str]]
VERSION = "1"


class CaptionedData(StreamData):
    """Fields "real", (channels, height, width) in [-1, 1], and "text", the vector of one of the picture's sentences, drawn anew
    each time. A held-out picture has its first sentence.

    Attributes:
        encoder: it has learnt from the training part.
        sentences: of the training pictures.
        held_out_sentences: one for each held-out picture.

    Args:
        name, source: see ganflow.Data.
        shape: (channels, height, width).
        sentences, held_out_sentences: of every picture.
        encoder: learns here, unless that was done before with the same examples.
        digest: of the examples; the key under which what is learnt of them is kept.
    """

    def __init__(
        self,
        name: str,
        source: str,
        shape: tuple[int, int, int],
        sentences: Captions,
        held_out_sentences: Captions,
        encoder: TextEncoder,
        digest: str,
    ) -> None:
        self.name, self.source, self.size, self.digest = name, source, len(sentences), digest
        self.sentences, self.encoder = sentences, encoder
        self.held_out_sentences = [several[0] for several in held_out_sentences]
        self._counts = [len(several) for several in sentences]
        self._firsts = (torch.tensor(self._counts).cumsum(0) - torch.tensor(self._counts)).tolist()
        self._learn()
        self.fields = {"real": Field(shape, *IMAGE_RANGE), "text": Field((encoder.dim,), kind="embedding")}
        self.held_out = {"real": self.held_out_pictures(), "text": self._kept}

    def _learn(self) -> None:
        encoder, about = self.encoder, self.encoder.about()

        def learnt() -> dict[str, Tensor]:
            encoder.learn(self.sentences, lambda side: squeezed(self.reduced(side), side))
            return encoder.state()

        encoder.load_state(cached("encoder", cache_key(VERSION, about, self.digest), learnt))
        flat = [sentence for several in self.sentences for sentence in several]

        def encoded() -> dict[str, Tensor]:
            return {"train": encoder.encode(flat), "held_out": encoder.encode(self.held_out_sentences)}

        vectors = cached("text", cache_key(VERSION, about, self.digest, *self.held_out_sentences), encoded)
        self._train, self._kept = vectors["train"], vectors["held_out"]

    @abstractmethod
    def picture(self, index: int, rng: torch.Generator) -> Tensor | None:
        """Training picture `index`, augmented with draws from `rng`; None where it is left out."""

    @abstractmethod
    def reduced(self, side: int) -> Tensor:
        """All training pictures, not augmented, (n, channels, height, width), whose shorter side has so many pixels."""

    @abstractmethod
    def held_out_pictures(self) -> Examples:
        """(n, channels, height, width), decoded when they are asked for."""

    @property
    def resident_bytes(self) -> int:
        return self._train.nbytes + self._kept.nbytes

    def load(self, index: int, rng: torch.Generator) -> dict[str, Tensor] | None:
        row = self._firsts[index] + int(torch.randint(self._counts[index], (), generator=rng))
        picture = self.picture(index, rng)
        return None if picture is None else {"real": picture, "text": self._train[row]}

    def still(self, index: int) -> Tensor | None:
        """Training picture `index`, not augmented; None where it is left out."""
        return self.picture(index, torch.Generator().manual_seed(index))

    def original(self, index: int) -> Original | None:
        """Training picture `index` as its file has it; None where it has none."""
        return None

    def preview(self, most: int) -> dict[str, Preview]:
        rows = spread_indices(self.size, most)
        stills = list(in_threads(self.still, rows))
        read = [row for row, still in zip(rows, stills, strict=True) if still is not None]
        if not read:
            return {}
        originals = [each for each in in_threads(self.original, read) if each is not None]
        vectors = self._train[torch.tensor([self._firsts[row] for row in read])]
        pictures = torch.stack([still for still in stills if still is not None])
        return {"real": Preview(pictures, originals), "text": Preview(vectors, texts=[self.sentences[row][0] for row in read])}

    def fingerprint(self) -> str:
        """Of the examples and the encoder."""
        return hashlib.sha256(f"{self.digest} {self.encoder.about()} {self.shape}".encode()).hexdigest()[:16]

    def keep(self, folder: Path) -> None:
        save_file({name: t.contiguous() for name, t in self.encoder.state().items()}, folder / ENCODER_FILE)


def cut_as(still: Transform) -> str:
    """Crop and proportions of pictures, whatever their size: part of the key under which an encoder of them is kept."""
    height, width = still.sides
    common = math.gcd(height, width)
    return still.crop if height == width else f"{still.crop} {height // common}:{width // common}"


def smaller(still: Transform, side: int) -> Transform:
    """A transform of the same pieces, whose shorter side has so many pixels."""
    least = min(still.sides)
    size = tuple(round(pixels * side / least) for pixels in still.sides)
    return replace(still, size=size, resize=size)
