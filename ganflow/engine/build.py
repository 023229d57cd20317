"""From a recipe to a game that is ready to play, its parts tried on two examples."""

from __future__ import annotations

import copy
import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ganflow.advised import Advised
from ganflow.contract.data import Data
from ganflow.contract.game import Metric
from ganflow.contract.roles import Tracker
from ganflow.engine.allocation import counted_memory
from ganflow.engine.batch_norm import synchronize
from ganflow.engine.compat import DispatchMode
from ganflow.engine.distributed import Group
from ganflow.engine.fit import check_fit, group_size
from ganflow.engine.game import Game, evaluating, fork_rng, seed_generators
from ganflow.engine.gradients import check_gradients
from ganflow.engine.losses import check_parts, losses_in
from ganflow.engine.optimizers import make_players
from ganflow.engine.round import Round
from ganflow.engine.state import game_state, load_game_state, scoring
from ganflow.errors import GanflowError, did_you_mean
from ganflow.plugins import Composition
from ganflow.recipe import Recipe

WORKERS = Advised("workers", "--workers")


def check_cut(recipe: Recipe, game: Game, workers: int) -> None:
    """See that a batch which is cut, into micro-batches or between workers, trains what the whole batch would.

    Raises:
        GanflowError: a term is no mean over examples, or changes state when it is computed.
    """
    parts, cuts = recipe.train.accumulate, list[tuple[str, str, str]]()
    if parts > 1:
        cuts.append(("train.accumulate", f"cut into {parts} micro-batches", "set train.accumulate=1"))
    if workers > 1:
        cuts.append((WORKERS, f"shared by {workers} workers", "train with one"))
    for key, cut, advice in cuts:
        for part in losses_in(game.parts):
            for term, why in part.whole_batch.items():
                raise GanflowError(key + f": with the term '{term}' a batch cannot be {cut}: {why}; {advice}")
    if cuts:
        key, cut, advice = cuts[0]
        piece, together = recipe.train.batch_size // (parts * workers), group_size(game.critic)
        if piece % together:
            raise GanflowError(key + f": the critic compares {together} examples with each other, and of a batch {cut} a piece "
                               f"has {piece}: take pieces of a multiple of {together}, or {advice}")  # fmt: skip
        for what in differences_of_halves(game, rows=2 * max(2, together)):
            raise GanflowError(key + f": a batch cannot be {cut}: {what}; {advice}")


def differences_of_halves(game: Game, rows: int = 4) -> list[str]:
    """Signs that terms are no means over examples: those that are not, on a batch of so many rows, the mean of two halves' terms,
    and state that changes while they are computed. Tried on a copy in double precision, all random numbers alike."""
    tried = copied(game).double()
    whole = {name: _varied(t) for name, t in tried.blank(rows).items()}
    halves = [{name: t.chunk(2)[i] for name, t in whole.items()} for i in range(2)]
    found: list[str] = []
    with fork_rng(tried.device), evaluating(tried), torch.enable_grad(), Alike():  # type: ignore[no-untyped-call]
        for player in game.stepping:
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


def check_alone(recipe: Recipe, game: Game, workers: int) -> None:
    """See that the networks can be trained on the examples that they get at a time, where that is one. Tried on a copy.

    Raises:
        GanflowError: they normalize over the examples of a batch.
    """
    train = recipe.train
    if train.batch_size > train.accumulate * workers or (workers > 1 and train.batch_norm == "sync"):
        return
    tried = copied(game).train()
    try:
        with fork_rng(tried.device), torch.enable_grad():
            for player in game.stepping:
                tried.terms_of(tried.step(player, tried.blank(1)))
    except ValueError as error:
        if "more than 1 value" not in str(error):
            raise
        key, remedy = "train.batch_size", "set train.batch_size=2 or more"
        if train.batch_size > 1:
            key = "train.accumulate" if train.accumulate > 1 else WORKERS
            remedy = f"set train.batch_size={2 * train.accumulate * workers} or more"
        raise GanflowError(key + ": the networks get one example at a time, and batch norm of vectors normalizes over several: "
                           f"{remedy}, or take a norm that needs no batch") from error  # fmt: skip


def copied(game: Game) -> Game:
    """A copy of a game, which shares data and prior and has no players."""
    shared = [part for part in (game.data, game.prior) if part is not None]
    made: Game = copy.deepcopy(game, {**{id(part): part for part in shared}, id(game.players): {}})
    return made


class Alike(DispatchMode):
    """Mode in which every random operation returns constants."""

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


DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "fp64": torch.float64, "auto": torch.float32}
"""Of the weights, by `train.precision`."""


