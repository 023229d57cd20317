"""What README.md, CONTRIBUTING.md and CHANGELOG.md say is true: their examples are taken from their text and run."""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ganflow.cli.main import COMMANDS, load
from ganflow.cli.recipes import UNBUILT
from ganflow.recipe import read_recipe
from ganflow.runs import finding
from ganflow.runs.loading import load_game

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EVERY = {*COMMANDS, *PROJECT["entry-points"]["ganflow.commands"]}


def block(language, of=README, holds=""):
    """The only fenced block of a language (that holds some text)."""
    found = [text for text in re.findall(rf"^```{language}\n(.*?)^```$", of, re.MULTILINE | re.DOTALL) if holds in text]
    assert len(found) == 1
    return found[0]


def plugin():
    """The code of the README's plugin."""
    return block("python", holds="def register")


def marked(name):
    """The command below <!-- name -->."""
    found = re.findall(rf"<!-- {name} -->\n```\n(.*?)\n```", README, re.DOTALL)
    assert len(found) == 1
    assert "\n" not in found[0]  # one line, as promised
    return found[0]


def commands():
    """Every `ganflow …` that the README writes between backticks or in a block."""
    return sorted({line.strip() for line in re.findall(r"(?:`|^# |/bin/)(ganflow [^`\n]+)", README, re.MULTILINE)})


def test_the_two_one_line_commands():
    install = "python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e "
    assert marked("run") == f"{install}. && .venv/bin/ganflow run recipes/wgan.yaml"
    assert marked("test") == f"{install}'.[test]' && .venv/bin/python -m pytest -q"
    assert (ROOT / "recipes" / "wgan.yaml").exists()
    assert "test" in PROJECT["optional-dependencies"]
    assert PROJECT["scripts"] == {"ganflow": "ganflow.cli:main"}


def test_the_recipe_is_right_and_is_the_one_that_comes_along(command):
    Path("my.yaml").write_text(block("yaml"), encoding="utf-8")
    assert command("check", "my.yaml") == (0, "my.yaml: ok\n", f"{UNBUILT}\n")
    assert read_recipe("my.yaml").resolved() == read_recipe("wgan").resolved()


def test_the_plugin_trains(command, workshop):
    (entry,) = tomllib.loads(block("toml"))["project"]["entry-points"]["ganflow"].items()
    assert entry == ("acme", "gf_acme")
    assert "`gf_acme/__init__.py`" in README
    workshop.install("acme", plugin(), module="gf_acme")
    workshop.catalogue()
    (critic,) = re.findall(r"`(critic: \{use: acme/patch[^`]*\})`", README)
    recipe = block("yaml")
    Path("my.yaml").write_text(re.sub(r"^critic: .*$", critic, recipe, flags=re.MULTILINE), encoding="utf-8")
    shorter = ["train.rounds=2", "train.batch_size=8", "train.compile=never", "track.mlflow=false", "generator.width=8"]
    code, _, err = command("run", "my.yaml", *shorter, "-q")
    assert (code, err) == (0, "")
    run = finding.find_run("latest", Path("runs"))
    assert run.read().plugins["acme"] == {"distribution": "gf-acme", "version": "1.0"}
    trained = load_game(run).critic
    assert sorted(tuple(p.shape) for p in trained.parameters()) == [(1,), (1, 32, 4, 4), (32,), (32, 1, 4, 4)]
    assert all(p.detach().abs().max() <= read_recipe("my.yaml").modifiers[0].settings.c for p in trained.parameters())
    assert "Scores overlapping patches." in command("plugins", "show", "acme/patch")[1]


def test_the_plugin_keeps_the_contract_as_printed(workshop, tmp_path):
    """In a process of its own, as its author would: the code in a package, installed with the entry point that is printed."""
    site = workshop.install("acme", plugin(), module="gf_acme")
    group, entry = next(iter(tomllib.loads(block("toml"))["project"]["entry-points"].items()))
    assert (site / "gf_acme-1.0.dist-info" / "entry_points.txt").read_text() == f"[{group}]\nacme = {entry['acme']}\n"
    suite = tmp_path / "suite.py"
    suite.write_text(block("python", holds="ganflow.testing"), encoding="utf-8")
    search = os.pathsep.join([str(site), *(place or os.getcwd() for place in sys.path)])
    environment = {**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-W", "error", suite], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_command_is_in_the_table():
    table = [line for line in README.splitlines() if line.startswith("| `")]
    assert {line.split()[1] for line in commands()} == EVERY
    assert set(re.findall(r"`ganflow ([\w-]+)", "\n".join(table))) == EVERY


@pytest.mark.parametrize("line", commands())
def test_every_command_can_be_typed_like_that(line):
    name, *arguments = shlex.split(line)[1:]
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    load(name).arguments(parser)
    parser.parse_args(arguments)  # what is wrong raises


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_paths_that_are_named_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:ganflow|plugins|recipes|tests|\.ci)/[\w./-]*)`", text)
    assert [path for path in links + named if not (ROOT / path).exists()] == []


def test_it_is_short():
    assert len(README.splitlines()) <= 150
