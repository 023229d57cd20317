"""The game that stands for all packed trials: the first one's, with tensors for the numbers in which they differ."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ganflow.data import Data
from ganflow.errors import GanflowError
from ganflow.game.build import built_round
from ganflow.game.compiled import first_words
from ganflow.game.game import Game
from ganflow.game.player import parts_of
from ganflow.game.round import Draws, Round
from ganflow.packed.numbers import NotPackable, Number, Watch, template
from ganflow.plugins import blame
from ganflow.recipe import Recipe
from ganflow.signature import Z


def build_template(recipe: Recipe, numbers: Sequence[Number], data: Data, example: Draws) -> Round:
    """The template's round, ready to be traced.

    Raises:
        NotPackable: a component needs its numbers as Python's, or an optimizer cannot be traced.
    """
    with explained("the template of a pack cannot be built"), Watch(all=False):
        made = built_round(template(recipe, numbers), data)
        for name, part in parts_of(made.game.players).items():
            if not part.traceable:
                kind = type(part.optimizer).__name__
                raise NotPackable(f"the {name}'s optimizer ({kind}) is not one that a trace can follow")
            part.optimizer.traceable()  # type: ignore[attr-defined]
    if recipe.train.accumulate > 1 or not _each_alone(made.game, example):
        return made
    made.game.one_pass = made.game.together = True
    return Round(
        made.game,
        made.n_critic,
        precision=made.precision,
        one_batch=made.one_batch,
        critic_stepped=made.critic_stepped,
        generator_stepped=made.generator_stepped,
        settings=made.settings,
    )


def _each_alone(game: Game, example: Draws) -> bool:
    """Whether both networks treat every example alone, without randomness or state: then what they get in several passes
    may go through in one. Tried, in double precision."""
    if game.critic is None or set(game.signatures[game.maker].inputs) != {Z} or game.condition or len(game.domains) > 1:
        return False
    z = example["z"][:2].double()
    try:
        with torch.no_grad():
            fakes = _alone(game.generator, z)
            return fakes is not None and _alone(game.critic, fakes) is not None
    except Exception:
        return False  # it wants other arguments: whatever it is, it is not the simple case


def _alone(network: nn.Module, x: Tensor) -> Tensor | None:
    """The results for a pair of batches, one by one; None where both at once give others."""
    network = copy.deepcopy(network).double()
    state = {name: t.clone() for name, t in network.state_dict().items()}
    randoms = torch.get_rng_state()
    one_by_one = torch.stack([network(batch) for batch in x])
    together = network(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    same_state = all(torch.equal(t, state[name]) for name, t in network.state_dict().items())
    drew = not torch.equal(randoms, torch.get_rng_state())
    close = torch.allclose(one_by_one, together, rtol=1e-10, atol=1e-12)
    return one_by_one if close and same_state and not drew else None


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Whatever goes wrong inside is why trials cannot be packed; the plugin whose code it was is named."""
    try:
        yield
    except Exception as error:
        if isinstance(error, NotPackable | GanflowError):
            plugin = blame(error)
            raise NotPackable(f"{plugin} {error}" if plugin else str(error)) from error
        plugin = blame(error)
        raise NotPackable(f"{what}{f' ({plugin})' if plugin else ''}: {first_words(error)}") from error
