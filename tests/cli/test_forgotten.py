"""What is nearly an override: without its value, or a component where a list of them is needed."""

import re
import shlex
from pathlib import Path

import pytest


@pytest.mark.parametrize("change", ["train.rounds", "critic", "+modifiers", "modifiers[0].c", "tune.space.optimizer.lr"])
def test_a_key_without_a_value(command, change):
    for name in ("run", "check", "show", "tune", "data"):
        assert f"command line: '{change}' has no value; write {change}=VALUE" in command.refused(name, "wgan", change)
    assert command.refused("check", change).startswith("ganflow: no recipe to check; write one before")


def test_a_recipe_whose_file_is_called_like_a_section(command):
    command("recipes", "copy", "wgan", "data")
    command("recipes", "copy", "wgan", "data.yaml")
    code, out, _ = command("check", "data", "data.yaml")
    assert (code, out) == (0, "data: ok\ndata.yaml: ok\n")
    assert "no recipe 'gna'; did you mean 'gan'?" in command("check", "wgan", "gna")[2]


@pytest.mark.parametrize(
    ("change", "append", "alone"),
    [
        ("metrics=frechet", "+metrics=frechet", "metrics=[frechet]"),
        ("metrics=fid", "+metrics=frechet", "metrics=[frechet]"),
        ("modifiers=gradient-penalty", "+modifiers=gradient_penalty", "modifiers=[gradient_penalty]"),
        ("trackers=tensorbord", "+trackers=tensorboard", "trackers=[tensorboard]"),
        ("metrics={use: fid, samples: 100}", "+metrics={use: frechet, samples: 100}",
         "metrics=[{use: frechet, samples: 100}]"),
    ],
)  # fmt: skip
def test_a_component_where_a_list_is_needed(command, change, append, alone):
    text = command.refused("check", "wgan_gp", change)
    ways = f"to append it, write {shlex.quote(append)}; to have it alone, {shlex.quote(alone)}"
    assert text.startswith(f"command line: {change.partition('=')[0]}: ")
    assert text.endswith(f" is not a list; {ways}")
    assert command("check", "wgan", alone)[0] == 0
    if "modifiers" not in append:  # which it has already
        assert command("check", "wgan", append)[0] == 0


def test_no_component_of_that_name(command):
    text = command.refused("check", "wgan", "metrics=zzzz")
    assert re.search(r"metrics: 'zzzz' is not a list; name one or several: 'metrics=\[…\]' \(installed: bird_colours, ", text)
    assert "name one or several" in command.refused("check", "wgan", "metrics=3")


def test_a_file_gets_the_advice_for_files(command):
    Path("mine.yaml").write_text("extends: wgan\nmetrics: frechet\n")
    assert "mine.yaml:2: metrics: 'frechet' is not a list; begin each metric with '- '" in command.refused("check", "mine.yaml")
