"""Whether the parts of a recipe fit each other: tried with two examples, so that what does not is said by name before
anything trains."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ganflow.errors import GanflowError
from ganflow.game.game import Game, evaluating, fork_rng
from ganflow.game.held import losses_in
from ganflow.loss import mixes_examples
from ganflow.recipe import Recipe


def check_fit(recipe: Recipe, game: Game) -> None:
    """Send two examples through the networks, and play each player's step on them.

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
    for part in losses_in(game.parts):
        part.check(game)
    fit = _Fit(recipe, game)
    step = game.step("generator", game.blank(2))
    with torch.no_grad(), fork_rng(torch.device("cpu")), evaluating(game):
        for domain in game.domains:
            fit.check_generator(step, domain)
            fit.check_critic(step, domain)
    game.discover()


def check_cut(recipe: Recipe, game: Game, workers: int) -> None:
    """See that a batch which is cut, into micro-batches or between workers, trains what the whole batch would.

    Raises:
        GanflowError: a term is no mean over examples, or changes state when it is computed.
    """
    parts, cuts = recipe.train.accumulate, []
    if parts > 1:
        cuts.append(("train.accumulate", f"cut into {parts} micro-batches", "set train.accumulate=1"))
    if workers > 1:
        cuts.append(("--workers", f"shared by {workers} workers", "train with one"))
    for key, cut, advice in cuts:
        for part in losses_in(game.parts):
            for term, why in part.whole_batch.items():
                raise GanflowError(f"{key}: with the term '{term}' a batch cannot be {cut}: {why}; {advice}")
    if cuts:
        key, cut, advice = cuts[0]
        for what in differences_of_halves(game):
            raise GanflowError(f"{key}: a batch cannot be {cut}: {what}; {advice}")


def differences_of_halves(game: Game) -> list[str]:
    """What tells that terms are no means over examples: those that are not, on a batch of four, the mean of two halves' terms,
    and state that changes while they are computed. Tried on a copy in double precision, all random numbers alike."""
    shared = [part for part in (game.data, game.prior) if part is not None]
    tried: Game = copy.deepcopy(game, {**{id(part): part for part in shared}, id(game.players): {}}).double()
    whole = {name: _varied(t) for name, t in tried.blank(4).items()}
    halves = [{name: t.chunk(2)[i] for name, t in whole.items()} for i in range(2)]
    players: list[Literal["critic", "generator"]] = ["critic", "generator"] if game.critic is not None else ["generator"]
    found: list[str] = []
    with fork_rng(tried.device), evaluating(tried), torch.enable_grad(), Alike():  # type: ignore[no-untyped-call]
        for player in players:
            state = {name: t.clone() for name, t in tried.extras.state_dict().items()}
            values, *parts = [tried.terms_of(tried.step(player, batch)) for batch in (whole, *halves)]
            for name, term in values.items():
                value, mean = float(term.detach()), sum(float(part[name].detach()) for part in parts) / 2
                if math.isfinite(value) and not math.isclose(mean, value, rel_tol=1e-9, abs_tol=1e-12):
                    found.append(f"the {player}'s term '{name}' is no mean over examples ({value:.6g} for a batch, {mean:.6g} as "
                                 "the mean of its halves), and does not say why (whole_batch)")  # fmt: skip
            for name, t in tried.extras.state_dict().items():
                if not torch.equal(t, state[name]):
                    found.append(f"the loss's state {name} changes while the {player}'s terms are computed, not after the step")
    return found


class Alike(TorchDispatchMode):
    """While this lasts, every random number is the same as all others of its kind."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags and isinstance(made, Tensor):
            made.fill_(0.25) if made.is_floating_point() else made.zero_()
        return made


def _varied(t: Tensor) -> Tensor:
    """Different numbers in [−1, 1]; zeros of another type."""
    if not t.is_floating_point():
        return t
    return torch.linspace(-1, 1, t.numel(), dtype=torch.float64).sin().mul(7).sin().reshape(t.shape).to(t.device)


class _Fit:
    def __init__(self, recipe: Recipe, game: Game) -> None:
        self.game, self.data = game, f"data '{recipe.data.component.name}'"
        self.generator = f"generator '{recipe.generator.component.name}'"
        self.critic = f"critic '{recipe.critic.component.name}'" if recipe.critic else ""
        self.prior = f"prior '{recipe.prior.component.name}'" if recipe.prior else ""

    def check_generator(self, step: Any, domain: str) -> None:
        wanted = (2, *self.game.data.fields[domain].shape)
        inputs: Mapping[str, str] = self.game.signatures[self.game.makers[domain]].inputs
        try:
            fake = step.fake(domain)
        except (RuntimeError, TypeError, KeyError, AttributeError) as error:
            if self.game.prior is not None and set(inputs.values()) == {"z"}:
                what = f"latents of shape {self.game.prior.shape} from {self.prior}"
            else:
                what = _listed(inputs)
            raise GanflowError(f"{self.generator} does not take {what}: {error}") from error
        if tuple(fake.shape) != wanted:
            made = tuple(fake.shape[1:])
            raise GanflowError(f"{self.generator} makes examples of shape {made}; {self.data} has shape {wanted[1:]}")

    def check_critic(self, step: Any, domain: str) -> None:
        if self.game.critic is None:
            return
        x = step.real(domain)
        try:
            scores = step.score(x, domain)
        except (RuntimeError, TypeError, KeyError) as error:
            besides = f" with {_listed(self.game.condition)}" if self.game.condition else ""
            raise GanflowError(
                f"{self.critic} does not take examples of shape {tuple(x.shape[1:])}{besides}, which {self.data} has: {error}"
            ) from error
        for one in scores.values() if isinstance(scores, Mapping) else [scores]:
            if one.shape[:1] != (2,):
                raise GanflowError(
                    f"{self.critic} gives scores of shape {tuple(one.shape)} for a batch of 2; "
                    "the first dimension must be the batch"
                )


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def _hooks(settings: Any) -> set[str]:
    """The hooks that a component implements."""
    return {name for name in dir(settings) if hasattr(getattr(type(settings), name, None), "ganflow_impl")}
