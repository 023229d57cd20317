"""Commands that packages add by the entry-point group ganflow.commands."""

import importlib
import textwrap
import tomllib
from pathlib import Path

import pytest

from ganflow.cli.main import COMMANDS, load, plugin_commands

ROOT = Path(__file__).parents[2]
COUNT = '''
HELP = "count to a number"


def arguments(parser):
    parser.add_argument("number", type=int)


def main(args):
    print(*range(1, args.number + 1))
    return 3
'''


@pytest.fixture
def bring(workshop):
    """Installs a distribution that brings a command."""

    def install(name, code=COUNT, distribution="gf-acme"):
        module = distribution.replace("-", "_")
        site = workshop.install("x", distribution=distribution, module=module, files={"command.py": textwrap.dedent(code)})
        points = next(site.glob("*.dist-info")) / "entry_points.txt"
        points.write_text(f"[ganflow.commands]\n{name} = {module}.command\n")
        importlib.invalidate_caches()

    return install


def test_it_works_like_any_other(bring, command):
    bring("count")
    assert command("count", "4") == (3, "1 2 3 4\n", "")
    assert "  count        count to a number\n" in command("--help")[1]


def test_a_misspelt_one_is_guessed(bring, command):
    bring("count")
    said = command.refused("cuont", "4")
    assert "unknown command 'cuont'; did you mean 'count'?" in said
    assert said.endswith("translate)")


def test_mistakes_in_its_arguments_are_one_sentence(bring, command):
    bring("count")
    assert command.refused("count", "many") == "ganflow: argument number: invalid int value: 'many' (ganflow count --help)"


def test_nobody_takes_the_place_of_a_command_that_is_there(bring, command):
    bring("show")
    assert "count to a number" not in command("--help")[1]
    assert command("show", "wgan")[0] == 0


@pytest.mark.parametrize(("code", "says"), [
    ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
    ("HELP = 'x'", "gf_acme.command has no arguments and no main"),
])  # fmt: skip
def test_a_broken_one_is_said_and_hurts_no_other(bring, command, code, says):
    bring("count", code)
    assert command.refused("count", "1") == f"ganflow: the command 'count' of gf-acme cannot be used: {says}"
    code, out, _ = command("--help")
    assert code == 0
    assert f"  count        (the command 'count' of gf-acme cannot be used: {says})\n" in out


def test_two_that_bring_one_command(bring, command):
    bring("count")
    bring("count", distribution="gf-zeta")
    assert command.refused("count", "1") == "ganflow: the command 'count' is brought by gf-acme and by gf-zeta; uninstall one"


def test_those_of_this_project():
    written = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["ganflow.commands"]
    found = plugin_commands()
    for name, module in written.items():
        assert [value for _, value in found[name]] == [module]
        assert name not in COMMANDS
        assert len(load(name).help) < 70
