"""From a recipe to a game that is ready to play."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ganflow.data import Data
from ganflow.errors import GanflowError
from ganflow.game.contract import check_parts
from ganflow.game.fit import check_cut, check_fit
from ganflow.game.game import Game
from ganflow.game.parallel import Group
from ganflow.game.parts import make_players
from ganflow.game.round import Round
from ganflow.game.state import game_state, load_game_state
from ganflow.game.sync_norm import synchronize
from ganflow.plugins import Composition
from ganflow.plugins.wording import did_you_mean
from ganflow.recipe import Recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "fp64": torch.float64, "auto": torch.float32}
"""Of the weights, by `train.precision`."""


def settled(precision: str, device: torch.device) -> str:
    """What `train.precision` means where nothing is measured: `auto` is bf16 on a CUDA device that has its arithmetic, else
    fp32."""
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
    torch.manual_seed(train.seed)
    condition = condition_of(recipe, data)
    composition.check_condition(condition)
    prior = composition.build("prior") if recipe.prior else None
    about: dict[str, Any] = {"data": data, "prior": prior, "condition": condition}
    generator: nn.Module = composition.build("generator", **about)
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
        game.players = make_players(game, composition, train.rounds, clip_norm=train.clip_grad, group=group)
    return game


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
        settings={place: chosen.settings for place, chosen in recipe.played().items()},
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
