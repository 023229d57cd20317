"""A trained game from a run's folder, to sample from."""

from __future__ import annotations

import os
import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ganflow.advised import command
from ganflow.contract.data import Data, Field
from ganflow.contract.roles import TextEncoder
from ganflow.engine.build import build_game
from ganflow.engine.game import Game
from ganflow.engine.state import load_generator, load_networks
from ganflow.errors import GanflowError, NewestDamaged
from ganflow.recipe import Recipe
from ganflow.runs.alarms import diverged
from ganflow.runs.amend import after_divergence, again
from ganflow.runs.checkpoints import BEST, Checkpoint, Damaged, newest, read
from ganflow.runs.folders import ENCODER_FILE, RunFolder, check, here, is_running
from ganflow.runs.kept import recipe_of_run
from ganflow.runs.record import FILE, DamagedRecord, DataRecord, StartFrom

AVERAGE = ("average", "average_rounds")
"""Keys of the extras in which the generator's average is kept."""


class DescribedData(Data):
    """A run's data as its record describes them, without the examples: enough to build its networks."""

    def __init__(self, record: DataRecord) -> None:
        self.name, self.size, self.source = record["name"], record["size"], record.get("source") or ""
        self.held_out = {}
        ranges, classes = record.get("ranges", {}), record.get("classes", {})
        frequencies = record.get("frequencies", {})
        self.fields = {
            name: Field(
                tuple(shape),
                low=ranges[name][0],
                high=ranges[name][1],
                classes=tuple(classes.get(name, ())),
                frequencies=tuple(frequencies[name]) if name in frequencies else None,
                kind=record.get("kinds", {}).get(name, ""),
            )
            for name, shape in record["fields"].items()
        }
        self._fingerprint = record["fingerprint"]

    def fingerprint(self) -> str:
        return self._fingerprint


def describe(data: Data) -> dict[str, Any]:
    """A run's data for its record: the inverse of `DescribedData`."""
    return {
        "name": data.name,
        "size": data.size,
        "source": data.source,
        "fingerprint": data.fingerprint(),
        "fields": {name: list(field.shape) for name, field in data.fields.items()},
        "ranges": {name: [field.low, field.high] for name, field in data.fields.items()},
        "kinds": {name: field.kind for name, field in data.fields.items()},
        "classes": {name: list(field.classes) for name, field in data.fields.items() if field.classes},
        "frequencies": {name: list(field.frequencies) for name, field in data.fields.items() if field.frequencies},
    }


def load_game(folder: RunFolder, which: str = "last") -> Game:
    """The run's networks with the weights of a checkpoint: "last", "best" or a file. The data is not loaded.

    Raises:
        GanflowError: there is no such checkpoint, or it is damaged.
    """
    check(folder)
    return game_of_checkpoint(folder, find_checkpoint(folder, which))


def game_of_checkpoint(folder: RunFolder, checkpoint: Checkpoint) -> Game:
    """As `load_game`, of a checkpoint that was found."""
    return game_of(recipe_of_run(folder), checkpoint, _data(folder))


def game_of(recipe: Recipe, checkpoint: Checkpoint, data: Data) -> Game:
    """The networks of a recipe, on the CPU and with the weights of a checkpoint, played on these data.

    Raises:
        GanflowError: the checkpoint is of other networks: the recipe was changed.
    """
    recipe = replace(recipe, train=replace(recipe.train, device="cpu"))
    composition = recipe.composition()
    game = build_game(recipe, composition, data, players=False)
    composition.begin(game)
    with fitting(checkpoint):
        (load_generator if checkpoint.plain.get("exported") else load_networks)(game, checkpoint.tensors)
    return game.eval()


