"""The command line's own words: commands, options, help, exit codes."""

import os
import re
import subprocess
import sys

import pytest

import ganflow
from ganflow.cli.main import COMMANDS, load, main
from ganflow.cli.recipes import UNBUILT


def process(*arguments, cwd, **options):
    """`python -m ganflow …` as a process of its own."""
    return subprocess.run([sys.executable, "-m", "ganflow", *arguments], cwd=cwd, capture_output=True, text=True, **options)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)], ids=" ".join)
def test_the_overview(command, arguments):
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert all(re.search(rf"^  {name} +{re.escape(text)}$", out, re.MULTILINE) for name, (_, text) in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(command, capsys, name):
    said = []
    for arguments in ((name, "--help"), ("help", name)):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        said.append(capsys.readouterr())
    assert said[0] == said[1]
    assert said[0].err == ""
    assert said[0].out.startswith(f"usage: ganflow {name}")
    assert COMMANDS[name][1][1:] in " ".join(said[0].out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_explained(name):
    import argparse

    parser = argparse.ArgumentParser()
    load(name).arguments(parser)
    assert [a.dest for a in parser._actions if not a.help and not isinstance(a, argparse._SubParsersAction)] == []


def test_the_version(command):
    for option in ("--version", "-V"):
        assert command(option) == (0, f"ganflow {ganflow.__version__}\n", "")


def test_as_a_module(tmp_path):
    done = process("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ganflow {ganflow.__version__}\n", "")
    done = process("rnu", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ganflow: unknown command 'rnu'; did you mean 'run'? (commands: run, check, ")
    assert list(tmp_path.iterdir()) == []


def test_the_installed_script(tmp_path):
    script = os.path.join(os.path.dirname(sys.executable), "ganflow")
    done = subprocess.run([script, "check", "wgan", "train.rounds=0"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "command line: train.rounds: 0 is below 1\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("frobnicate",), "ganflow: unknown command 'frobnicate' (commands: run, check, show, "),
        (("help", "rum"), "ganflow: unknown command 'rum'; did you mean 'run'?"),
        (("--hlep",), "ganflow: unknown command '--hlep'"),
        (("run",), "ganflow: which recipe? e.g. ganflow run wgan"),
        (("run", "--resume"), "ganflow: argument --resume: expected one argument (ganflow run --help)"),
        (("run", "wgan", "--rseume", "x"), "ganflow: unrecognized arguments: --rseume x; did you mean --resume? (ganflow run"),
        (("plugins", "--debag", "--jason"), "ganflow: unrecognized arguments: --debag --jason; did you mean --json?"),
        (("recipes", "cat", "wgan", "--json"), "ganflow: unrecognized arguments: --json (ganflow recipes --help)"),
        (("run", "wgan", "--res=x"), "ganflow: unrecognized arguments: --res=x"),  # no abbreviations: they break with new options
        (("runs", "shwo"), "ganflow: argument action: invalid choice: 'shwo' (choose from 'show', 'rm'); did you mean show? ("),
        (("theory", "disjont"), "ganflow: argument PART: invalid choice: 'disjont' (choose from 'disjoint', "),
        (("run", "wgn"), "ganflow: no recipe 'wgn'; did you mean 'wgan'"),
        (("run", "."), "ganflow: . is a folder, not a recipe; name a file in it"),
        (("run", "wgan", "other"), "ganflow: command line: 'other' is not an override; write key=value, +list=item or ~key"),
        (("run", "--resume", "latest"), "ganflow: no runs in runs/ yet; start one with: ganflow run wgan"),
        (("run", "--resume", "latest", "--runs", "there"), "ganflow: no runs in there/ yet"),
        (("check",), "ganflow: the following arguments are required: RECIPE; e.g. ganflow check --build"),
        (("check", "train.rounds=3"), "ganflow: no recipe to check"),
        (("show",), "ganflow: the following arguments are required: RECIPE"),
        (("show", "no.yaml"), "ganflow: no recipe 'no.yaml'"),
        (("recipes", "cpoy"), "ganflow: argument ACTION: invalid choice: 'cpoy' (choose from 'show', 'cat', 'copy')"),
        (("recipes", "copy", "wgn"), "ganflow: no recipe 'wgn' comes with ganflow; did you mean 'wgan'"),
        (("plugins", "shwo", "mlp"), "ganflow: argument action: invalid choice: 'shwo'"),
        (("plugins", "show"), "ganflow: show what?"),
        (("plugins", "show", "weight_clop"), "ganflow: no component or plugin 'weight_clop'; did you mean 'weight_clip'?"),
        (("runs", "show", "x"), "ganflow: no runs in runs/ yet"),
        (("sample",), "ganflow: the following arguments are required: RUN; e.g. ganflow sample latest -n 64 -o grid.png"),
        (("sample", "latest"), "ganflow: no runs in runs/ yet"),
        (("sample", "latest", "-n", "0"), "ganflow: argument -n: 0 is not 1 or more"),
        (("sample", "latest", "-n", "many"), "ganflow: argument -n: 'many' is not a whole number"),
        (("interpolate", "latest"), "ganflow: no runs in runs/ yet"),
        (("animate", "latest", "--fps", "1000"), "ganflow: argument --fps: 1000 is not at most 50"),
        (("sync",), "ganflow: which run?"),
        (("sync", "--all"), "ganflow: no runs in runs/"),
        (("ui", "--port", "0"), "ganflow: --port 0: ports are numbers from 1 to 65535"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_get_one_sentence_and_write_nothing(command, tmp_path, arguments, sentence):
    said = command.refused(*arguments)
    assert said.startswith(sentence)
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", ["--help", "recipes", "plugins", "show wgan", "check wgan"])
def test_a_reader_that_goes_away_is_no_error(arguments, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ganflow", *arguments.split()], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writer)
    assert done.stderr.removeprefix(f"{UNBUILT}\n") == ""
    assert done.returncode in (1, 141)  # 1 is rich's


def test_debug_shows_the_traceback(command, tmp_path):
    done = process("check", "wgan", "train.rounds=0", cwd=tmp_path)
    assert "Traceback" not in done.stderr
    done = process("run", "--debug", "wgn", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "GanflowError: no recipe 'wgn'" in done.stderr


def test_warnings_are_printed_and_not_obeyed(tmp_path):
    code = """
import logging, sys
from ganflow.cli import main, recipes
recipes.recipes_command = lambda args: logging.getLogger("ganflow").warning("the file %s is damaged", "\\x1b[31m")
sys.argv = ["ganflow", "recipes"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == "ganflow: the file \\u001b[31m is damaged\n"