def settled(precision: str, device: torch.device) -> str:
    """The meaning of `train.precision` where nothing is measured: `auto` is bf16 on a CUDA device that has its arithmetic,
    else fp32."""
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def pick_device(name: str) -> torch.device:
    """The device that `train.device` means; `auto` is the best there is.

    Raises:
        GanflowError: the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if (device.index or 0) >= there[device.type]:
        raise GanflowError(f"train.device: this machine has no {name}; use auto or cpu")
    return device


def build_game(
    recipe: Recipe, composition: Composition, data: Data, *, players: bool = True, group: Group | None = None
) -> Game:
    """Networks, loss and (unless the game is only sampled from) optimizers.

    The networks' initial weights come from torch's generator seeded with `train.seed`, the generator's first.

    Args:
        group: the workers that train it together; None for this one alone.

    Raises:
        GanflowError: the parts do not fit each other.
    """
    train = recipe.train
    device = pick_device((group.device if group else None) or train.device)
    seed_generators(device, train.seed)
    condition = condition_of(recipe, data)
    composition.check_condition(condition)
    prior = composition.build("prior") if recipe.prior else None
    about: dict[str, Any] = {"data": data, "prior": prior, "condition": condition}
    with _counted(recipe, "generator"):
        generator: nn.Module = composition.build("generator", **about)
    with _counted(recipe, "critic"):
        critic: nn.Module | None = composition.build("critic", **about) if recipe.critic else None
    loss, added = composition.build("loss", **about), composition.build_terms(**about)
    called, terms = [f"loss '{recipe.loss.component.name}'", *(name for name, _ in added)], [part for _, part in added]
    check_parts([loss, *terms], called)
    game = Game(
        data, prior, generator, critic, loss, terms,
        condition=condition, one_pass=train.one_pass, version=recipe.version, called=called,
    )  # fmt: skip
    check_fit(recipe, game)
    if group and train.batch_norm == "sync":
        synchronize(game, group)
    game.to(device=device, dtype=DTYPES[train.precision])
    if train.channels_last:
        game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if players:
        check_cut(recipe, game, group.size if group else 1)
        check_alone(recipe, game, group.size if group else 1)
        with counted_memory("the optimizers", "make the networks smaller"):
            game.players = make_players(
                game, composition, train.rounds, schedule_rounds=train.schedule_rounds, clip_norm=train.clip_grad, group=group
            )
        check_gradients(recipe, game)
    return game


def _counted(recipe: Recipe, role: str) -> AbstractContextManager[None]:
    """The memory of a network is counted while it is made."""
    if (chosen := getattr(recipe, role)) is None:
        return nullcontext()
    name = chosen.component.name
    return counted_memory(f"{role} '{name}'", f"make it smaller, by its keys: ganflow plugins show {role}/{name}")


def build_metrics(composition: Composition, game: Game) -> list[Metric]:
    """The recipe's metrics, in its order, each of which can score the game.

    Raises:
        GanflowError: one cannot, or not with these data.
    """
    with scoring(game.device):
        metrics: list[Metric] = composition.build_metrics(game.data)
        for metric in metrics:
            metric.check(game)
    return metrics


def build_trackers(composition: Composition, game: Game) -> list[Tracker]:
    """The recipe's trackers, in its order."""
    with scoring(game.device):
        return composition.build_trackers()


def condition_of(recipe: Recipe, data: Data) -> tuple[str, ...]:
    """The data's fields that generator and critic get besides: the recipe's `condition`, or what follows from the data.

    Raises:
        GanflowError: the data lack one.
    """
    wanted = recipe.condition
    if wanted is None:
        pairs = set(data.fields) == {"source", "target"}
        return ("source",) if pairs else ("text",) if "text" in data.fields else ()
    for name in wanted:
        if name not in data.fields:
            hint = did_you_mean(name, data.fields)
            there = ", ".join(data.fields)
            ways = "data digits, an image_folder with a folder for each class, or a tensor_file with data.labels"
            classes = f"; classes come with {ways}" if name == "label" else ""
            raise GanflowError(f"condition: data '{data.name}' has no field '{name}'{hint} (fields: {there}){classes}")
    return tuple(dict.fromkeys(wanted))


def build_round(recipe: Recipe, composition: Composition, game: Game, precision: str = "") -> Round:
    """The round that a recipe's game is played in, with its listeners.

    Args:
        precision: what the recipe's `auto` was found to mean; not given, what it means where nothing is measured.
    """
    train = recipe.train
    return Round(
        game,
        train.n_critic,
        accumulate=train.accumulate,
        precision=precision or settled(train.precision, game.device),
        one_batch=train.one_batch,
        critic_stepped=composition.listeners("critic_stepped"),
        generator_stepped=composition.listeners("generator_stepped"),
        settings={slot: chosen.settings for slot, chosen in recipe.played().items()},
    )


def built_round(recipe: Recipe, data: Data) -> Round:
    """A game and its round, as a run has them before its first."""
    composition = recipe.composition()
    game = build_game(recipe, composition, data)
    composition.begin(game)
    return build_round(recipe, composition, game)


def twin(recipe: Recipe, game: Game) -> Round:
    """The round of a copy of a recipe's game, in double precision and in the state that the game is in. Settings are copies, too:
    nothing that the copy does is seen in the game. (On the CPU where the device knows no double precision.)"""
    made = recipe.copied()
    made.train.precision = "fp64"
    made.train.device = "cpu" if game.device.type == "mps" else str(game.device)
    round = built_round(made, game.data)
    load_game_state(round.game, *game_state(game))
    return round
