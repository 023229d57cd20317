"""Gradients that arrive: what an optimizer trains is reached by the terms that its player descends."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from ganflow.engine.game import Game, evaluating, fork_rng
from ganflow.errors import PluginError
from ganflow.recipe import Recipe

DETACHED = "compute them without detach"


def check_gradients(recipe: Recipe, game: Game) -> None:
    """Check that gradients arrive at what is trained, by the graphs of the players' steps on a blank batch: of the loss's terms
    at each player that gets any, of all terms together at every part that has an optimizer. Terms that rest in some rounds take
    part, for what only they train is trained.

    Args:
        game: with its players.

    Raises:
        PluginError: they do not.
    """
    loss, tried = recipe.loss.component, game.tried()
    with evaluating(game), fork_rng(game.device), torch.enable_grad():
        for player in game.stepping:
            parts, step = game.players[player].parts, tried.step(player, tried.blank(2))
            alone = tried.terms_of(step, [tried.loss])
            if alone and leaves_of(alone.values()).isdisjoint(id(leaf) for part in parts for leaf in part.leaves):
                raise PluginError(f"{loss}: no gradient of its terms arrives at the {player}; {DETACHED}")
            reached = leaves_of([*alone.values(), *tried.terms_of(step, tried.terms).values()])
            for part in parts:
                if reached.isdisjoint(map(id, part.leaves)):
                    what = f"no gradient of any term arrives at {part.name}, which an optimizer trains"
                    raise PluginError(f"{loss}: {what}; {DETACHED}, or freeze it")


def leaves_of(terms: Iterable[Tensor]) -> set[int]:
    """The ids of the leaves that the gradient of a sum of terms arrives at, by its graph alone: nothing is computed."""
    total = reduce(torch.add, terms, torch.zeros(()))
    found, seen, waiting = set[int](), set[Any](), [total.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)  # which keeps it, and its identity
        found.add(id(getattr(node, "variable", None)))
        waiting += [before for before, _ in node.next_functions]
    return found
