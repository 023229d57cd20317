"""Start a run, or go on with one."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import ganflow
from ganflow import checkpoint, runs
from ganflow.checkpoint.load import describe
from ganflow.data.feed import feed
from ganflow.errors import GanflowError
from ganflow.game import Round, build_game
from ganflow.game.build import DTYPES
from ganflow.game.compiled import NotCompilable, worth_compiling
from ganflow.game.state import load_networks
from ganflow.plugins import Composition, blame, load_catalogue, versions
from ganflow.recipe import Recipe, differences, read_recipe
from ganflow.runner.loop import Loop, interruptible
from ganflow.runner.progress import Progress
from ganflow.runs import RunFolder
from ganflow.trainer import Diverged, Trainer

MAY_CHANGE = ("train.rounds", "train.report_every", "train.sample_every", "train.evaluate_every", "train.checkpoint_every",
              "train.keep", "track.")  # fmt: skip
"""What of a recipe may change when its run goes on: how long, how often, and where it is remembered."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: "finished", or "interrupted" (saved, can be resumed).
        signal: the number of the signal that interrupted it, else 0.
    """

    folder: RunFolder
    status: str
    round: int
    signal: int = 0


def start(recipe: Recipe, root: Path = runs.DEFAULT_ROOT, *, quiet: bool = False) -> Outcome:
    """Train a recipe in a new folder under `root`.

    Raises:
        GanflowError: the recipe's parts do not fit, a term is not finite, a plugin fails, the disk is full. What was
            trained until the last checkpoint is kept.
    """
    return _Run(recipe, quiet).train(lambda about: _new_folder(recipe, root, about), root)


def resume(folder: RunFolder, recipe: Recipe | None = None, *, quiet: bool = False, overrides: list[str] | None = None) -> Outcome:
    """Go on with a run where its last checkpoint was taken.

    Args:
        recipe: what the run is thought to be; None for what it is.
        overrides: changes to it, of what may change.

    Raises:
        GanflowError: the recipe differs (every difference is listed), another process trains this run, or as `start`.
    """
    kept = read_recipe(folder.recipe)
    wanted = recipe or read_recipe(folder.recipe, overrides or [])
    changed = [d for d in differences(kept, wanted) if not d.startswith(MAY_CHANGE)]
    if changed:
        lines = "".join(f"\n  {d}" for d in changed)
        raise GanflowError(f"run {folder.id} was started with another recipe; start a new run, or undo:{lines}")
    return _Run(wanted, quiet, folder).train(lambda about: folder, folder.path.parent.parent)


class _Run:
    """Everything that one run is made of. Nothing is written before all of it is built and fits."""

    def __init__(self, recipe: Recipe, quiet: bool, resumed: RunFolder | None = None) -> None:
        self.recipe, self.quiet, self.resumed = recipe, quiet, resumed
        self.before: dict[str, Any] = resumed.about() if resumed else {}
        self.best: dict[str, Any] = {}
        train = recipe.train
        torch.set_num_threads(self.before.get("threads") or train.threads or torch.get_num_threads())
        if train.deterministic:
            torch.use_deterministic_algorithms(True)
        self.composition = Composition(recipe.slots(), recipe.modifiers, recipe.metrics)
        self.data = self.composition.build("data")
        self.game = build_game(recipe, self.composition, self.data)
        self.metrics = self.composition.build_metrics(self.data)
        self.feed = feed(
            self.data, train.batch_size, train.seed, self.game.device, DTYPES[train.precision], channels_last=train.channels_last
        )
        self.round = Round(
            self.game,
            train.n_critic,
            accumulate=train.accumulate,
            precision=train.precision,
            critic_stepped=self.composition.listeners("critic_stepped"),
            generator_stepped=self.composition.listeners("generator_stepped"),
        )
        self.trainer = Trainer(self.game, self.feed, self.round, train.batch_size, train.seed)

    def train(self, make_folder: Any, root: Path) -> Outcome:
        start_from = self._earlier_weights(root)
        folder: RunFolder = make_folder(self._about())
        with runs.locked(folder), Progress(
            self.recipe.train.rounds, self.trainer.round, f"{self.recipe.name} · {folder.id}", quiet=self.quiet
        ) as progress, interruptible(self.trainer) as interruption:
            try:
                for listener in self.composition.listeners("run_started"):
                    listener(game=self.game)
                if start_from is not None:
                    load_networks(self.game, start_from)
                if self.resumed:
                    self._load(folder, progress.note)
                folder.note(status="running", pid=os.getpid(), host=socket.gethostname(), compile=self._compile(progress.note))
                status = Loop(self.recipe, self.trainer, self.metrics, self.composition, folder, progress, self.best).run()
            except BaseException as error:
                raise self._failed(folder, error) from error
            finally:
                self.feed.close()
        return Outcome(folder, status, self.trainer.round, interruption.signal)

    def _load(self, folder: RunFolder, say: Any) -> None:
        found, wrong = checkpoint.newest(folder.checkpoints)
        for text in wrong:
            say(f"damaged checkpoint passed over: {text}")
        if found is None:
            say("no checkpoint yet: starting again from round 0")
            return
        for name, was in self.before.get("plugins", {}).items():
            now = versions(self.recipe.chosen()).get(name)
            if now != was:
                say(f"plugin '{name}' was {was['distribution']} {was['version']}, is now {now and now['version']}")
        try:
            self.trainer.load_state(found.tensors, found.plain)
        except (ValueError, KeyError) as error:
            raise GanflowError(f"{found.path.name} does not fit the run's recipe: {error}") from None
        self.best = found.plain["best"]
        say(f"going on from round {found.round}")

    def _earlier_weights(self, root: Path) -> dict[str, torch.Tensor] | None:
        """What `train.start_from` names: the networks of an earlier run, for a new one."""
        source = self.recipe.train.start_from
        if source is None or self.resumed:
            return None
        found = checkpoint.load.find_checkpoint(runs.find(source, root))
        mine = self.game.state_dict()
        theirs = {name: t for name, t in found.tensors.items() if name.startswith("game.") and "extras" not in name}
        wrong = sorted(
            name.removeprefix("game.")
            for name in theirs.keys() | {f"game.{n}" for n in mine if not n.startswith("extras")}
            if name not in theirs or name.removeprefix("game.") not in mine
            or theirs[name].shape != mine[name.removeprefix("game.")].shape
        )  # fmt: skip
        if wrong:
            raise GanflowError(f"train.start_from: the networks of run '{source}' differ from this recipe's in {', '.join(wrong[:4])}")
        return theirs | {f"game.{name}": t for name, t in mine.items() if name.startswith("extras")}

    def _compile(self, say: Any) -> dict[str, str]:
        """Choose eager or compiled rounds, once per run: a resumed run goes on as it began."""
        train = self.recipe.train
        chosen = self.before.get("compile")
        if chosen is None:
            mode, why = train.compile, "as the recipe says"
            if mode == "auto":
                mode, why = worth_compiling(self.game, train.n_critic, train.batch_size, train.rounds)
            chosen = {"mode": mode, "why": why}
        if chosen["mode"] == "never":
            if train.compile == "auto":
                say(f"eager rounds: {chosen['why']}")
            return chosen
        say(f"compiling the {chosen['mode']} ({chosen['why']}) …")
        try:
            self.trainer.compile(whole=chosen["mode"] == "round")
        except NotCompilable as error:
            if train.compile != "auto":
                raise GanflowError(f"train.compile: {error}; set compile: never") from error
            say(f"eager rounds after all: {error}")
            chosen = {"mode": "never", "why": str(error)}
        return chosen

    def _about(self) -> dict[str, Any]:
        train, track = self.recipe.train, self.recipe.track
        return {
            "status": "running",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "name": self.recipe.name,
            "round": 0,
            "rounds": train.rounds,
            "seed": train.seed,
            "device": str(self.game.device),
            "threads": torch.get_num_threads(),
            "versions": {"ganflow": ganflow.__version__, "torch": torch.__version__, "python": platform.python_version()},
            "plugins": versions(self.recipe.chosen()),
            "git": git_commit(),
            "data": describe(self.data),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "tracking": {k: getattr(track, k) for k in ("mlflow", "uri", "experiment", "run_name", "images", "log_model")},
        }

    def _failed(self, folder: RunFolder, error: BaseException) -> BaseException:
        """Note the failure in the folder; say what is kept, and whose code it was."""
        plugin = blame(error, load_catalogue()) if not isinstance(error, GanflowError) else None
        try:
            folder.note(status="failed", round=self.trainer.round, error=str(error))
            (folder.path / "error.txt").write_text("".join(traceback.format_exception(error)))
        except OSError:
            pass  # a full disk must not hide the error itself
        for listener in self.composition.listeners("run_ended"):
            listener(game=self.game, status="failed")
        if isinstance(error, Diverged):
            found, _ = checkpoint.newest(folder.checkpoints)
            kept = f"the last good checkpoint is {found.path}" if found else "there is no checkpoint yet"
            return GanflowError(f"{error}; {kept}. Try a lower learning rate, clip_grad, or another seed")
        if plugin is not None and isinstance(error, Exception):
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return GanflowError(
                f"plugin '{plugin.name}' ({plugin.distribution} {plugin.version}) failed in round {self.trainer.round + 1}: {text}; "
                f"the traceback is in {folder.path / 'error.txt'}"
            )
        return error


def _new_folder(recipe: Recipe, root: Path, about: dict[str, Any]) -> RunFolder:
    folder = runs.create(root, recipe.name)
    folder.recipe.write_text(f"# ganflow run {folder.recipe}\n" + recipe.to_yaml())
    folder.note(id=folder.id, **about)
    return folder


def git_commit() -> dict[str, Any] | None:
    """The commit of the working directory, and whether it has changes; None outside a repository."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True).stdout.strip()
        status = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(status.stdout.strip())}
