"""`ganflow new-plugin`: what it writes is a whole package, whose tests pass."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from ganflow.cli.main import main
from ganflow.cli.new_plugin import PARTS
from ganflow.cli.recipes import UNBUILT
from ganflow.contract.hooks import ROLES

SAID = """\
wrote acme: critic 'acme/plain', loss 'acme/absolute'
install and test it:
  pip install -e 'acme[test]' && pytest acme
  ganflow run acme/recipe.yaml
"""


def site_of(folder, site):
    """What pip leaves of the package in an environment, from its pyproject.toml: name, version and entry points; its path."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = [f"{name} = {module}" for name, module in project["entry-points"]["ganflow"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[ganflow]", *points, ""]))
    return [str(site), str(folder)]


def passed(folders, path, cwd):
    """Run packages' tests as their author does."""
    search = os.pathsep.join([*path, *(place or os.getcwd() for place in sys.path)])
    environment = {**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    words = [sys.executable, "-m", "pytest", "-q", "-W", "error", *map(str, folders)]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def made(command, monkeypatch, tmp_path, workshop):
    """Writes a plugin for these roles and makes it known, as if it were installed."""

    def make(roles, name="acme"):
        assert command("new-plugin", name, "--roles", roles)[::2] == (0, "")
        for path in site_of(tmp_path / name, tmp_path / "site"):
            monkeypatch.syspath_prepend(path)
        workshop.modules.add(f"gf_{name}")
        workshop.catalogue()
        return tmp_path / name

    return make


def test_there_is_a_part_for_every_role():
    assert set(PARTS) == set(ROLES)


def test_what_it_says_and_writes(command, tmp_path):
    assert command("new-plugin", "acme", "--roles", "loss,critic,loss") == (0, SAID, "")
    found = {path.relative_to(tmp_path / "acme").as_posix() for path in (tmp_path / "acme").rglob("*") if path.is_file()}
    assert found == {
        ".github/workflows/test.yml", ".gitignore", "README.md", "gf_acme/__init__.py", "gf_acme/critic.py", "gf_acme/loss.py",
        "pyproject.toml", "recipe.yaml", "tests/test_acme.py",
    }  # fmt: skip
    assert not [path for path in found if "$name" in (tmp_path / "acme" / path).read_text()]
    steps = yaml.safe_load((tmp_path / "acme/.github/workflows/test.yml").read_text())["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["pip install -e '.[test]'", "ganflow plugins test acme", "pytest"]
    assert steps[1]["with"]["python-version"] == "${{ matrix.python }}"


@pytest.mark.parametrize("role", ROLES)
def test_a_recipe_uses_the_component(made, command, role):
    folder, part = made(role), PARTS[role]
    (recipe,) = (path.relative_to(Path.cwd()) for path in folder.glob("*.yaml"))
    assert f"use: acme/{part.name}" in recipe.read_text()
    assert command("check", recipe) == (0, f"{recipe}: ok\n", f"{UNBUILT}\n")
    shown = command("plugins", "show", "acme")[1]
    assert f"{role} 'acme/{part.name}' (gf-acme 0.1.0)" in shown


def test_the_command_tests_it(made, command):
    made("schedule,prior")
    assert command("plugins", "test", "acme") == (0, "prior acme/sphere   ok\nschedule acme/drop  ok\n", "ganflow: 2 ok\n")


@pytest.mark.slow
def test_the_tests_of_all_roles_together_pass(made, tmp_path):
    folder = made("all")
    lint = ["ruff", "check", "--isolated", "--no-cache", "--select", "E,F,W,I,B,UP", "--line-length", "130", "."]
    done = subprocess.run([sys.executable, "-m", *lint], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    said = passed([folder], [str(tmp_path / "site"), str(folder)], tmp_path)
    assert said.splitlines()[-1].startswith(f"{len(ROLES) + 2} passed")


@pytest.mark.rare
def test_the_tests_of_each_role_alone_pass(made, tmp_path):
    folders = [made(role, f"only_{role}") for role in ROLES]
    said = passed(folders, [str(tmp_path / "site"), *map(str, folders)], tmp_path)
    assert said.splitlines()[-1].startswith(f"{2 * len(ROLES)} passed")


@pytest.mark.parametrize(("name", "why"), [
    ("acme-2!", "'acme-2!' cannot be a plugin's name: lower-case letters, digits and underscores, a letter first: acme"),
    ("Acme", "'Acme' cannot be a plugin's name: lower-case letters, digits and underscores, a letter first: acme"),
    ("2nd", "'2nd' cannot be a plugin's name: lower-case letters, digits and underscores, a letter first: nd"),
    ("../up", "'../up' cannot be a plugin's name: lower-case letters, digits and underscores, a letter first: up"),
    ("", "'' cannot be a plugin's name: lower-case letters, digits and underscores, a letter first"),
    ("wgan", "there is a plugin 'wgan' already, of ganflow 0.1.0; choose another name (ganflow plugins lists all)"),
    ("critic", "'critic' is the name of a role; give the plugin another name"),
    ("taken", "there is a plugin 'taken' already, of gf-taken 1.0; choose another name (ganflow plugins lists all)"),
    ("class", "'class' is a word of Python's; give the plugin another name"),
    ("ganflow", "there is a Python package 'ganflow' already; give the plugin another name"),
    ("torch", "there is a Python package 'torch' already; give the plugin another name"),
    ("hidden", "there is a module gf_hidden already; choose another name for the plugin"),
])  # fmt: skip
def test_names_that_it_cannot_have(command, workshop, tmp_path, name, why):
    workshop.install("taken")
    workshop.install("other", module="gf_hidden")
    before = set(tmp_path.iterdir())
    assert command.refused("new-plugin", name, "--roles", "loss") == f"ganflow: {why}"
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("roles", "why"), [
    ("los", "unknown role 'los'; did you mean 'loss'? (roles: data, prior, "),
    ("loss,terms", "unknown role 'terms'"),
    (",", "name one or more, with commas between them: data, prior, "),
])  # fmt: skip
def test_roles_that_there_are_not(command, tmp_path, roles, why):
    assert command.refused("new-plugin", "acme", "--roles", roles).startswith(f"ganflow: --roles: {why}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_nothing_is_overwritten(command, tmp_path, kind):
    there = tmp_path / "there"
    {"folder": there.mkdir, "file": there.touch, "link": lambda: there.symlink_to("nowhere")}[kind]()
    said = command.refused("new-plugin", "acme", "--roles", "loss", "-o", "there")
    assert said == "ganflow: there is there already, and nothing is overwritten; name another folder with -o"
    assert list(tmp_path.iterdir()) == [there]


@pytest.mark.parametrize(("folder", "why"), [
    ("file/acme", "there is no folder file/ to write acme/ in; name another folder with -o"),
    ("no/parent/acme", "there is no folder no/parent/ to write acme/ in; name another folder with -o"),
    ("a" * 300, "File name too long; name another folder with -o"),
    ("a\0b", "name another folder with -o"),
])  # fmt: skip
def test_folders_that_cannot_be_made(command, tmp_path, folder, why):
    (tmp_path / "file").touch()
    assert command.refused("new-plugin", "acme", "--roles", "loss", "-o", folder).endswith(why)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_it_may_be_written_anywhere(command, tmp_path):
    (tmp_path / "my plugins").mkdir()
    code, out, _ = command("new-plugin", "acme", "--roles", "executor", "-o", tmp_path / "my plugins" / "acme")
    assert code == 0
    assert f"  pip install -e '{tmp_path}/my plugins/acme[test]' && pytest '{tmp_path}/my plugins/acme'\n" in out
    assert (tmp_path / "my plugins" / "acme" / "pyproject.toml").exists()


def test_help_lists_the_roles_and_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["new-plugin", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(role in text for role in ROLES)
    assert "ganflow new-plugin acme --roles loss,critic" in text


def test_what_was_written_for_programs(command):
    code, out, _ = command("new-plugin", "acme", "--roles", "executor", "--json")
    written = json.loads(out)
    assert (code, written["plugin"], written["roles"]) == (0, "acme", ["executor"])
    assert sorted(written["files"]) == sorted(str(p.absolute()) for p in Path("acme").rglob("*") if p.is_file())
    assert "ganflow tune other/recipe.yaml" in command("new-plugin", "acme", "--roles", "executor", "-o", "other")[1]


@pytest.mark.parametrize(
    ("roles", "meant"), [("discriminator", "critic"), ("scheduler", "schedule"), ("penalty", "modifier"), ("metrics", "metric")]
)
def test_roles_that_other_programs_call_otherwise(command, roles, meant):
    assert f"unknown role '{roles}'; did you mean '{meant}'? (roles:" in command.refused("new-plugin", "acme", "--roles", roles)
