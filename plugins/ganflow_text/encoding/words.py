"""Sentences as rows of numbers: which words there are, and which of them are known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+|,")
PAD, UNKNOWN = 0, 1


def tokens(sentence: str) -> list[str]:
    """Words and numbers in lower case, and commas, which tell what belongs together."""
    return _TOKEN.findall(sentence.lower())


class Vocabulary:
    """The words of some sentences, each with a number from 2 on: 0 fills rows up, 1 is any other word."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._number = {word: i for i, word in enumerate(words, 2)}

    @classmethod
    def of(cls, sentences: Iterable[str], least: int = 1) -> Vocabulary:
        """The words that occur at least so many times, the most frequent first."""
        times = Counter(word for sentence in sentences for word in tokens(sentence))
        return cls([word for word, n in sorted(times.items(), key=lambda item: (-item[1], item[0])) if n >= least])

    def __len__(self) -> int:
        return len(self.words) + 2

    def rows(self, sentences: Sequence[str]) -> Tensor:
        """(n, length of the longest) int64."""
        numbers = [[self._number.get(word, UNKNOWN) for word in tokens(s)] for s in sentences]
        table = torch.full((len(numbers), max([1, *map(len, numbers)])), PAD)
        for row, words in zip(table, numbers, strict=True):
            row[: len(words)] = torch.tensor(words, dtype=torch.int64)
        return table

    def unknown(self, sentence: str) -> list[str]:
        """The sentence's words that are not in it, each once."""
        return [word for word in dict.fromkeys(tokens(sentence)) if word not in self._number and word != ","]

    def tensor(self) -> Tensor:
        """As bytes of UTF-8, for a file of tensors: words never hold a line's end."""
        return torch.tensor(list("\n".join(self.words).encode()), dtype=torch.uint8)

    @classmethod
    def from_tensor(cls, data: Tensor) -> Vocabulary:
        text = bytes(data.tolist()).decode()
        return cls(text.split("\n") if text else [])
