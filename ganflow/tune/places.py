"""The folder of a sweep: made for a new one, found for one that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganflow import runs
from ganflow.atomic import write_text
from ganflow.errors import GanflowError
from ganflow.printing import escaped
from ganflow.recipe.sections import NAME
from ganflow.tracking.destination import address, check_recipe
from ganflow.tune.folder import SweepFolder
from ganflow.tune.plan import Plan, rounds_of


def begin(plan: Plan, root: Path, name: str | None = None) -> SweepFolder:
    """Make the folder of a new sweep.

    Raises:
        GanflowError: there is one of this name, or it cannot be written.
    """
    if name is not None and not NAME.fullmatch(name):
        raise GanflowError(f"--name: {name[:50]!r} cannot name a folder; use letters, digits, '.', '_' and '-'")
    check_recipe(plan.recipe, root)
    folder = SweepFolder((root / (name or _free_name(root, plan.recipe.name))).absolute())
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        folder.path.mkdir()
        folder.plots.mkdir()
        comment = f"# ganflow tune {escaped(str(folder.recipe))}\n"
        write_text(folder.recipe, comment + plan.space.draft.to_yaml())  # with its references
        folder.update(**_values(plan, folder))
    except FileExistsError:
        how = f"go on with it: ganflow tune --resume {folder.sweep}, or choose another --name"
        raise GanflowError(f"there is already a folder {folder.path}; {how}") from None
    except OSError as error:
        how = f"{error.strerror}; choose another with --runs"
        raise GanflowError(f"cannot make the sweep's folder {folder.path}: {how}") from None
    return folder


def find(name: str, root: Path) -> SweepFolder:
    """The sweep of this name, or at this path.

    Raises:
        GanflowError: there is none, or what it must have to go on is missing or damaged.
    """
    found = [SweepFolder(p.absolute()) for p in (Path(name), root / name) if p.is_dir()]
    there = [f for f in found if f.is_run()]
    if not there:
        if found and found[0].records.exists():
            raise GanflowError(f"{found[0].path / 'run.json'} is missing: the sweep cannot go on without it")
        raise GanflowError(f"no sweep '{name}' in {root}/ (ganflow sweeps lists them)")
    folder = there[0]
    runs.check(folder)
    if folder.read().kind != "sweep":
        raise GanflowError(f"{folder.path} is a run, not a sweep; go on with it: ganflow run --resume {folder.path.name}")
    if not folder.recipe.exists():
        raise GanflowError(f"{folder.recipe} is missing: the sweep cannot go on without it")
    return folder


def _values(plan: Plan, folder: SweepFolder) -> dict[str, Any]:
    from ganflow.runner.folders import origin

    recipe, track = plan.recipe, plan.recipe.track
    return {
        "kind": "sweep",
        "id": runs.stamp(),
        "name": folder.sweep,
        "recipe": recipe.name,
        "status": "waiting",
        **origin(recipe),
        "metric": plan.metric,
        "mode": plan.mode,
        "trials": plan.space.count(plan.tune),
        "over": 0,
        "rounds": rounds_of(plan),
        "seed": plan.tune.seed,
        "tracking": {
            "mlflow": track.mlflow,
            **address(track.uri, {}),
            "experiment": track.experiment,
            "run_name": track.run_name or folder.sweep,
            "images": False,
            "log_model": False,
            "files": ["best.yaml", "trials.csv"],
        },
    }


def _free_name(root: Path, recipe: str) -> str:
    number = 1
    while (root / f"{recipe}-sweep-{number}").exists():
        number += 1
    return f"{recipe}-sweep-{number}"
