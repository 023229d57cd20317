"""Networks that put sentences and pictures into one space, where those that belong together are near each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganflow_text.encoding.words import PAD


class SentenceNet(nn.Module):
    """Rows of words, (n, length), to unit vectors, (n, dim): convolutions over words, then the greatest value of every channel
    over the sentence (the convolutional half of Reed et al.'s char-CNN-RNN, on words).

    Padding is set to zero in every layer, so that a sentence's vector does not depend on its neighbours in the batch.
    """

    def __init__(self, words: int, dim: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width, padding_idx=PAD)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(4))
        self.out = nn.Linear(width, dim)

    def forward(self, rows: Tensor) -> Tensor:
        there = (rows != PAD)[:, None]
        x = self.words(rows).transpose(1, 2)
        for layer in self.layers:
            x = (x + F.relu(layer(x))) * there
        greatest = x.masked_fill(~there, -torch.inf).amax(2)
        return F.normalize(self.out(greatest.nan_to_num(neginf=0.0)), dim=1)


class PictureNet(nn.Module):
    """Pictures, (n, 3, side, side), to unit vectors, (n, dim). Positions count, so the last layer sees every one."""

    def __init__(self, side: int, dim: int, width: int = 24, channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        while side > 4:
            layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
            side, channels, width = side // 2, width, min(2 * width, 256)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side * side, dim))

    def forward(self, pictures: Tensor) -> Tensor:
        return F.normalize(self.layers(pictures), dim=1)


def squeezed(pictures: Tensor, side: int) -> Tensor:
    """Squares of pictures of any size, (n, channels, side, side), for a PictureNet: larger ones are averaged."""
    height, width = pictures.shape[2:]
    if height == width == side:
        return pictures
    if min(height, width) >= side:
        return F.adaptive_avg_pool2d(pictures, side)
    return F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)


def matching_loss(pictures: Tensor, sentences: Tensor, scale: float) -> Tensor:
    """Matching loss of pictures and sentences, unit vectors (n, dim) that belong together row by row and are to find each other
    among all n: the mean of both ways' cross-entropies, the cosines times `scale` being the scores.

    It is the structured joint embedding of Reed et al. 2016 (arXiv:1605.05395, eq. 3), which asks that the right one be nearer
    than each other one, with a softmax over all others in place of a margin, as in AttnGAN (Xu et al. 2017, arXiv:1711.10485,
    eq. 10)."""
    scores = scale * pictures @ sentences.T
    right = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