@contextmanager
def fitting(checkpoint: Checkpoint) -> Iterator[None]:
    """While a checkpoint is loaded.

    Raises:
        GanflowError: (in place of what Python and torch raise) it is of another game: the recipe was changed. Or it is none that
            ganflow has written.
    """
    try:
        yield
    except (torch.OutOfMemoryError, GanflowError):
        raise
    except (ValueError, KeyError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        recipe = here(checkpoint.path.parent.parent / "recipe.yaml")
        how = f"put {recipe} back as it was, or train the changed one anew: " + command(f"ganflow run {shlex.quote(str(recipe))}")
        raise GanflowError(f"{checkpoint.path.name} does not fit the run's recipe, which was changed afterwards: "
                           f"{shorten(str(why), 300)}; " + how) from None  # fmt: skip
    except (TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError, AssertionError) as error:
        raise GanflowError(f"{checkpoint.path.name} holds what no run can go on from ({type(error).__name__}: "
                           f"{shorten(str(error), 200)}); use another checkpoint, or start anew") from error  # fmt: skip


def load_data(folder: RunFolder, recipe: Recipe) -> Data:
    """The data of a run, examples included, as they were when it began.

    Raises:
        GanflowError: they cannot be had, or have changed.
    """
    record, threads = folder.read(), torch.get_num_threads()
    states = random.getstate(), np.random.get_state()
    try:  # as when the run was built: what is learnt of the data may depend on these
        torch.set_num_threads(record.threads_to_build or threads)
        random.seed(recipe.train.seed)
        np.random.seed(recipe.train.seed % 2**32)
        data: Data = recipe.composition().build("data")
    finally:
        torch.set_num_threads(threads)
        random.setstate(states[0])
        np.random.set_state(states[1])
    known = record.data["fingerprint"] if record.data else ""
    if known and (now := data.fingerprint()) != known:
        raise GanflowError(f"the data {data.name} changed since run {folder.id} began (fingerprint {known} then, {now} now); "
                           "put back what they were, and try again")  # fmt: skip
    return data


def _data(folder: RunFolder) -> DescribedData:
    record = folder.read()
    if record.data is None or not record.data["fields"]:
        raise DamagedRecord(folder.path / FILE, "does not say what data the run had (data, fields)")
    try:
        return DescribedData(record.data)
    except (KeyError, IndexError, ValueError) as error:
        raise DamagedRecord(folder.path / FILE, f"is damaged (data: {type(error).__name__}: {error})") from None


def load_encoder(folder: RunFolder) -> TextEncoder:
    """The text encoder that the run's data had.

    Raises:
        GanflowError: they had none, or what was kept of it is gone.
    """
    chosen = recipe_of_run(folder).parts.get("data.encoder")
    if chosen is None or chosen.component.role != "encoder":
        raise GanflowError(f"run {folder.name} {folder.id} knows no sentences: its data have no captions")
    encoder: TextEncoder = chosen.settings.encoder()
    path = folder.path / ENCODER_FILE
    try:
        encoder.load_state(load_file(path))
    except (OSError, SafetensorError) as error:
        raise GanflowError(f"the text encoder of run {folder.id} cannot be read: {path} ({error})") from None
    return encoder


def only_damaged(folder: RunFolder, wrong: Sequence[Damaged]) -> GanflowError:
    """An error that says what helps a run all of whose checkpoints are damaged."""
    anew = command(f"ganflow run {shlex.quote(str(here(folder.recipe)))}")
    damaged = f"only damaged checkpoints: {'; '.join(map(str, wrong))}; restore one from a backup, or train anew: "
    return GanflowError(f"run {folder.id} has {damaged}" + anew)


def find_checkpoint(folder: RunFolder, which: str = "last") -> Checkpoint:
    """The checkpoint that "last", "best" or a file's path means.

    Raises:
        GanflowError: there is none, or it is damaged; `NewestDamaged` where the last one is, and there are others.
    """
    if which in ("last", "best") and folder.exported:
        return _weights(folder)
    if which == "last":
        checkpoint, wrong = newest(folder.checkpoints)
        if checkpoint is None:
            raise only_damaged(folder, wrong) if wrong else GanflowError(_without(folder))
        if wrong:
            raise NewestDamaged(
                f"the newest checkpoint of run {folder.id} is damaged: {'; '.join(map(str, wrong))}; the newest whole one is "
                f"{checkpoint.path.name}, of round {checkpoint.round}",
                checkpoint.path,
            )
        return checkpoint
    path = folder.checkpoints / BEST if which == "best" else Path(which)
    try:
        return read(path)
    except OSError:
        raise GanflowError(_unknown(folder, which)) from None
    except Damaged as error:
        raise GanflowError(f"{error}; use another checkpoint: ls {folder.checkpoints}") from None


def check_checkpoint_file(folder: RunFolder, which: str) -> None:
    """Check that the file of a checkpoint is there; raises GanflowError."""
    if not os.path.isfile(which):
        raise GanflowError(_unknown(folder, which))


def _unknown(folder: RunFolder, which: str) -> str:
    """The message for a checkpoint that is not there, with those that are."""
    if not any(folder.checkpoints.glob("*.safetensors")):
        return _without(folder)
    unknown = f"no checkpoint '{which}'; use last, best"
    best = "no best checkpoint, for nothing was scored yet; use last" if which == "best" else unknown
    return f"run {folder.id} has {best}, or a file of {folder.checkpoints}"


def _weights(folder: RunFolder) -> Checkpoint:
    try:
        return read(folder.weights)
    except (OSError, Damaged) as error:
        raise GanflowError(f"{error}; export the run once more, or fetch {folder.path} again") from None


def _without(folder: RunFolder) -> str:
    """The message for a run without checkpoints, with the command that helps."""
    if is_running(folder):
        until = "it is being trained, and keeps the first one after train.checkpoint_every rounds, or at its end"
    elif alarm := diverged(folder):  # which would do so again
        anew = after_divergence(folder, recipe_of_run(folder), alarm["text"], kept=False)
        return f"run {folder.id} diverged in round {alarm['round']}, and has no checkpoint; train anew, with a change: " + anew
    else:
        until = "train it: " + again(folder)
    return f"run {folder.id} has no checkpoint yet; " + until


def _folder_of(source: Checkpoint) -> Path:
    """The run's folder that a checkpoint lies in."""
    return source.path.parent if source.plain.get("exported") else source.path.parent.parent


def check_encoder(data: Data, source: Checkpoint, name: str) -> None:
    """Check that an earlier run read sentences as this one does, where both read any.

    Raises:
        GanflowError: their encoders differ.
    """
    kept, encoder = _folder_of(source) / ENCODER_FILE, getattr(data, "encoder", None)
    if encoder is None or not kept.exists():
        return
    mine, theirs = encoder.state(), load_file(kept)
    if mine.keys() != theirs.keys() or not all(torch.equal(t, theirs[key]) for key, t in mine.items()):
        raise GanflowError(f"train.start_from: run '{name}' read sentences with another text encoder; "
                           "use the same data.encoder, and the same training examples")  # fmt: skip


def load_weights(game: Game, source: Checkpoint, name: str) -> None:
    """Load the players' weights of an earlier run; a player that it had not is left as it is. Into a generator that stands on
    an earlier stage's that one is loaded, averaged where the run kept an average.

    Args:
        name: of the earlier run, for messages.

    Raises:
        GanflowError: the networks differ.
    """
    check_encoder(game.data, source, name)
    for network, theirs in matched(game, source.tensors, name):
        network.load_state_dict(theirs)


def first_line_of(game: Game, source: Checkpoint) -> str:
    """The line of a run that begins with the weights of another, which were loaded."""
    folder = RunFolder(_folder_of(source))
    taken = [network for network, _ in matched(game, source.tensors, folder.id)]
    players = [name for name in game.players if any(network is getattr(game, name) for network in taken)]
    anew = [name for name in game.players if name not in players]
    what = " and ".join(players) or "the generator, as the stage that this one stands on"
    besides = f"; its {' and '.join(anew)} {'begins' if len(anew) == 1 else 'begin'} anew" if players and anew else ""
    return f"begins with the weights of {folder.name} ({folder.id}), round {source.round}: {what}{besides}"


def load_average(game: Game, source: Checkpoint) -> None:
    """Load the generator's average of an earlier run whose weights were loaded, with the number of rounds that it is over, where
    both runs keep one of the same network. There must be one, which the modifier makes when the game is built."""
    for name in AVERAGE:
        prefix = f"game.extras.{name}."
        theirs = {key.removeprefix(prefix): t for key, t in source.tensors.items() if key.startswith(prefix)}
        mine = game.extras[name].state_dict() if name in game.extras else {}
        if not theirs or {key: t.shape for key, t in mine.items()} != {key: t.shape for key, t in theirs.items()}:
            return
        game.extras[name].load_state_dict(theirs)


def origin_of(source: Checkpoint) -> StartFrom:
    """A checkpoint whose weights a run begins with, for its run.json."""
    return {"run": str(_folder_of(source)), "checkpoint": str(source.path), "round": source.round}


def matched(game: Game, tensors: Mapping[str, Tensor], name: str) -> list[tuple[nn.Module, dict[str, Tensor]]]:
    """The networks that go on from an earlier run's, each with the earlier one's state; see `load_weights`.

    Args:
        tensors: of the earlier run, as its checkpoints have them.

    Raises:
        GanflowError: the networks differ.
    """
    found: list[tuple[nn.Module, dict[str, Tensor]]] = []
    networks: dict[str, nn.Module | None] = {"generator": game.generator, "critic": game.critic}
    earlier: Any = getattr(game.generator, "earlier", None)
    if earlier is not None and not any(key.startswith("game.generator.earlier.") for key in tensors):
        networks = {"generator": earlier}  # the critic of an earlier stage judged other pictures
    for player, network in networks.items():
        averaged = "game.extras.average."
        within = network is not getattr(game, player) and any(key.startswith(averaged) for key in tensors)
        prefix = averaged if within else f"game.{player}."
        theirs = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
        if network is None or not theirs:
            continue
        mine = network.state_dict()
        shapes = [{key: t.shape for key, t in state.items()} for state in (mine, theirs)]
        wrong = [key for key in {**mine, **theirs} if shapes[0].get(key) != shapes[1].get(key)]
        if wrong:
            some = ", ".join(wrong[:4]) + (", …" if len(wrong) > 4 else "")
            raise GanflowError(f"train.start_from: the {player} of run '{name}' is not this recipe's network: {some} differ; "
                               "give both the same keys")  # fmt: skip
        found.append((network, theirs))
    return found
