"""`ganflow.run` and `ganflow.resume`."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import ganflow
from ganflow.api.arguments import check_callback
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
        ("track.run_name", "'a', [b]: c # d", "'a', [b]: c # d"),
        ("track.run_name", "two\nlines ", "two\nlines "),
        ("track.run_name", " [1, 2]", " [1, 2]"),
        ("loss", "hinge", {"use": "vanilla/hinge"}),
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
    assert as_typed("train.rounds=5") == ["train.rounds=5"]
    assert as_typed({"+modifiers": {"use": "ema"}}) == ["+modifiers={use: ema}"]
    assert as_typed({"x": math.inf, "y": -math.inf}) == ["x=.inf", "y=-.inf"]
    assert as_typed({"data.path": Path("my photos"), "loss": "hinge", "name": "2024"}) == [
        "data.path=my photos", "loss=hinge", 'name="2024"',
    ]  # fmt: skip
    assert metrics_typed(["modes", {"use": "frechet", "samples": 9}]) == ["modes", "{use: frechet, samples: 9}"]
    for wrong in (5, [5], None):
        with pytest.raises(ganflow.GanflowError, match=r"^changes: a mapping is wanted, .*, or texts, .*, not "):
            as_typed(wrong)
    with pytest.raises(ganflow.GanflowError, match=r"^changes: 5 is no key of a recipe"):
        as_typed({5: 1})
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


@pytest.mark.parametrize("answer", [np.mean([1.0, 2.0]) < 0, np.array(False), torch.tensor(False)])
def test_false_of_numpy_or_torch_ends_the_run_too(tiny, runs, answer):
    run = ganflow.run(tiny, quiet=True, on_report=lambda report: answer)
    assert (run.status, run.round) == ("stopped", 2)


@pytest.mark.parametrize("answer", [None, True, 0, 0.0, "", np.True_, np.zeros(3), torch.tensor(0.0), torch.tensor([False])])
def test_what_is_not_false_ends_no_run(tiny, runs, answer):
    assert ganflow.run(tiny, {"train.rounds": 2}, quiet=True, on_report=lambda report: answer).status == "finished"


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


async def _waited(report):
    pass


def _yielded(report):
    yield


class _Called:
    async def __call__(self, report):
        pass


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: 1, r"and this one takes \(\); write e\.g\. on_report=lambda report: …"),
        (lambda report, more: 1, r"and this one takes \(report, more\)"),
        (lambda *, report: 1, r"and this one takes \(\*, report\)"),
        (_waited, "makes something that nobody runs"),
        (_yielded, "makes something that nobody runs"),
        (_Called(), "makes something that nobody runs"),
    ],
)
def test_a_callback_that_cannot_be_called_is_refused_before_anything_starts(tiny, runs, wrong, why):
    with pytest.raises(ganflow.GanflowError, match=rf"^on_report: a function that takes a ganflow\.Report is wanted, .*{why}"):
        ganflow.run(tiny, quiet=True, on_report=wrong)
    assert not runs.exists()
    with pytest.raises(ganflow.GanflowError, match=r"^on_report: "):
        ganflow.resume("latest", on_report=wrong)


@pytest.mark.parametrize("right", [print, dict, [].append, lambda *all: 1, lambda report, more=1: 1, math.isnan, type])
def test_what_takes_one_argument_is_a_callback(right):
    check_callback("on_report", right)


@pytest.mark.parametrize("recipe", [3, None, "", ["ring"]])
def test_what_is_no_recipe_is_refused(recipe, runs):
    for function in (ganflow.run, ganflow.sweep, lambda recipe: ganflow.run_seeds(recipe, 2)):
        with pytest.raises(ganflow.GanflowError, match=r"^recipe: the name of one .*, a file, or a mapping .* is wanted, not "):
            function(recipe)


def test_nothing_is_trained_for_arguments_that_are_wrong(tiny, runs):
    wrong = {
        "on_report": (3, "on_report: a function that takes a ganflow.Report is wanted, not 3"),
        "workers": (0, "workers: a whole number from 1 on, not 0"),
        "runs": (3, "runs: a path is wanted, not 3"),
    }
    for name, (value, sentence) in wrong.items():
        with pytest.raises(ganflow.GanflowError) as refused:
            ganflow.run(tiny, quiet=True, **{name: value})
        assert str(refused.value) == sentence
    assert not runs.exists()


def test_advice_is_as_one_types_it(tiny, runs):
    run = ganflow.run(tiny, quiet=True)
    with pytest.raises(ganflow.GanflowError) as refused:
        ganflow.resume(run, {"loss": "hinge", "modifiers": []})
    _, _, typed = refused.value.in_shell.rpartition(": ganflow run ")
    assert typed == f"runs/tiny/{run.id}/recipe.yaml loss=hinge 'modifiers=[]' train.start_from={run.id}"
    _, _, called = str(refused.value).rpartition(": ganflow.run(")
    assert called == f'"runs/tiny/{run.id}/recipe.yaml", {{"loss": "hinge", "modifiers": [], "train.start_from": "{run.id}"}})'


def test_one_mistake_is_one_line(runs):
    with pytest.raises(ganflow.GanflowError) as refused:
        ganflow.run("ring", {"train.rounds": "five"})
    assert str(refused.value) == "arguments: train.rounds: 'five' is not an integer"


def test_a_run_that_was_opened_goes_on(tiny, runs):
    run = ganflow.run(tiny, quiet=True)
    assert ganflow.resume(run, "train.rounds=8", quiet=True).round == 8
    assert ganflow.load(run).id == run.id
    assert ganflow.run(tiny, {"train.start_from": run}, quiet=True).record.start_from["run"] == str(run.path)


def test_progress_is_printed_unless_quiet(tiny, runs, capsys):
    ganflow.run(tiny, quiet=True)
    assert capsys.readouterr() == ("", "")
    ganflow.run(tiny)
    out, err = capsys.readouterr()
    assert out == ""
    assert "round 6/6" in err


def test_a_sweep_does_not_go_on_as_a_run(tiny, runs):
    ganflow.run_seeds(tiny, 2, quiet=True)
    for name in ("tiny-seeds-1", ganflow.load_sweep("latest")):
        with pytest.raises(ganflow.GanflowError) as refused:
            ganflow.resume(name)
        assert str(refused.value) == "tiny-seeds-1 is a sweep; go on with it: in a shell: ganflow run --resume tiny-seeds-1"
