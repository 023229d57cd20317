"""Random numbers that belong to examples: the same ones however a batch is cut, put together or shared.

Every example of a run gets a number, which travels through the engine as a further field of the draws. While a step is played,
whatever is drawn for its examples (ε, dropout, codes) comes out of a table, at the row of that number."""

import threading
import zlib
from contextlib import contextmanager

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import _disable_current_modes

from ganflow.engine.game import Game

NUMBER = "number"


class Noise:
    """Stands in for torch's random functions.

    Args:
        examples: how many a run has, of all rounds and draws.
    """

    def __init__(self, examples):
        self.examples, self.tables, self.here = examples, {}, threading.local()

    def table(self, kind, shape):
        """(examples, *shape)."""
        if (kind, shape) not in self.tables:
            generator = torch.Generator().manual_seed(zlib.crc32(repr((kind, shape)).encode()))
            draw = {"rand": torch.rand, "randn": torch.randn}[kind]
            with _disable_current_modes():  # a constant of a graph, not an operation in it
                self.tables[kind, shape] = draw(self.examples, *shape, generator=generator, dtype=torch.float64)
        return self.tables[kind, shape]

    def drawn(self, kind, shape, dtype=None):
        """For the examples of the step that is played: they are the first dimension (so many times over) or the second; what has
        neither goes with the first example."""
        numbers, shape = self.here.numbers, tuple(shape)
        if shape[0] % len(numbers) == 0:
            made = self.table(kind, shape[1:]).index_select(0, numbers.repeat(shape[0] // len(numbers)))
        elif shape[1:2] == (len(numbers),):
            made = self.table(kind, (shape[0], *shape[2:])).index_select(0, numbers).transpose(0, 1)
        else:
            made = self.table(kind, shape).index_select(0, numbers[:1])[0]
        return made.to(dtype or torch.get_default_dtype())

    @contextmanager
    def instead(self):
        """While this lasts, torch draws from the tables, where a step with numbers is played."""
        real = {name: getattr(torch, name) for name in ("rand", "randn", "rand_like", "randn_like")}
        dropout, step = functional.dropout, Game.step

        def drawing(name):
            def stand_in(*shape, generator=None, dtype=None, **arguments):
                if generator is not None or getattr(self.here, "numbers", None) is None:
                    return real[name](*shape, generator=generator, dtype=dtype, **arguments)
                return self.drawn(name, shape[0] if not isinstance(shape[0], int) else shape, dtype)

            return stand_in

        def drawing_like(name):
            def stand_in(t, **arguments):
                if getattr(self.here, "numbers", None) is None:
                    return real[name](t, **arguments)
                return self.drawn(name.removesuffix("_like"), t.shape, t.dtype)

            return stand_in

        def dropped(t, p=0.5, training=True, inplace=False):
            if getattr(self.here, "numbers", None) is None or not training:
                return dropout(t, p, training, inplace)
            return t * (self.drawn("rand", t.shape, t.dtype) >= p) / (1 - p)

        def numbered(game, player, batch, **arguments):
            self.here.numbers = batch.get(NUMBER)
            return step(game, player, batch, **arguments)

        with pytest.MonkeyPatch.context() as patch:
            for name in ("rand", "randn"):
                patch.setattr(torch, name, drawing(name))
                patch.setattr(torch, f"{name}_like", drawing_like(f"{name}_like"))
            patch.setattr(functional, "dropout", dropped)
            patch.setattr(Game, "step", numbered)
            yield
