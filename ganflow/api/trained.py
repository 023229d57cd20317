"""A trained run: its networks, what they make, its terms and its scores. `ganflow.load` opens one."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.advised import command, in_a_shell
from ganflow.api.arguments import Labels, Metrics, Name, labels_of, metrics_of, name_of, path_of, root_of, text_of, whole
from ganflow.api.changes import metrics_typed
from ganflow.api.drawing import (
    MOST_TILES,
    Drawn,
    animate,
    classes_of,
    draw,
    drawing_game,
    drawn_pictures,
    interpolate,
    newest_picture,
    picture_of_samples,
    why_not_drawn,
)
from ganflow.errors import GanflowError
from ganflow.files import check_output_path
from ganflow.runs.finding import find_run, find_sweep
from ganflow.runs.folders import RunFolder, status

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image
    from torch import Tensor, nn

    from ganflow.api.calling import ArrayLike
    from ganflow.engine.game import Game
    from ganflow.runs.record import RunRecord
    from ganflow.runs.run import Outcome


def load(name: Name, *, checkpoint: str | Path = "last", runs: str | Path | None = None) -> TrainedRun:
    """Open a run.

    Args:
        name: a path, an id or its beginning, a recipe's name, "latest", a sweep's name for its best trial, "SWEEP/3" for its
            trial 3; or a run, or a sweep, that was opened.
        checkpoint: which weights: "last", "best" by the recipe's first metric, or a file.
        runs: the folder that runs are kept in; by default as GANFLOW_RUNS says, else `runs`.

    Raises:
        GanflowError: there is no such run, or no such file.
    """
    folder, which = find_run(name_of(name), root_of(runs)), str(checkpoint)
    if which not in ("last", "best"):
        from ganflow.runs.loading import check_checkpoint_file

        check_checkpoint_file(folder, which)
    return TrainedRun(folder, which)


class TrainedRun:
    """A run that is kept in a folder. Its files are read when they are asked for.

    Args:
        folder: of the run.
        checkpoint: which weights: "last", "best" or a file.
        outcome: how it ended, where it was trained by this process.

    Attributes:
        folder: its files.
        checkpoint: as above.
    """

    def __init__(self, folder: RunFolder, checkpoint: str = "last", outcome: Outcome | None = None) -> None:
        self.folder, self.checkpoint, self.outcome = folder, checkpoint, outcome

    def __repr__(self) -> str:
        record, weights = self.record, ""
        if self.checkpoint != "last":
            try:
                weights = f"; weights of round {self.round} ({self.checkpoint})"
            except GanflowError:
                weights = f"; weights of checkpoint {self.checkpoint}, which cannot be read"
        return f"<ganflow run {self.name} {self.id}: {self.status}, round {record.round} of {record.rounds or '?'}{weights}>"

    @property
    def id(self) -> str:
        """Its id, which is its folder's name."""
        return self.folder.id

    @property
    def name(self) -> str:
        """Its recipe's name."""
        return self.folder.name

    @property
    def path(self) -> Path:
        """Its folder's path."""
        return self.folder.path

    @property
    def record(self) -> RunRecord:
        """All that run.json holds."""
        return self.folder.read()

    @property
    def status(self) -> str:
        """ "finished", "interrupted", "stopped", "failed", "running" or "killed"."""
        return status(self.folder, self.record)

    @property
    def round(self) -> int:
        """Rounds after which the weights are what they are: of the last checkpoint those played, as far as they are kept.
        `record.round` has those of the run in any case.

        Raises:
            GanflowError: another checkpoint was asked for, and it cannot be read.
        """
        return self.record.round if self.checkpoint == "last" else self._checkpoint_round

    @cached_property
    def _checkpoint_round(self) -> int:
        from ganflow.runs.loading import find_checkpoint

        return find_checkpoint(self.folder, self.checkpoint).round

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe with every default filled in."""
        from ganflow.runs.kept import recipe_of_run

        return recipe_of_run(self.folder).resolved()

    @cached_property
    def game(self) -> Game:
        """The networks with the checkpoint's weights, on the CPU, in evaluation mode."""
        from ganflow.runs.loading import load_game

        return load_game(self.folder, self.checkpoint)

    @property
    def generator(self) -> nn.Module:
        """The generator, averaged where the recipe keeps an average."""
        return self.game.averaged

    @property
    def critic(self) -> nn.Module | None:
        """The critic; None where the recipe has none, or an exported run the generator alone."""
        return self.game.critic

    def call(self, signature: str, *inputs: ArrayLike, seed: int = 0, **named: ArrayLike) -> Tensor:
        """Call the generator by one of its signatures (`game.signatures`): "encode", "reconstruct", a translator's directions.
        Inputs are tensors or arrays of numpy, (n, …), images in [-1, 1]; what is returned is float32 on the CPU.

        Args:
            seed: for a network that is random when it is evaluated, too.

        Raises:
            ValueError: there is no such signature, or inputs do not suit it.
        """
        from ganflow.api.calling import call

        return call(self.game, signature, inputs, named, seed)

    def samples(self, n: int = 16, *, seed: int = 0, label: Labels = None) -> Tensor:
        """Draw n samples: float32 on the CPU, (n, *shape), images in [-1, 1]. The same seed gives the same samples.

        Args:
            label: of a class-conditional run: the class, by name or number, or several, each n times; by default classes as
                often as the data have them.

        Raises:
            GanflowError: the generator draws nothing by itself (it translates, or needs captions), or there is no such class.
        """
        return self._drawn(whole("n", n), seed, label).samples

    def show(self, n: int = 64, *, seed: int = 0, label: Labels = None) -> Image:
        """A picture of n samples, or of 32 · n points of the plane beside the data, which a notebook displays. Arguments as of
        `samples`. Of a generator that draws nothing by itself (it translates, or needs captions): the newest picture of training,
        where it is shown at work on held-out examples.

        Args:
            n: at most 10,000, of all classes together.

        Raises:
            GanflowError: there is no such class, or no picture, or it cannot hold so many.
        """
        n = whole("n", n)
        if (count := n * max(1, len(labels_of(label)))) > MOST_TILES:
            raise GanflowError(f"n: a picture holds at most {MOST_TILES} samples, not {count}; run.samples({n}) are numbers")
        if label is None and why_not_drawn(self.folder, self.game):
            return newest_picture(self.folder)
        found = self._drawn(n if self.game.data.main.is_image else 32 * n, seed, label)
        if (picture := picture_of_samples(self.folder, found)) is None:
            raise GanflowError(f"samples of shape {tuple(found.samples.shape[1:])} have no picture")
        return picture

    def interpolate(self, rows: int = 8, steps: int = 10, *, seed: int = 0, label: Labels = None) -> Tensor:
        """Draw samples on ways between two latent points each: (rows, steps, *shape), as of `samples`.

        Args:
            rows: ways.
            steps: points on each, its ends included.
            label: of a class-conditional run: the class on all ways (by default the first), or two: each way goes from the one
                to the other at a latent point of its own.

        Raises:
            GanflowError: the generator draws nothing by itself, there is no such class, or it does not mix classes.
        """
        import torch

        rows, t, seed = whole("rows", rows), torch.linspace(0, 1, whole("steps", steps, 2)), whole("seed", seed, 0)
        game, wanted = drawing_game(self.folder, self.game), labels_of(label)
        classes = classes_of(game, wanted, self.folder)
        return interpolate(game, rows, t, seed, classes, classes.labels(wanted) if classes else ())

    def animate(self, path: str | Path, *, fps: int = 8) -> Path:
        """Write a GIF of the pictures drawn over training, and return its path.

        Raises:
            GanflowError: there are fewer than two, or the path is none of a .gif that can be written.
        """
        fps, file = whole("fps", fps, 1, 50), check_output_path(path_of("path", path), (".gif",))
        animate(self.folder, drawn_pictures(self.folder), file, fps)
        return file

    def _drawn(self, n: int, seed: int, label: Labels) -> Drawn:
        seed, wanted = whole("seed", seed, 0), labels_of(label)
        game = drawing_game(self.folder, self.game)
        classes = classes_of(game, wanted, self.folder)
        return draw(game, n, seed, classes, classes.labels(wanted) if classes else ())

    def pictures(self) -> list[Path]:
        """The pictures drawn over training, the last one last."""
        return self.folder.pictures()

    def terms(self) -> pd.DataFrame:
        """Terms of the losses, estimates, learning rates and scores, as they were reported: a row for each round, a column for
        each name, NaN where it was not reported.

        Raises:
            GanflowError: no line of the journal is sound; those that are damaged are left out with a warning.
        """
        from ganflow.runs.journal import sound

        rows: dict[int, dict[str, float]] = {}
        for entry in sound(self.folder.journal):
            rows.setdefault(entry.round, {}).update(entry.values)
        return frame(rows.values(), index=list(rows), index_name="round")

    def export(
        self, format: str, path: str | Path | None = None, *, force: bool = False, push: str | None = None, private: bool = False
    ) -> Path:
        """Write the generator with the checkpoint's weights for other programs, as `ganflow export` does, and return the folder:
        a file, or several, for each signature, a model card that says how they are loaded, and a picture.

        Args:
            format: "pt2", "onnx", "safetensors", "mlflow" or "hub".
            path: the folder that is written; by default "NAME-FORMAT" where Python runs.
            force: replace an earlier export; with `push`, add a commit to a repository that is there already.
            push: with "hub", the repository it is sent to: "NAME/REPO".
            private: make a repository that nobody else sees.

        Raises:
            GanflowError: the format is unknown, or needs a package, the folder cannot be written, a network cannot be exported.
        """
        from ganflow.api.exporting import export

        to = None if path is None else path_of("path", path)
        format = text_of("format", format)
        return export(self.folder, format, to, self.checkpoint, force=force, push=push, private=private)[0].path

    def evaluate(self, metrics: Metrics = None, *, seeds: int = 1) -> pd.DataFrame:
        """Score the checkpoint on the run's data, and keep the scores in the run's folder: a row for each score, with value,
        standard error, floor and that one's error.

        Args:
            metrics: in place of the recipe's: a name, {"use": "frechet", "samples": 512}, or several of these in a list.
            seeds: sampling seeds that scores are means over.

        Raises:
            GanflowError: there is no such metric, it does not suit the data, or these cannot be had.
        """
        from ganflow.api.scoring import prepare, scored

        seeds, wanted = whole("seeds", seeds, 1, 1000), metrics_typed(metrics_of(metrics))
        rows = scored(prepare(self.folder, self.checkpoint, wanted, seeds))
        names = ("value", "error", "floor", "floor_error")
        table = [dict(row) for row in rows]
        numbers = [{name: math.nan if row.get(name) is None else float(str(row[name])) for name in names} for row in table]
        return frame(numbers, index=[row["score"] for row in rows], index_name="score")


def which_run(name: str, runs: Path) -> RunFolder:
    """The run that is to go on.

    Raises:
        GanflowError: there is none, or it is a sweep, which goes on as a whole.
    """
    if sweep := find_sweep(name, runs):
        name = sweep.reference()
        again = in_a_shell(f"ganflow run --resume {name}") if sweep.read().seeds else command(f"ganflow tune --resume {name}")
        raise GanflowError(f"{sweep.path.name} is a sweep; go on with it: " + again)
    return find_run(name, runs)


def frame(rows: Any, index: list[Any], index_name: str) -> pd.DataFrame:
    """A table.

    Raises:
        GanflowError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise GanflowError("tables need pandas: pip install pandas") from None
    return pd.DataFrame(list(rows), index=pd.Index(index, name=index_name))
