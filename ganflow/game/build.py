"""From a recipe to a game that is ready to play."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from ganflow.data import Data
from ganflow.errors import GanflowError
from ganflow.game.game import Game, evaluating, fork_rng, mixes_examples
from ganflow.game.parallel import Group
from ganflow.game.player import Player
from ganflow.game.round import Round
from ganflow.game.sync_norm import synchronize
from ganflow.plugins import Composition
from ganflow.recipe import Recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "fp64": torch.float64}


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
    torch.manual_seed(train.seed)
    prior = composition.build("prior") if recipe.prior else None
    generator: nn.Module = composition.build("generator", data=data, prior=prior)
    critic: nn.Module | None = composition.build("critic", data=data) if recipe.critic else None
    loss = composition.build("loss")
    game = Game(data, prior, generator, critic, loss, one_pass=train.one_pass)
    check_fit(recipe, game)
    if group and train.batch_norm == "sync":
        synchronize(game, group)
    game.to(device=device, dtype=DTYPES[train.precision])
    if train.channels_last:
        game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if players:
        names = ("generator", "critic")[: 1 + bool(critic)]
        game.players = {name: _player(recipe, composition, game, name, group) for name in names}
    return game


def build_round(recipe: Recipe, composition: Composition, game: Game) -> Round:
    """The round that a recipe's game is played in, with its listeners."""
    train = recipe.train
    return Round(
        game,
        train.n_critic,
        accumulate=train.accumulate,
        precision=train.precision,
        critic_stepped=composition.listeners("critic_stepped"),
        generator_stepped=composition.listeners("generator_stepped"),
    )


def _player(recipe: Recipe, composition: Composition, game: Game, name: str, group: Group | None) -> Player:
    optimizer = recipe.optimizers[name]
    schedule: Any = None
    if name in recipe.schedules:
        schedule = composition.build("schedule", f"schedule.{name}", rounds=recipe.train.rounds)
    build: Any = partial(composition.build, "optimizer", f"optimizer.{name}", player=name)
    return Player(
        name,
        getattr(game, name),
        lambda parameters: build(parameters=parameters),
        elementwise=bool(getattr(optimizer.settings, "elementwise", False)),
        schedule=schedule,
        clip_norm=recipe.train.clip_grad,
        group=group,
    )


def check_fit(recipe: Recipe, game: Game) -> None:
    """Send two examples through the networks, so that what does not fit is said by name before anything trains."""
    if game.one_pass and game.critic is not None and mixes_examples(game.critic):
        raise GanflowError("train.one_pass: the critic has batch norm, which would mix real and fake examples; take it out")
    if game.critic is None:
        for chosen in recipe.modifiers:
            if _hooks(chosen.settings) <= {"critic", "critic_stepped"}:
                raise GanflowError(f"modifier '{chosen.component.name}' works on a critic, and the recipe has none; take it out")
    if "real" not in game.data.fields or game.prior is None:
        return
    shape, source = game.data.shape, f"data '{recipe.data.component.name}'"
    generator = f"generator '{recipe.generator.component.name}'"
    with torch.no_grad(), fork_rng(torch.device("cpu")), evaluating(game):
        try:
            fake = game.generator(game.latents(2))
        except RuntimeError as error:
            prior = f"{game.prior.shape} from prior '{recipe.prior.component.name}'" if recipe.prior else ""
            raise GanflowError(f"{generator} does not take latents of shape {prior}: {error}") from error
        if tuple(fake.shape[1:]) != shape:
            raise GanflowError(f"{generator} makes examples of shape {tuple(fake.shape[1:])}; {source} has shape {shape}")
        if game.critic is None or recipe.critic is None:
            return
        try:
            scores = game.critic(torch.zeros(2, *shape))
        except RuntimeError as error:
            raise GanflowError(
                f"critic '{recipe.critic.component.name}' does not take examples of shape {shape}, which {source} has: {error}"
            ) from error
        if scores.shape[:1] != (2,):
            raise GanflowError(
                f"critic '{recipe.critic.component.name}' gives scores of shape {tuple(scores.shape)} for a batch of 2; "
                "the first dimension must be the batch"
            )


def _hooks(settings: Any) -> set[str]:
    """The hooks that a component implements."""
    return {name for name in dir(settings) if hasattr(getattr(type(settings), name, None), "ganflow_impl")}
