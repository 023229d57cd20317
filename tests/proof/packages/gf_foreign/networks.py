"""Networks as they are found: nobody wrote them for ganflow, and this file is used as it is."""

import torch
from torch import nn


class DigitDecoder(nn.Module):
    def __init__(self, latent_size=8, n_classes=10, hidden=32, side=16):
        super().__init__()
        self.side = side
        self.label_emb = nn.Embedding(n_classes, n_classes)
        first, last = nn.Linear(latent_size + n_classes, hidden), nn.Linear(hidden, side * side)
        self.model = nn.Sequential(first, nn.ReLU(), last, nn.Tanh())

    def decode(self, input, y, temperature=1.0):
        code = torch.cat((temperature * input, self.label_emb(y)), -1)
        return self.model(code).view(-1, 1, self.side, self.side)

    def forward(self, input, y):
        return self.decode(input, y), y


class DigitJudge(nn.Module):
    def __init__(self, n_classes=10, hidden=32, side=16):
        super().__init__()
        self.label_emb = nn.Embedding(n_classes, n_classes)
        self.model = nn.Sequential(nn.Linear(side * side + n_classes, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))

    def forward(self, img, y):
        return self.model(torch.cat((img.flatten(1), self.label_emb(y)), -1))
