"""A game of given samples."""

import torch


class Player:
    """A game that draws `n` points by `draw(n, generator)`, or the first n of given ones."""

    def __init__(self, draw):
        self._draw, self.asked = draw, []

    def samples(self, n, seed):
        self.asked.append((n, seed))
        if isinstance(self._draw, torch.Tensor):
            return self._draw[:n].float()
        return self._draw(n, torch.Generator().manual_seed(1000 + seed)).float()


def of_mixture(data, shrink=1.0, weights=None, offset=0.0):
    """Draws of a mixture, with modes `shrink` times as wide, of other weights, or beside their centres by `offset` · std."""

    def draw(n, generator):
        modes = torch.multinomial(data.weights if weights is None else torch.tensor(weights), n, True, generator=generator)
        noise = torch.randn(n, data.centres.shape[1], generator=generator)
        return data.centres[modes] + data.std * (shrink * noise + offset)

    return Player(draw)
