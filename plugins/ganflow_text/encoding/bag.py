"""Bag of words: counts of a sentence's words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganflow import GanflowError, Pictures, TextEncoder
from ganflow_text.encoding.words import UNKNOWN, Vocabulary


class Bag(TextEncoder):
    """See ganflow_text.encoders.BagOfWords for the keys."""

    def __init__(self, words: int, least: int) -> None:
        self._words, self._least = words, least
        self._load(Vocabulary([]), torch.empty(0), torch.empty(0))

    def about(self) -> str:
        return f"bag of words 1 {self._words} {self._least}"

    def learn(self, captions: Sequence[Sequence[str]], pictures: Pictures) -> None:
        flat = [sentence for several in captions for sentence in several]
        vocabulary = Vocabulary(Vocabulary.of(flat, self._least).words[: self._words])
        there = _counts(vocabulary, flat)
        self._load(vocabulary, there.mean(0), there.std(0).clamp(min=1e-3))

    def _load(self, vocabulary: Vocabulary, mean: Tensor, spread: Tensor) -> None:
        self.vocabulary, self._mean, self._spread = vocabulary, mean, spread
        self.dim = len(vocabulary.words)

    def encode(self, sentences: Sequence[str]) -> Tensor:
        return (_counts(self.vocabulary, sentences) - self._mean) / self._spread

    def unknown(self, sentence: str) -> list[str]:
        return self.vocabulary.unknown(sentence)

    def state(self) -> dict[str, Tensor]:
        return {"vocabulary": self.vocabulary.tensor(), "mean": self._mean, "spread": self._spread}

    def load_state(self, state: dict[str, Tensor]) -> None:
        try:
            self._load(Vocabulary.from_tensor(state["vocabulary"]), state["mean"], state["spread"])
        except KeyError as error:
            raise GanflowError(f"this is not the state of a bag of words: it has no {error}") from None


def _counts(vocabulary: Vocabulary, sentences: Sequence[str]) -> Tensor:
    """Counts of each word in each sentence, (n, words)."""
    counts = torch.zeros(len(sentences), len(vocabulary))
    rows = vocabulary.rows(sentences)
    counts.scatter_add_(1, rows, torch.ones(rows.shape))
    return counts[:, UNKNOWN + 1 :]
