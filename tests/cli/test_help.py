"""Help texts: an example for each command that can be typed, and words that are whole on narrow terminals."""

import argparse
import os
import re
import shlex
import subprocess
import sys

import pytest

from ganflow.cli.helping import EXAMPLES, sentences
from ganflow.cli.main import COMMANDS, Parser, load, plugin_commands
from ganflow.cli.main import EXAMPLES as FIRST

EVERY = [*COMMANDS, *(name for name in plugin_commands() if name not in COMMANDS)]


def parse(line):
    """Parse an example as the command line would."""
    ganflow, name, *rest = shlex.split(line.partition(" > ")[0])
    assert ganflow == "ganflow"
    parser = Parser(prog=f"ganflow {name}", allow_abbrev=False)
    load(name).arguments(parser)
    subcommands = any(isinstance(action, argparse._SubParsersAction) for action in parser._actions)
    return parser.parse_args(rest) if subcommands else parser.parse_intermixed_args(rest)


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_examples_that_parse(name):
    examples = load(name).examples
    assert examples
    for line, what in examples:
        assert line.split()[:2] == ["ganflow", name]
        assert what
        parse(line)


def test_the_first_examples_parse_and_what_they_name_is_there():
    from ganflow.recipe import find_shipped

    for line, _ in (*FIRST, *(example for name in ("run", "check", "show", "tune") for example in EXAMPLES[name])):
        recipe = getattr(parse(line), "recipe", None)
        assert recipe in (None, "mine.yaml", "wgan.yaml") or find_shipped(recipe)


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("name", ["", *EVERY])
def test_no_word_is_broken(command, monkeypatch, capsys, name, width):
    def words(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        if name:
            with pytest.raises(SystemExit):
                command(name, "--help")
            out, err = capsys.readouterr()
        else:
            _, out, err = command("--help")
        assert err == ""
        return out

    shown = words(width)
    assert sorted(shown.split()) == sorted(words(500).split())
    too_long = [line for line in shown.splitlines() if len(line) > width and " " in line.strip()]
    assert [line for line in too_long if not re.match(r"( *usage|  ganflow| +\[)", line)] == []


def script(*arguments, cwd, **options):
    return subprocess.run([sys.executable, "-m", "ganflow", *arguments], cwd=cwd, capture_output=True, **options)


@pytest.mark.parametrize("arguments", ["--help", "run --help", "recipes", "recipes show wgan_gp", "plugins show mlp"])
def test_output_for_ascii_alone(tmp_path, arguments):
    done = script(*arguments.split(), cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert len(done.stdout) > 300


def test_a_runs_folder_that_is_no_unicode(tmp_path):
    done = script("runs", "--runs", os.fsdecode(b"r\xffs"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == rb"no runs in r\udcffs/ yet; start one with: ganflow run wgan" + b"\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("sample", "latest", "-n", "9000000000000000000"), "argument -n: 9000000000000000000 is not at most 10000000"),
        (("sample", "latest", "-n", "9" * 5000), "argument -n: "),
        (("runs", "show", "x" * 5000), "no runs in runs/ yet"),
        (("runs", "rm", "x" * 5000), "no runs in runs/ yet"),
        (("sweeps", "show", "x" * 5000), "no file can have a name as long as 'runs/xxx"),
        (("runs", "show", "x", "--runs", "r" * 5000), "no file can have a name as long as 'rrr"),
        (("recipes", "show", "x" * 5000), "no recipe"),
        (("recipes", "cat", "../wgan"), "no recipe '../wgan' comes with ganflow"),
        (("recipes", "copy", "wgan", "x" * 300), "no file can have a name as long as 'xxx"),
        (("plugins", "show", "x" * 5000), "no component or plugin"),
        (("x" * 5000,), "unknown command"),
        (("ui", "--port", "9" * 5000), "argument --port"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_names_and_numbers_beyond_all_bounds_get_a_sentence(command, arguments, sentence):
    said = command.refused(*arguments)
    assert sentence in said
    assert "\n" not in said


@pytest.mark.parametrize("arguments", ["runs", "recipes", "--help", "recipes cat wgan"])
def test_a_closed_output(tmp_path, arguments):
    line = f"'{sys.executable}' -m ganflow {arguments} >&-"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "ganflow: cannot write what is to be printed: Bad file descriptor\n"


@pytest.mark.parametrize("arguments", [("recipes",), ("recipes", "show", "wgan_gp"), ("plugins", "show", "mlp")], ids=" ".join)
def test_lists_on_a_terminal_break_between_words(command, monkeypatch, arguments):
    _, whole, _ = command(*arguments)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, _ = command(*arguments)
    out = re.sub(r"\x1b\[[\d;]*m", "", out)
    assert code == 0
    assert out.split() == whole.split()
    assert [line for line in out.splitlines() if len(line) > 40 and " " in line.strip() and "file  " not in line] == []


class TestErrorsOnATerminal:
    """They are broken between words, and commands in them are whole."""

    TEXT = ("'2026' is the beginning of 12 runs-of-several-sweeps; write more of it (ganflow runs lists them), or name it: "
            "ganflow run --resume 'a; b' +metrics=emd; then ganflow evaluate latest --metric frechet")  # fmt: skip

    @pytest.mark.parametrize("room", [20, 39, 79, 500])
    def test_lines(self, room):
        lines = sentences(f"ganflow: {self.TEXT}", room, EVERY)
        assert " ".join(line.removeprefix("  ") for line in lines) == f"ganflow: {self.TEXT}"
        for command in ("ganflow run --resume 'a; b' +metrics=emd", "ganflow evaluate latest --metric frechet"):
            assert sum(command in line for line in lines) == 1
        for line in lines:
            assert len(line) <= room or "ganflow " in line or " " not in line.strip()

    def test_several_problems(self):
        assert sentences("a.yaml:1: one\na.yaml:2: two and three", 18) == ["a.yaml:1: one", "a.yaml:2: two and", "  three"]
        assert sentences("a\x1b[31m b", 40) == ["a\\u001b[31m b"]

    @pytest.mark.skipif(sys.platform == "win32", reason="no terminals of Unix")
    @pytest.mark.parametrize("arguments", [("sample", "nothing"), ("check", "wgan", "train.round=3")], ids=" ".join)
    def test_in_a_terminal_and_through_a_pipe(self, tmp_path, arguments):
        import pty

        command = [sys.executable, "-m", "ganflow", *arguments]
        whole = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        above, terminal = pty.openpty()
        environment = {**os.environ, "COLUMNS": "40"}
        done = subprocess.run(command, cwd=tmp_path, stderr=terminal, stdout=terminal, env=environment)
        os.close(terminal)
        seen = os.read(above, 10_000).decode().replace("\r", "")
        os.close(above)
        assert done.returncode == whole.returncode == 2
        assert len(whole.stderr.splitlines()) == 1
        assert seen.split() == whole.stderr.split()
        assert max(map(len, seen.splitlines())) < 40 < len(whole.stderr)
