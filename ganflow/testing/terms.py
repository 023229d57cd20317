"""Losses and added terms."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ganflow.game import Game
from ganflow.game.fit import Alike, differences_of_halves
from ganflow.game.game import evaluating, fork_rng
from ganflow.game.held import losses_in
from ganflow.loss import AddedTerms, mixes_examples
from ganflow.testing.trial import Trial


def try_loss(trial: Trial) -> None:
    """The loss's terms, which train both players."""
    try_parts(trial, (trial.game.loss,))
    for player in trial.players:
        total = sum(trial.game.terms_of(trial.game.step(player, trial.batch())).values())
        assert isinstance(total, Tensor)
        trial.expect(total.requires_grad, f"the {player}'s terms carry no gradient")
        parameters = [p for p in trial.game.get_submodule(player).parameters() if p.requires_grad]
        found = torch.autograd.grad(total, parameters, allow_unused=True)
        trial.expect(any(g is not None and bool(g.any()) for g in found), f"no gradient of the {player}'s terms reaches its network")


def try_terms(trial: Trial) -> None:
    """The terms that a modifier adds, when they take part, and that they change something."""
    for part in trial.game.terms:
        whole = {"every": part.every, "begin": part.begin} | ({} if part.end is None else {"end": part.end})
        for name, number in whole.items():
            fit = isinstance(number, int) and not isinstance(number, bool) and number >= (name == "every")
            trial.expect(fit, f"`{name}` is {number!r}; it must be a whole number, {int(name == 'every')} or more")
        trial.expect(part.end is None or part.end > part.begin, f"its terms end with round {part.end} and begin with {part.begin}; "
                                                                "they would never take part")  # fmt: skip
    try_parts(trial, trial.game.terms)


def try_parts(trial: Trial, parts: tuple[AddedTerms, ...]) -> None:
    """Finite scalars by name, the same each time, with gradients, means over examples or said to be none, computed alike in one
    pass; no state changes before the step."""
    game, names, arrived = trial.game, set[str](), False
    for part in parts:
        for player in trial.players:
            terms = terms_of(trial, part, player)
            again = terms_of(trial, part, player)
            trial.expect(terms.keys() == again.keys(), f"the {player}'s terms are {', '.join(terms) or 'none'}, then "
                                                       f"{', '.join(again) or 'none'}; say by begin, end and every when they take part")  # fmt: skip
            names |= terms.keys()
            parameters = [p for p in (*game.get_submodule(player).parameters(), *game.extras.parameters()) if p.requires_grad]
            for term in terms.values():
                found = torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=True) if term.requires_grad else ()
                arrived = arrived or any(g is not None and bool(g.any()) for g in found)
                finite = all(bool(g.isfinite().all()) for g in found if g is not None)
                trial.expect(finite, f"a gradient of the {player}'s terms is not finite; keep roots and logarithms away from 0")
        trial.expect(bool(names), "it gives no terms at all; name some in critic_terms or generator_terms")
        trial.expect(arrived, "no gradient of its terms reaches a network; compute them with the step's tensors, not detached ones")
    learnt = {name: p for name, p in game.extras.named_parameters() if p.requires_grad}
    if learnt and (total := sum(game.terms_of(game.step("generator", trial.batch())).values())) is not None:
        for name, gradient in zip(learnt, torch.autograd.grad(total, list(learnt.values()), allow_unused=True), strict=True):
            trial.expect(gradient is not None, f"its parameter {name} has no gradient in the generator's step, which trains what a "
                                               "loss holds; use it there, or keep a buffer")  # fmt: skip
    try_cut(trial, names, parts)
    try_one_pass(trial)


def terms_of(trial: Trial, part: AddedTerms, player: str) -> dict[str, Tensor]:
    """A player's terms of one part."""
    terms = getattr(part, f"{player}_terms")(trial.game.step(player, trial.batch()))  # type: ignore[arg-type]
    trial.expect(isinstance(terms, dict), f"the {player}'s terms are a {type(terms).__name__}; they must be a dict of named scalars")
    for name, term in terms.items():
        scalar = isinstance(term, Tensor) and term.dim() == 0 and bool(term.isfinite())
        trial.expect(scalar, f"the {player}'s term '{name}' is not a finite scalar tensor")
    return dict(terms)


def try_cut(trial: Trial, names: set[str], parts: tuple[AddedTerms, ...]) -> None:
    """Terms of halves of a batch average to the whole's, but for those in `whole_batch`."""
    aside = {name: why for part in losses_in(parts) for name, why in part.whole_batch.items()}
    for name, why in aside.items():
        trial.expect(isinstance(why, str) and bool(why), f"whole_batch says no reason for '{name}'; write half a sentence")
        known = any(term == name or term.startswith(f"{name}_") for term in names)
        trial.expect(known, f"whole_batch names '{name}', and its terms are {', '.join(sorted(names))}")
    for what in differences_of_halves(trial.game):
        if not any(f"term '{name}" in what for name in aside):
            advice = "change it by step.change, critic_stepped or generator_stepped" if "state" in what else "name it there"
            trial.expect(False, f"{what}; {advice}")


def try_one_pass(trial: Trial) -> None:
    """Real and generated examples may go through the critic together: the terms are the same. Tried on a copy in double precision,
    all random numbers alike."""
    game, random = trial.game, torch.device("cpu")
    if game.critic is None or mixes_examples(game.critic):
        return
    shared = [part for part in (game.data, game.prior) if part is not None]
    tried: Game = copy.deepcopy(game, {**{id(part): part for part in shared}, id(game.players): {}}).double()
    batch = {name: t.double() if t.is_floating_point() else t for name, t in trial.batch().items()}
    with fork_rng(random), evaluating(tried), torch.enable_grad(), Alike():  # type: ignore[no-untyped-call]
        for player in trial.players:
            found: list[Mapping[str, Tensor]] = []
            for together in (False, True):
                tried.one_pass, tried.together = together, together and not mixes_examples(tried.generator)
                found.append(tried.terms_of(tried.step(player, batch)))
            for name, term in found[0].items():
                apart, once = float(term.detach()), float(found[1][name].detach())
                trial.expect(math.isclose(apart, once, rel_tol=1e-9, abs_tol=1e-12), f"with train.one_pass the {player}'s term '{name}' "
                             f"is {once:.6g}, without {apart:.6g}; score examples by step.scores and step.score")  # fmt: skip
