"""Advice in two forms: commands, and the calls that do the same in Python."""

import ast
import pickle
import shlex
from pathlib import Path

import pytest

from ganflow.advised import Advised, change, command, in_shell, joined, option
from ganflow.api.changes import as_typed
from ganflow.errors import GanflowError, Problem, RecipeError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("ganflow run wgan", 'ganflow.run("wgan")'),
        ("ganflow run wgan train.rounds=5 loss=hinge", 'ganflow.run("wgan", {"train.rounds": 5, "loss": "hinge"})'),
        ("ganflow run 'my runs/r.yaml' optimizer.lr=1e-4", 'ganflow.run("my runs/r.yaml", {"optimizer.lr": 0.0001})'),
        ("ganflow run --resume 2026-01 '+metrics=[emd, modes]'", 'ganflow.resume("2026-01", {"+metrics": ["emd", "modes"]})'),
        ("ganflow run r.yaml '~critic' train.best=null", 'ganflow.run("r.yaml", {"~critic": None, "train.best": None})'),
        ("ganflow run r train.start_from=20261201-150657-6223", 'ganflow.run("r", {"train.start_from": "20261201-150657-6223"})'),
        ("ganflow run r '+metrics=a' '+metrics=b'", 'ganflow.run("r", ["+metrics=a", "+metrics=b"])'),
        ("ganflow run r '+modifiers={use: ema, decay: 0.9}'", 'ganflow.run("r", ["+modifiers={use: ema, decay: 0.9}"])'),
        ("ganflow tune sweeps/asha tune.trials=8", 'ganflow.sweep("sweeps/asha", {"tune.trials": 8})'),
        ("ganflow tune --resume best", 'ganflow.resume_sweep("best")'),
        ("ganflow evaluate latest --metric emd", 'ganflow.load("latest").evaluate("emd")'),
        ("ganflow run wgan --seeds 3", "in a shell: ganflow run wgan --seeds 3"),
        ("ganflow sync latest --uri sqlite:///x", "in a shell: ganflow sync latest --uri sqlite:///x"),
    ],
)
def test_a_command_is_a_call_in_python(typed, called):
    advised = command(typed)
    assert (str(advised), in_shell(advised)) == (called, typed)


CHANGES = ("metrics=[emd]", "train.rounds=5", "~critic", "+modifiers={use: ema}", "name=yes", "name=a b", "x=-.inf", "x=null",
           "train.start_from=20261201-150657-6223", "x=1.5", "x=[1, 2]", "x=[]", "x=[a, true]")  # fmt: skip


@pytest.mark.parametrize("override", CHANGES)
def test_changes_in_python_are_the_overrides_that_are_typed(override):
    advised = change(override)
    assert as_typed(eval(str(advised))) == [override]
    assert shlex.split(in_shell(advised)) == [override]


def test_sums_and_lists_of_texts_keep_both_forms():
    text = "choose another with " + option("--runs") + ", or: " + command("ganflow run a")
    assert (str(text), in_shell(text)) == (
        'choose another with runs=…, or: ganflow.run("a")', "choose another with --runs, or: ganflow run a",
    )  # fmt: skip
    both = joined("; ", [text, "plain"])
    assert (str(both), in_shell(both)) == (f"{text}; plain", f"{in_shell(text)}; plain")
    assert in_shell("plain") == "plain"
    for copy in (pickle.loads(pickle.dumps(text)), pickle.loads(pickle.dumps(GanflowError(text))).text):
        assert (copy, in_shell(copy)) == (text, in_shell(text))


def test_errors_have_both_forms():
    error = GanflowError("no: " + Advised("a=…", "--a"))
    assert (str(error), error.in_shell) == ("no: a=…", "no: --a")
    assert (GanflowError("plain").in_shell, GanflowError().in_shell) == ("plain", "")
    wrong = RecipeError([Problem(3, "in a file", "r.yaml"), Problem(0, "write " + change("metrics=[emd]"))])
    assert str(wrong) == 'arguments: write {"metrics": ["emd"]}\nr.yaml:3: in a file'
    assert wrong.in_shell == "command line: write 'metrics=[emd]'\nr.yaml:3: in a file"


def advising(tree):
    """Names of the functions of a module that give a text of two forms."""
    functions = (f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and isinstance(f.returns, ast.Name))
    return {f.name for f in functions if f.returns.id == "Advised"}


def test_no_f_string_loses_a_form():
    """It would have Python's alone, in the command line, too: such texts are added."""
    trees = {".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
             for room in ("ganflow", "plugins") for path in (ROOT / room).rglob("*.py")}  # fmt: skip
    made = {name: advising(tree) for name, tree in trees.items()}
    assert made["ganflow.advised"] > {"command", "option", "change"}
    found = []
    for name, tree in trees.items():
        known = set(made[name])
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in made:
                known |= {each.asname or each.name for each in node.names if each.name in made[node.module]}
        values = (each.value for each in ast.walk(tree) if isinstance(each, ast.FormattedValue))
        calls = (value for value in values if isinstance(value, ast.Call) and isinstance(value.func, ast.Name))
        found += [f"{name}:{call.lineno}" for call in calls if call.func.id in known]
    assert not found
