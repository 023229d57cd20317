"""Text encoders: their keys."""

from __future__ import annotations

from typing import ClassVar

from ganflow import hookimpl, key, settings

LEAST = "times that a word must occur in the captions to be known"


@settings
class Matched:
    """A small network that learns first which captions and pictures belong together: a structured joint embedding (Reed et al.
    2016, arXiv:1605.05395), which StackGAN's char-CNN-RNN was trained by, too. It knows pictures as well, so that a loss can ask
    whether a generated picture is what the sentence says (`match`).

    It learns once, in half a minute to a minute; the result is kept in the user's cache folder and with every run.
    """

    tried_with: ClassVar = {"steps": 8, "batch": 32}

    dim: int = key(128, "numbers of a sentence's vector", ge=1, le=4096)
    side: int = key(32, "pixels a side of the pictures that it learns from, whatever the run's own size", ge=8, le=256)
    steps: int = key(400, "updates", ge=1)
    batch: int = key(256, "pictures and captions in an update, each told from all the others", ge=2)
    rate: float = key(2e-3, "learning rate of Adam; it falls to zero in the second half", gt=0)
    least: int = key(1, LEAST, ge=1)
    seed: int = key(0, "of its weights and of the order of examples", ge=0, lt=2**63)

    @hookimpl
    def encoder(self):
        from ganflow_text.encoding.matched import Matched as Encoder

        return Encoder(self.dim, self.side, self.steps, self.batch, self.rate, self.least, self.seed)


@settings
class BagOfWords:
    """Word counts, each less its mean and divided by its spread over the captions. It knows which colours and parts
    there are, and not which belong together: what other encoders are measured against."""

    words: int = key(1024, "the most frequent words, at most so many", ge=1, le=65536)
    least: int = key(1, LEAST, ge=1)

    @hookimpl
    def encoder(self):
        from ganflow_text.encoding.bag import Bag

        return Bag(self.words, self.least)


@settings
class SentenceTransformer:
    """A pretrained sentence transformer (Reimers & Gurevych 2019, arXiv:1908.10084) from a folder; nothing is downloaded, and
    the folder must stay where it is. Needs `pip install 'ganflow[text]'`."""

    path: str = key(doc="the model's folder")

    @hookimpl
    def encoder(self):
        from ganflow_text.encoding.sentence_transformer import Transformer

        return Transformer(self.path)


OFFERS = [
    ("encoder", "matched", Matched),
    ("encoder", "bag_of_words", BagOfWords),
    ("encoder", "sentence_transformer", SentenceTransformer),
]
