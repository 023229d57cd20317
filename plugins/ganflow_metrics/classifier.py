"""A small network that reads scikit-learn's digits: its features measure generated ones, its answers say what is legible.

On digits that it was not trained on it is right in 98 of 100. It has never seen anything else, so that its certainty means
little elsewhere: it is 90 % sure of one in four pictures of noise, and of two in five pairs of digits laid over each other.

Its training is part of every score: an edit of this file makes a new classifier (the cache's key holds this file's digest).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from ganflow_data.digits import enlarge, read
from ganflow_layers.cache import cache_key, cached
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

SIDE = 16  # pixels of the images that it sees
FEATURES = 64
EPOCHS, BATCH, RATE = 20, 64, 1e-3


class DigitsClassifier(nn.Module):
    """Images (n, 1, SIDE, SIDE) in [-1, 1] to features (n, FEATURES) and, by `head`, to logits of the ten digits (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * (SIDE // 4) ** 2, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, 10)

    @torch.no_grad()
    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, FEATURES) and probabilities of the digits (n, 10), float64, of images (n, 1, height, width) of any size
        in [-1, 1]."""
        images = images.double()
        if images.shape[2:] != (SIDE, SIDE):
            images = interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)
        features = self.body(images)
        return features, self.head(features).softmax(1)


def digits_classifier() -> DigitsClassifier:
    """The classifier, trained in seconds once per machine and kept in the user's cache folder."""
    small, labels = read()
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    data = hashlib.sha256(small.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed every GPU, too
        made = DigitsClassifier().double()
    about = cache_key(code, data, torch.__version__)
    made.load_state_dict(cached("digits-classifier", about, lambda: train(made, small, labels)))
    return made.eval()


def train(network: DigitsClassifier, small: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The trained network's tensors, from digits (n, 8, 8) in [0, 1] with their labels (n,).

    In float64 and on one thread, so that machines agree.
    """
    images = (enlarge(small, SIDE) * 2 - 1).double()
    draws = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    with one_thread(), torch.enable_grad():
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(images), generator=draws).split(BATCH):
                optimizer.zero_grad()
                cross_entropy(network.head(network.body(images[rows])), labels[rows]).backward()
                optimizer.step()
    return {name: t.detach() for name, t in network.state_dict().items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread meanwhile: sums over several depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
