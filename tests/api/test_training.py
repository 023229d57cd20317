"""`ganflow.run` and `ganflow.resume`."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import ganflow
from ganflow.api.changes import as_typed, metrics_typed
from ganflow.cli.main import main
from ganflow.recipe import read_recipe
from ganflow.recipe.yaml import to_yaml
from ganflow.runs.journal import entries


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("train.rounds", 7, 7),
        ("train.rounds", np.int64(7), 7),
        ("optimizer.lr", 3e-05, 3e-5),
        ("name", "2024", "2024"),
        ("name", "null", "null"),
        ("train.deterministic", True, True),
        ("train.best", None, None),
        ("generator", {"use": "mlp", "width": 4, "depth": 1}, {"width": 4, "depth": 1}),
    ],
)
def test_values_of_python_are_values_of_the_recipe(tiny, key, value, found):
    recipe = read_recipe(tiny, as_typed({key: value})).resolved()
    for step in key.split("."):
        recipe = recipe["critic" if step == "lr" and "critic" in recipe else step]
        recipe = recipe.get("critic", recipe) if isinstance(recipe, dict) and key.startswith("optimizer") else recipe
    assert (found.items() <= recipe.items()) if isinstance(found, dict) else (recipe == found and type(recipe) is type(found))


def test_changes_may_be_typed_as_for_a_command():
    assert as_typed(["train.rounds=5", "~critic"]) == ["train.rounds=5", "~critic"]
    assert as_typed({"+modifiers": {"use": "ema"}}) == ['+modifiers={"use": "ema"}']
    assert as_typed({"x": math.inf, "y": -math.inf}) == ["x=.inf", "y=-.inf"]
    assert as_typed({"data.path": Path("my photos")}) == ['data.path="my photos"']
    assert metrics_typed(["modes", {"use": "frechet", "samples": 9}]) == ["modes", '{"use": "frechet", "samples": 9}']
    with pytest.raises(ganflow.GanflowError, match=r"a mapping is wanted, or a list of texts: \['a=1'\]"):
        as_typed("a=1")
    with pytest.raises(ganflow.GanflowError, match=r"train\.rounds: a recipe holds no object"):
        as_typed({"train.rounds": object()})


def test_a_mapping_is_the_recipe_that_its_file_is(tiny, runs, tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(to_yaml(tiny))
    assert read_recipe(tiny).resolved() == read_recipe(file).resolved()
    with pytest.raises(ganflow.GanflowError, match="the recipe:1: unknown key 'wide' in generator"):
        ganflow.run({**tiny, "generator": {"use": "mlp", "wide": 3}})
    assert not runs.exists()


def test_function_and_command_train_the_same_run(tiny, runs, tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(to_yaml(tiny))
    assert main(["run", "tiny.yaml", "-q", "train.seed=3"]) == 0
    ganflow.run(tiny, {"train.seed": 3}, quiet=True)
    typed, called = (RunFolder.journal for RunFolder in map(ganflow.RunFolder, sorted((runs / "tiny").iterdir())))
    speed = "rounds_per_second"
    both = [[{n: v for n, v in e.values.items() if n != speed} for e in entries(path)] for path in (typed, called)]
    assert both[0] == both[1]
    assert len(both[0]) == 3


def test_reports_are_passed_on_and_false_ends_the_run(tiny, runs):
    seen = []

    def watch(report):
        seen.append((report.round, report.terms["generator_loss"]))
        return report.round < 4

    run = ganflow.run(tiny, quiet=True, on_report=watch)
    assert [round for round, _ in seen] == [2, 4]
    assert all(math.isfinite(loss) for _, loss in seen)
    assert (run.status, run.round, run.record.rounds) == ("stopped", 4, 6)
    again = ganflow.resume(run.id, {"train.rounds": 8}, quiet=True, on_report=lambda report: seen.append(report.round))
    assert (again.status, again.round, seen[2:]) == ("finished", 8, [6, 8])
    assert list(again.terms().index) == [2, 4, 6, 8]


def test_what_a_callback_raises_is_raised_and_the_run_can_go_on(tiny, runs):
    def wrong(report):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        ganflow.run(tiny, quiet=True, on_report=wrong)
    assert ganflow.load("latest").status == "failed"
    assert ganflow.resume("latest", quiet=True).status == "finished"


def test_random_numbers_and_threads_of_the_caller_stay(tiny, runs):
    threads = torch.get_num_threads()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    wanted = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    ganflow.run(tiny, {"train.threads": threads + 1, "train.deterministic": True}, quiet=True)
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == wanted
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_progress_is_printed_unless_quiet(tiny, runs, capsys):
    ganflow.run(tiny, quiet=True)
    assert capsys.readouterr() == ("", "")
    ganflow.run(tiny)
    out, err = capsys.readouterr()
    assert out == ""
    assert "round 6/6" in err


def test_a_sweep_does_not_go_on_as_a_run(tiny, runs):
    ganflow.run_seeds(tiny, 2, quiet=True)
    with pytest.raises(ganflow.GanflowError, match="tiny-seeds-1 is a sweep; go on with it"):
        ganflow.resume("tiny-seeds-1")
