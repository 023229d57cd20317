"""Keys of a space that the command line sets, and entries that it takes out: how a recipe's search becomes smaller by typing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from space_helpers import RECIPE, Sweep

from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.space.fixing import read_fixed
from ganflow.space.reading import read_space
from ganflow.space.space import Space
from ganflow.tune.plan import begin, find, make_plan

LR, BETA = "optimizer.lr: {loguniform: [1.0e-4, 1.0e-2]}", "optimizer.beta1: {choice: [0.0, 0.5]}"


@pytest.fixture
def fixed(sweep: Sweep) -> Any:
    """fixed(overrides, keys of the space) → the space that is left, and the notes."""

    def read(overrides: list[str], *keys: str) -> tuple[Space, list[str]]:
        sweep.recipe("space:\n" + "".join(f"  {line}\n" for line in keys))
        recipe, changes = read_fixed("r.yaml", overrides, sweep.catalogue)
        return read_space(recipe, "r.yaml", changes, sweep.catalogue), recipe.notes

    return read


def test_a_value_on_the_command_line_is_every_trials(fixed: Any) -> None:
    space, notes = fixed(["optimizer.lr=0.1"], LR, BETA)
    assert list(space.keys) == ["optimizer.beta1"]
    assert notes == ["optimizer.lr: set by the arguments, and not searched"]
    trial = space.validate({"optimizer.beta1": 0.5})
    assert {part.settings.lr for part in trial.optimizers.values()} == {0.1}
    assert fixed(["train.rounds=50"], LR, BETA)[1] == []


@pytest.mark.parametrize(
    ("override", "searched", "left"),
    [
        ("optimizer={use: adam, lr: 0.1}", (LR, BETA), ["optimizer.beta1"]),
        ("optimizer={use: adam}", (LR, BETA), ["optimizer.lr", "optimizer.beta1"]),
        ("optimizer.lr=0.1", ("optimizer.critic.lr: {choice: [0.1, 0.2]}", BETA), ["optimizer.beta1"]),
        ("loss=hinge", ("loss: {choice: [hinge, wasserstein]}", BETA), ["optimizer.beta1"]),
        ("loss.use=hinge", ("loss: {choice: [hinge, wasserstein]}", BETA), ["optimizer.beta1"]),
        ("modifiers.0.c=0.2", ("modifiers[0].c: {uniform: [0.1, 0.3]}", BETA), ["optimizer.beta1"]),
        ("optimizer.lr=0.1", ("optimizer:\n    lr: {loguniform: [1.0e-4, 1.0e-2]}\n    beta1: {choice: [0, 0.5]}",),
         ["optimizer.beta1"]),
        ("tune.space.optimizer.lr=null", (LR, BETA), ["optimizer.beta1"]),
        ("tune.space.optimizer.lr=null", ("optimizer:\n    lr: {loguniform: [1.0e-4, 1.0e-2]}", BETA), ["optimizer.beta1"]),
        ("tune.space.optimizer.lr={choice: [1, 2]}", ("optimizer:\n    lr: {loguniform: [1.0e-4, 1.0e-2]}", BETA),
         ["optimizer.lr", "optimizer.beta1"]),
    ],
)  # fmt: skip
def test_what_an_override_covers(override: str, searched: tuple[str, ...], left: list[str], fixed: Any) -> None:
    space, notes = fixed([override], *searched)
    assert list(space.keys) == left
    assert bool(notes) == (not override.startswith("tune.") and len(left) == 1)


def test_keys_go_with_the_component_that_they_are_of(fixed: Any) -> None:
    """A key whose condition can hold no more would be refused, though nobody typed it."""
    keys = ("loss: {choice: [hinge, wasserstein]}", "modifiers[0].c: {uniform: [0.1, 0.3], when: {loss: wasserstein}}", BETA)
    space, notes = fixed(["loss=hinge"], *keys)
    assert list(space.keys) == ["optimizer.beta1"]
    assert notes == ["loss: set by the arguments, and not searched, nor modifiers[0].c, whose conditions never hold then"]
    space, notes = fixed(["loss=wasserstein"], *keys)
    assert list(space.keys) == ["modifiers[0].c", "optimizer.beta1"]


def test_what_would_change_no_trial_is_refused(fixed: Any) -> None:
    with pytest.raises(GanflowError) as refused:
        fixed(["optimizer.generator.lr=0.1"], LR, BETA)
    advice = ["~tune.space.optimizer.lr", "optimizer.generator.lr=0.1", "tune.space.optimizer.critic.lr={uniform: [0.1, 0.2]}"]
    assert str(refused.value) == (
        "optimizer.generator.lr=0.1: optimizer.lr is searched, and sets it in every trial; search the other's alone: "
        "'~tune.space.optimizer.lr' 'tune.space.optimizer.critic.lr={…}'"
    )
    assert list(fixed(advice, LR, BETA)[0].keys) == ["optimizer.beta1", "optimizer.critic.lr"]
    with pytest.raises(GanflowError, match=r"^optimizer\.lr=0\.1: tune\.space\.optimizer\.lr=\{choice: \[1, 2\]\} searches"):
        fixed(["optimizer.lr=0.1", "tune.space.optimizer.lr={choice: [1, 2]}"], LR, BETA)
    with pytest.raises(GanflowError) as refused:
        fixed(["optimizer.lr=0.1", "tune.trials=9", "train.rounds=9"], LR)
    assert refused.value.in_shell == (
        "the command line sets optimizer.lr, and nothing else is searched; train it with: "
        "ganflow run r.yaml optimizer.lr=0.1 train.rounds=9"
    )


def test_the_sweep_keeps_what_was_typed(sweep: Sweep, command: Any) -> None:
    """So that it goes on as it began; and one that has begun is told that its space cannot change."""
    sweep.recipe(f"search: nsga2\npopulation_size: 4\nspace:\n  {LR}\n  {BETA}\n")
    plan = make_plan("r.yaml", ["optimizer.lr=0.1", "tune.search=tpe", "tune.population_size=null", "tune.trials=2"])
    folder = begin(plan, Path("runs"), "s")
    kept = read_recipe(find("s", Path("runs")).recipe)
    assert kept.tune is not None
    assert (list(kept.tune.space), kept.tune.population_size) == (["optimizer.beta1"], 0)
    assert "population_size" not in folder.recipe.read_text()
    assert make_plan(folder.recipe, new=False).recipe.notes == []
    for typed in ("optimizer.beta1=0.5", "optimizer.beta1=0.25"):
        said = command.refused("tune", "--resume", "s", "tune.trials=3", typed)
        assert said == (
            "ganflow: tune.space.optimizer.beta1 cannot change in a sweep that has begun: trials of another space are another "
            f"search; begin a new sweep from it: ganflow tune runs/s/recipe.yaml tune.trials=3 {typed}"
        )


def test_data_are_examined_where_something_can_still_be_changed(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.recipe(f"trials: 2\nspace:\n  {LR}\n")
    monkeypatch.setattr("ganflow.tune.plan.examined", lambda data, keys: ["all of it is black"])
    assert make_plan("r.yaml").recipe.notes == ["all of it is black"]
    assert make_plan("r.yaml", new=False).recipe.notes == []


@pytest.mark.parametrize(
    ("tune", "overrides", "advice"),
    [
        ("search: nsga2\npopulation_size: 4", ["tune.search=tpe"], "tune.population_size=null"),
        ("search: grid\ngrid_samples: 2", ["tune.search=random", "tune.trials=2"], "tune.grid_samples=null"),
        ("seeds: 3\nquantile: 0.5", ["tune.seeds=1"], "tune.quantile=null"),
        ("pack: 2\nconfirm: 2", ["tune.pack=1"], "tune.confirm=null"),
        ("resources: {cpus: 1, gpus: 1}\nbudget: {gpu_hours: 3, hours: 1}", ["tune.resources.gpus=0"],
         "tune.budget.gpu_hours=null"),
    ],
)  # fmt: skip
def test_the_advice_works_when_typed(tune: str, overrides: list[str], advice: str, sweep: Sweep) -> None:
    sweep.file.write_text(RECIPE + "tune:\n" + "".join(f"  {line}\n" for line in (*tune.splitlines(), "space:", f"  {BETA}")))
    with pytest.raises(GanflowError) as refused:
        make_plan("r.yaml", overrides)
    assert advice in str(refused.value)
    make_plan("r.yaml", [*overrides, advice])


def test_a_misspelt_searcher_is_one_problem(sweep: Sweep) -> None:
    assert sweep.problems(f"search: optnua\npopulation_size: 4\nscheduler: pbt\nspace:\n  {BETA}\n") == [
        "1: tune.search: unknown searcher 'optnua'; did you mean 'optuna'? (searchers: random, grid, tpe, gp, cmaes, nsga2, "
        "hyperopt, optuna)"
    ]


def test_a_dry_run_refuses_a_folder_that_is_there(sweep: Sweep, command: Any) -> None:
    sweep.recipe(f"trials: 2\nspace:\n  {BETA}\n")
    RunFolder(Path("runs/s")).path.mkdir(parents=True)
    said = command.refused("tune", "r.yaml", "--dry-run", "--name", "s")
    assert said.startswith(f"ganflow: there is already a folder {Path('runs/s').absolute()}; go on with it: ")
    assert said == command.refused("tune", "r.yaml", "--name", "s")
    assert "--name: 'a/b' cannot name a folder" in command.refused("tune", "r.yaml", "--dry-run", "--name", "a/b")
    Path("file").touch()
    assert "it is no folder; choose another with --runs" in command.refused("tune", "r.yaml", "--dry-run", "--runs", "file/x")
    assert not list(Path("runs/s").iterdir())
