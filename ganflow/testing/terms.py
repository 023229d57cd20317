"""Losses and added terms."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ganflow.contract.loss import AddedTerms, mixes_examples
from ganflow.engine.build import Alike, differences_of_halves
from ganflow.engine.game import Game, evaluating, fork_rng
from ganflow.engine.losses import losses_in, wrong_span
from ganflow.testing.trial import Trial


def try_scalars(trial: Trial) -> None:
    """Compute all that the component adds to the sums that the players descend, before anybody else does."""
    for part in trial.game.terms or trial.game.parts:
        for player in trial.players:
            terms_of(trial, part, player)


def try_loss(trial: Trial) -> None:
    """The loss's terms, which train both players."""
    try_parts(trial, (trial.game.loss,))
    for player in trial.players:
        total = sum(trial.game.terms_of(trial.game.step(player, trial.batch())).values(), torch.zeros(()))
        trial.expect(total.requires_grad, f"the {player}'s terms carry no gradient")
        parameters = [p for p in trial.game.get_submodule(player).parameters() if p.requires_grad]
        found = torch.autograd.grad(total, parameters, allow_unused=True)
        arrived = any(g is not None and bool(g.any()) for g in found)
        trial.expect(arrived, f"no gradient of the {player}'s terms arrives at its network")


def try_terms(trial: Trial) -> None:
    """The terms that a modifier adds: their span, and that they change something."""
    for part in trial.game.terms:
        text = wrong_span(part)
        trial.expect(text is None, text or "")
    try_parts(trial, trial.game.terms)


def try_parts(trial: Trial, parts: tuple[AddedTerms, ...]) -> None:
    """Finite scalars by name, the same each time, with gradients; means over examples, but for those in `whole_batch`; the same
    in one pass. No state changes before the step."""
    game, names, arrived = trial.game, set[str](), False
    for part in parts:
        for player in trial.players:
            terms, again = (terms_of(trial, part, player) for _ in range(2))
            listed = [", ".join(found) or "none" for found in (terms, again)]
            advice = "say by begin, end and every when they take part"
            trial.expect(terms.keys() == again.keys(), f"the {player}'s terms are {listed[0]}, then {listed[1]}; {advice}")
            names |= terms.keys()
            parameters = [p for p in (*game.get_submodule(player).parameters(), *game.extras.parameters()) if p.requires_grad]
            for term in terms.values():
                found = torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=True) if term.requires_grad else ()
                arrived = arrived or any(g is not None and bool(g.any()) for g in found)
                finite = all(bool(g.isfinite().all()) for g in found if g is not None)
                trial.expect(finite, f"a gradient of the {player}'s terms is not finite; keep roots and logarithms away from 0")
        trial.expect(bool(names), "it gives no terms at all; name some in critic_terms or generator_terms")
        trial.expect(arrived, "no gradient of its terms arrives at a network; compute them without detach")
    learnt = {name: p for name, p in game.extras.named_parameters() if p.requires_grad}
    if learnt:
        total = sum(game.terms_of(game.step("generator", trial.batch())).values(), torch.zeros(()))
        found = torch.autograd.grad(total, list(learnt.values()), allow_unused=True)
        for name, gradient in zip(learnt, found, strict=True):
            what = f"its parameter {name} has no gradient in the generator's step, in which it is trained"
            trial.expect(gradient is not None, f"{what}; use it there, or make it a buffer")
    try_cut(trial, names, parts)
    try_one_pass(trial)


def terms_of(trial: Trial, part: AddedTerms, player: str) -> dict[str, Tensor]:
    """A player's terms of one part."""
    terms = getattr(part, f"{player}_terms")(trial.game.step(player, trial.batch()))  # type: ignore[arg-type]
    kind = type(terms).__name__
    trial.expect(isinstance(terms, dict), f"the {player}'s terms are a {kind}; they must be a dict of named scalars")
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
    """Real and generated examples may go through the critic together: the terms are the same. Tried on a copy in double
    precision, all random numbers alike."""
    game = trial.game
    if game.critic is None or mixes_examples(game.critic):
        return
    shared = [part for part in (game.data, game.prior) if part is not None]
    tried: Game = copy.deepcopy(game, {**{id(part): part for part in shared}, id(game.players): {}}).double()
    batch = {name: t.double() if t.is_floating_point() else t for name, t in trial.batch().items()}
    with fork_rng(torch.device("cpu")), evaluating(tried), torch.enable_grad(), Alike():  # type: ignore[no-untyped-call]
        for player in trial.players:
            found: list[Mapping[str, Tensor]] = []
            for together in (False, True):
                tried.one_pass, tried.together = together, together and not mixes_examples(tried.generator)
                found.append(tried.terms_of(tried.step(player, batch)))
            for name, term in found[0].items():
                apart, once = float(term.detach()), float(found[1][name].detach())
                what = f"with train.one_pass the {player}'s term '{name}' is {once:.6g}, without {apart:.6g}"
                same = math.isclose(apart, once, rel_tol=1e-9, abs_tol=1e-12)
                trial.expect(same, f"{what}; score examples by step.scores and step.score, and do not ask for step.together")
