"""Whether the parts of a recipe fit each other: tried with two examples, so that what does not is said by name before
anything trains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ganflow.errors import GanflowError
from ganflow.game.game import Game, evaluating, fork_rng
from ganflow.game.held import losses_in
from ganflow.loss import AddedTerms, Batch, mixes_examples
from ganflow.recipe import Recipe


def check_fit(recipe: Recipe, game: Game) -> None:
    """Send two examples through the networks.

    Raises:
        GanflowError: parts do not fit each other.
    """
    if game.one_pass and game.critic is not None and mixes_examples(game.critic):
        remedy = "give the critic another norm (critic.norm=layer, instance or none), or set train.one_pass=false"
        raise GanflowError(f"train.one_pass: the critic has batch norm, which would mix real and fake examples; {remedy}")
    if game.critic is None:
        for chosen in recipe.modifiers:
            if _hooks(chosen.settings) <= {"critic", "critic_stepped"}:
                raise GanflowError(f"modifier '{chosen.component.name}' works on a critic, and the recipe has none; take it out")
    loss: Any = game.loss
    fields, fit = game.data.fields, _Fit(recipe, game)
    if missing := [name for name in loss.reads if name not in fields]:
        raise GanflowError(
            f"loss '{recipe.loss.component.name}' reads {_listed(loss.reads)} of every example; {fit.data} has only "
            f"{_listed(fields)}, not {_listed(missing)}: choose other data, or another loss"
        )
    for part in (loss, *losses_in(loss)[1:]):  # a loss by whose formulas another plays may have needs, too
        part.check(game)
    batch = game.blank(2)
    with torch.no_grad(), fork_rng(torch.device("cpu")), evaluating(game):
        if hasattr(loss, "score"):  # a ScoreLoss, under modifiers or not
            for domain in loss.domains:
                fit.check_generator(loss.reals(batch, domain), lambda of=domain: loss.generate(game, batch, of))
                fit.check_critic(loss.reals(batch, domain), batch, domain)
        elif game.prior is not None and "real" in fields:
            fit.check_generator(batch["real"], lambda: game.generator(batch["z"]))


def check_cut(recipe: Recipe, game: Game, workers: int) -> None:
    """See that a batch which is cut, into micro-batches or between workers, trains what the whole batch would.

    Raises:
        GanflowError: a term is no mean over examples, is not declared to be one, or changes state when it is computed.
    """
    parts, cuts = recipe.train.accumulate, []
    if parts > 1:
        cuts.append(("train.accumulate", f"cut into {parts} micro-batches", "set train.accumulate=1"))
    if workers > 1:
        cuts.append(("--workers", f"shared by {workers} workers", "train with one"))
    for key, cut, advice in cuts:
        for loss in losses_in(game.loss):
            kind: Any = type(loss)  # a modifier's terms pass on their loss's name
            name = getattr(kind, "term", None) or (None if isinstance(loss, AddedTerms) else getattr(loss, "name", None))
            what = f"the loss {name or kind.__name__}"
            if not loss.mean_over_examples:
                unsure = "does not declare that its terms are means over examples (mean_over_examples = True)"
                raise GanflowError(f"{key}: {what} {unsure}, and only such a batch can be {cut}; {advice}")
            for term, why in loss.whole_batch.items():
                raise GanflowError(f"{key}: with the term '{term}' a batch cannot be {cut}: {why}; {advice}")
        for key_of_state in changed_by_terms(game):
            what = f"the loss's state {key_of_state} changes when its terms are computed"
            raise GanflowError(f"{key}: {what}, so a batch cannot be {cut}; {advice}")


def changed_by_terms(game: Game) -> list[str]:
    """The names of the loss's state that a step's terms change: what it keeps of examples."""
    if "loss" not in game.extras:
        return []
    state = game.extras["loss"].state_dict(keep_vars=True)
    before = {name: t.detach().clone() for name, t in state.items()}
    steps = [game.loss.critic_terms, game.loss.generator_terms] if game.critic is not None else [game.loss.generator_terms]
    changed: dict[str, None] = {}
    with fork_rng(game.device), evaluating(game), torch.enable_grad():
        for number in range(2):  # the first may bring what is kept where it was already
            batch = {name: t + 0.1 * number for name, t in game.blank(2).items()}
            for terms in steps:
                terms(game, dict(batch))
            changed |= dict.fromkeys(name for name, t in state.items() if not torch.equal(t, before[name]))
    with torch.no_grad():
        for name, t in state.items():
            t.copy_(before[name])
    return list(changed)


class _Fit:
    def __init__(self, recipe: Recipe, game: Game) -> None:
        self.game, self.data = game, f"data '{recipe.data.component.name}'"
        self.generator = f"generator '{recipe.generator.component.name}'"
        self.critic = f"critic '{recipe.critic.component.name}'" if recipe.critic else ""
        self.loss = f"loss '{recipe.loss.component.name}'"
        self.prior = f"prior '{recipe.prior.component.name}'" if recipe.prior else ""

    def check_generator(self, real: Tensor, generate: Any) -> None:
        try:
            fake = generate()
        except (RuntimeError, TypeError, KeyError) as error:
            if self.game.prior is not None:
                what = f"latents of shape {self.game.prior.shape} from {self.prior}"
            else:
                what = f"what {self.loss} gives it"
            raise GanflowError(f"{self.generator} does not take {what}: {error}") from error
        if fake.shape != real.shape:
            raise GanflowError(
                f"{self.generator} makes examples of shape {tuple(fake.shape[1:])}; {self.data} has shape {tuple(real.shape[1:])}"
            )

    def check_critic(self, real: Tensor, batch: Batch, domain: str) -> None:
        if self.game.critic is None:
            return
        try:
            scores = self.game.loss.score(self.game, real, batch, domain)  # type: ignore[attr-defined]
        except (RuntimeError, TypeError) as error:
            raise GanflowError(
                f"{self.critic} does not take examples of shape {tuple(real.shape[1:])}, which {self.data} has: {error}"
            ) from error
        if scores.shape[:1] != (2,):
            raise GanflowError(
                f"{self.critic} gives scores of shape {tuple(scores.shape)} for a batch of 2; "
                "the first dimension must be the batch"
            )


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def _hooks(settings: Any) -> set[str]:
    """The hooks that a component implements."""
    return {name for name in dir(settings) if hasattr(getattr(type(settings), name, None), "ganflow_impl")}
