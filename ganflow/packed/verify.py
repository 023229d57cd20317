"""Whether packed rounds are the trials' own rounds: tried in double precision, where rounding cannot hide a mistake."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganflow.game.attributes import attributes, changes
from ganflow.game.build import twin
from ganflow.game.compiled import SHARE, TOLERANCE, distances
from ganflow.game.round import Draws, Round
from ganflow.game.state import kept_random, load_random_state, untouched
from ganflow.packed.numbers import NotPackable
from ganflow.packed.round import PackedRound
from ganflow.packed.stack import leaves
from ganflow.recipe import Recipe


def verify(packed: PackedRound, recipes: Sequence[Recipe], examples: Sequence[Draws]) -> None:
    """Compare packed rounds on these draws, shape (trials, …) each, with every trial's own. Nothing is changed.

    Raises:
        NotPackable: they end elsewhere.
    """
    with kept_random(packed.device):
        made = [recipe.copied() for recipe in recipes]
        twins = [twin(recipe, round.game) for recipe, round in zip(recipes, packed.rounds, strict=True)]
    for recipe in made:
        recipe.train.precision = "fp64"
    doubled = [{name: t.double() if t.is_floating_point() else t for name, t in draws.items()} for draws in examples]
    copies = PackedRound(made, twins, packed.randoms, _of(0, doubled[0]))
    for i, round in enumerate(twins):
        with untouched(round.game):
            _check_steady(i, round, [_of(i, draws) for draws in doubled])
    _compare(copies, doubled, SHARE)
    precision = packed.rounds[0].precision
    if precision == "bf16":  # its rounds have other operations
        _compare(packed, examples, TOLERANCE[precision])


def _check_steady(i: int, round: Round, examples: Sequence[Draws]) -> None:
    seen = [attributes(round)]
    for draws in examples:
        round(draws)
        seen.append(attributes(round))
    for changed in (changes(*seen[:2], but_made=True), changes(*seen[1:])):
        for text in changed.values():
            raise NotPackable(f"in trial {i} {text} between rounds, and what a round does may depend on it")


def _compare(packed: PackedRound, examples: Sequence[Draws], share: float) -> None:
    before, found = packed.rows(), packed.would_be(examples)
    keys = ", ".join(n.key for n in packed.numbers) or "none"
    for i, round in enumerate(packed.rounds):
        with untouched(round.game):
            load_random_state(packed.device, *packed.randoms[i])
            for draws in examples:
                round(_of(i, draws))
            own = leaves(round.game)
            expected = {name: torch.as_tensor(own[name]).detach().clone() for name in found}
        off = furthest(_of(i, found), expected, _of(i, before), share)
        if off:
            raise NotPackable(
                f"two packed rounds of trial {i} end elsewhere than two of its own ({off}): a component keeps something from "
                f"round to round outside of its tensors, or does not compute with a number's tensor (numbers: {keys})"
            )


def furthest(found: Draws, expected: Draws, before: Draws, share: float) -> str | None:
    """The part of a state that is further off than this share of the way it went, in words. (A trial that diverges at
    once goes no way.)"""
    for part, (off, way) in distances(found, expected, before).items():
        if math.isfinite(way) and not off <= share * way + 1e-7:
            return f"{part}, {off:.2g} off after {way:.2g}"
    return None


def _of(i: int, stacked: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t[i] for name, t in stacked.items()}
