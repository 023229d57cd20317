"""Folders in which a run's generator leaves, in one of the formats, with a model card."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.errors import GanflowError, did_you_mean, first_line
from ganflow.export.options import COMMAND, Options
from ganflow.export.served import CONFIG
from ganflow.runs.folders import EXAMPLES

if TYPE_CHECKING:
    from ganflow.engine.game import Game
    from ganflow.export.programs import Program
    from ganflow.export.tried import Called, Exported
    from ganflow.runs.checkpoints import Checkpoint
    from ganflow.runs.folders import RunFolder

FORMATS = {
    "pt2": "programs of torch.export, for Python with torch",
    "onnx": "ONNX graphs, for ONNX Runtime and what else reads them",
    "safetensors": "weights and recipe, for ganflow",
    "mlflow": "MLflow models, for mlflow models serve",
    "hub": "a repository of the Hugging Face hub, for ganflow",
}
SAMPLES, CARD = "samples.png", "README.md"
_OUTPUT = "output"
_NEEDS = {
    "onnx": (("onnx", "onnxscript"), "pip install 'ganflow[onnx]'"),
    "mlflow": (("mlflow",), "pip install mlflow"),
    "hub": (("huggingface_hub",), "pip install 'ganflow[hub]'"),
}


def check_format(format: str, pushed: bool = False, options: Options = COMMAND) -> None:
    """Check that a run can be exported in this format here.

    Raises:
        GanflowError: the format is unknown, or a package is missing.
    """
    if format not in FORMATS:
        hint = did_you_mean(str(format), FORMATS)
        raise GanflowError(f"{options.format} {format}: unknown format{hint} (formats: {', '.join(FORMATS)})")
    packages, how = _NEEDS.get(format, ((), ""))
    missing = [name for name in packages if find_spec(name) is None] if format != "hub" or pushed else []
    if missing:
        needed = " and ".join(missing)
        are = "is" if len(missing) == 1 else "are"
        raise GanflowError(f"{options.format} {format} needs {needed}, which {are} not installed: {how}")


def check_path(to: Path, force: bool, options: Options = COMMAND) -> None:
    """Check that a folder can be written.

    Args:
        force: replace an earlier export.

    Raises:
        GanflowError: it is there already, or the folder above it is not.
    """
    if not to.name:
        raise GanflowError(f"{options.path} {to}: the export is a folder of its own; give its name")
    if not to.parent.is_dir():
        raise GanflowError(f"there is no folder {to.parent}/ to write {to.name}/ in")
    if not to.exists() and not to.is_symlink():
        return
    if not force:
        raise GanflowError(f"{to} is there already; choose another with {options.path}, or replace it with {options.force}")
    if to.is_symlink() or not _is_export(to):
        why = f"is no exported run, and {options.force} replaces nothing else"
        raise GanflowError(f"{to} {why}; choose another with {options.path}")


def _is_export(path: Path) -> bool:
    with suppress(OSError, ValueError, RecursionError):
        about = json.loads((path / CONFIG).read_bytes())
        return isinstance(about, dict) and about.get("format") in FORMATS and "ganflow" in about
    return False


def export_run(
    folder: RunFolder,
    format: str,
    to: Path,
    which: str = "last",
    force: bool = False,
    repository: str | None = None,
    options: Options = COMMAND,
) -> Exported:
    """Write a run's generator: averaged weights, every signature that makes tensors, a model card.

    Args:
        to: a folder, which appears when all of it is written.
        which: the checkpoint: "last", "best" or a file.
        force: replace an earlier export.
        repository: of the hub, for the card.
        options: what messages call the arguments.

    Raises:
        GanflowError: there is no checkpoint, the folder cannot be written, or a network cannot be exported.
    """
    from ganflow.export.card import card
    from ganflow.export.tried import Exported
    from ganflow.runs.folders import check
    from ganflow.runs.loading import find_checkpoint, game_of_checkpoint

    check_format(format, options=options)
    check_path(to, force, options)
    check(folder)
    checkpoint = find_checkpoint(folder, which)
    game = game_of_checkpoint(folder, checkpoint)
    with _appearing(to, force) as scratch:
        called, files = _WRITERS[format](folder, game, checkpoint, scratch)
        exported = Exported(to, format, checkpoint.round, called, files, repository or "NAME/REPO")
        (scratch / CONFIG).write_text(json.dumps(exported.about, indent=2) + "\n")
        _write_examples(called, scratch / EXAMPLES)
        pictures = folder.pictures() or [folder.path / SAMPLES]
        named = folder.samples / f"round-{checkpoint.round:08d}.png"
        picture = named if named in pictures else pictures[-1]
        if picture.is_file():
            shutil.copyfile(picture, scratch / SAMPLES)
        (scratch / CARD).write_text(card(folder, exported, checkpoint, game, picture.is_file()))
        for path in scratch.rglob("*"):  # some libraries write for this user alone
            path.chmod(0o755 if path.is_dir() else 0o644)
    return exported


@contextmanager
def _appearing(to: Path, force: bool) -> Any:
    """A scratch folder beside `to`, which gets that name when all went well."""
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
        try:
            scratch.chmod(0o755)
            yield scratch
            if force and _is_export(to):
                shutil.rmtree(to)
            scratch.rename(to)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise GanflowError(f"cannot write {to}: {error.strerror or first_line(error)}") from error


def _write_examples(called: Mapping[str, Called], path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {f"{name}.{key}": t for name, each in called.items() for key, t in {**each.examples, "output": each.made}.items()}
    save_file({name: t.detach().clone().contiguous() for name, t in tensors.items()}, path)


Written = tuple[Mapping[str, "Called"], Mapping[str, str]]


def _programs(game: Game) -> dict[str, Program]:
    from ganflow.export.programs import programs_of

    return programs_of(game)


def _pt2(folder: RunFolder, game: Game, checkpoint: Checkpoint, to: Path) -> Written:
    from ganflow.export.programs import save_program

    programs = _programs(game)
    for name, program in programs.items():
        save_program(program, to / f"{name}.pt2")
    return {name: program.called for name, program in programs.items()}, {name: f"{name}.pt2" for name in programs}


def _onnx(folder: RunFolder, game: Game, checkpoint: Checkpoint, to: Path) -> Written:
    import torch

    programs = _programs(game)
    for name, program in programs.items():
        called = program.called
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)  # of packages that it could use, too
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                output = _OUTPUT if _OUTPUT not in called.inputs else "made"
                made = torch.onnx.export(program.exported, dynamo=True, input_names=list(called.inputs), output_names=[output],
                                         verbose=False)  # fmt: skip
        except Exception as error:
            why = next((line for line in str(error.__cause__ or error).splitlines() if line.strip()), type(error).__name__)
            raise GanflowError(f"the generator's signature '{name}' ({type(game.averaged).__name__}) cannot be exported to ONNX: "
                               f"{why.strip()}; the format pt2 can") from error  # fmt: skip
        finally:
            logging.disable(level)
        assert made is not None
        axes: dict[Any, str] = {}
        for value in made.model.graph.inputs:
            for axis, side in zip(("batch", "", "height", "width"), value.shape or (), strict=False):
                if not isinstance(side, int):
                    axes.setdefault(side, axis)
        made.rename_axes(axes)
        made.save(to / f"{name}.onnx")
    return {name: program.called for name, program in programs.items()}, {name: f"{name}.onnx" for name in programs}


def _safetensors(folder: RunFolder, game: Game, checkpoint: Checkpoint, to: Path) -> Written:
    from ganflow.export.tried import signatures_called
    from ganflow.export.weights import write_run

    write_run(folder, game, checkpoint.round, to)
    called = signatures_called(game)
    return called, dict.fromkeys(called, "")


def _mlflow(folder: RunFolder, game: Game, checkpoint: Checkpoint, to: Path) -> Written:
    from ganflow.export.served import save_program_model

    programs = _programs(game)
    files = {name: "." if i == 0 else f"signatures/{name}" for i, name in enumerate(programs)}
    for name, program in programs.items():
        within = to / "model" if files[name] == "." else to / files[name]
        within.parent.mkdir(exist_ok=True)
        save_program_model(program, within)
        if files[name] == ".":
            for path in within.iterdir():
                path.rename(to / path.name)
            within.rmdir()
    return {name: program.called for name, program in programs.items()}, files


_WRITERS: dict[str, Callable[[RunFolder, Game, Checkpoint, Path], Written]] = {
    "pt2": _pt2, "onnx": _onnx, "safetensors": _safetensors, "mlflow": _mlflow, "hub": _safetensors,
}  # fmt: skip
