"""The plugin author's way: ganflow's wheel and a plugin's, installed by pip in a fresh environment, far from any checkout."""

import json
import os
import re
import shlex
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGE = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "gf-acme"
version = "0.3"
dependencies = ["ganflow"]

"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run(*command, cwd):
    """What it printed on stdout; fails with all of it where the command does."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=clean, text=True, capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout


def dockerfile():
    """(instruction, rest) of each line of the Dockerfile."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an environment that has ganflow, by the Dockerfile's commands, and gf-acme."""
    place = tmp_path_factory.mktemp("place")
    venv.create(place / "venv", with_pip=True)
    tree = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    for instruction, rest in dockerfile():
        if instruction == "COPY":
            assert rest == ". /src"
            (place / "src").mkdir()
            subprocess.run(["tar", "-x", "-C", place / "src"], input=tree, check=True)
        elif instruction == "RUN":
            command = rest.replace("/src", str(place / "src"))
            run("bash", "-euc", f'export PATH="{place}/venv/bin:$PATH"; {command}', cwd=place)
        else:
            assert instruction in ("FROM", "ENV", "WORKDIR", "ENTRYPOINT", "CMD")
    assert not (place / "src").exists()
    acme = place / "acme"
    (acme / "gf_acme").mkdir(parents=True)
    blocks = dict(reversed(re.findall(r"^```(python|toml)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)))  # the first of each
    (acme / "gf_acme" / "__init__.py").write_text(blocks["python"], encoding="utf-8")
    (acme / "pyproject.toml").write_text(PACKAGE + blocks["toml"], encoding="utf-8")
    install = [place / "venv" / "bin" / "pip", "install", "-q", "--no-compile", "-c", ROOT / "constraints.txt"]
    run(*install, acme, cwd=place)
    return place


def test_what_the_image_runs(place):
    said = dict(dockerfile())
    (program,) = json.loads(said["ENTRYPOINT"])
    assert "usage: ganflow COMMAND" in run(place / "venv" / "bin" / program, *json.loads(said["CMD"]), cwd=place)
    assert said["FROM"].startswith("python:3.11")


@pytest.fixture
def ganflow(place):
    return lambda *arguments: run(place / "venv" / "bin" / "ganflow", *arguments, cwd=place)


def test_nothing_comes_from_the_checkout(place):
    program = "import ganflow, ganflow_wgan, gf_acme; print(ganflow.__file__, ganflow_wgan.__file__, gf_acme.__file__)"
    files = run(place / "venv" / "bin" / "python", "-c", program, cwd=place).split()
    assert len(files) == 3
    assert all(Path(file).is_relative_to(place / "venv") for file in files)
    run(place / "venv" / "bin" / "pip", "check", cwd=place)


def test_the_plugin_is_listed_with_its_distribution(ganflow):
    listed = {plugin["name"]: plugin for plugin in json.loads(ganflow("plugins", "--json"))}
    acme = listed["acme"]
    assert (acme["distribution"], acme["version"], acme["error"]) == ("gf-acme", "0.3", None)
    assert [(c["role"], c["qualified"]) for c in acme["offers"]] == [("critic", "acme/patch")]
    assert (listed["wgan"]["distribution"], listed["wgan"]["error"]) == ("ganflow", None)
    assert "acme  gf-acme 0.3" in ganflow("plugins", "--brief")


def test_a_new_plugin_passes_its_tests_at_once(ganflow, place):
    """As its README and the tutorial have it: installed by pip from its folder, with the extra."""
    *_, install, train = ganflow("new-plugin", "fresh", "--roles", "loss,critic").splitlines()
    pip, _, test = install.strip().partition(" && ")
    assert (pip, test, train.strip()) == ("pip install -e 'fresh[test]'", "pytest fresh", "ganflow run fresh/recipe.yaml")
    bin = place / "venv" / "bin"
    run(bin / "pip", *shlex.split(pip)[1:], "-q", "-c", ROOT / "constraints.txt", cwd=place)
    assert "3 passed" in run(bin / test.split()[0], "-q", "fresh", cwd=place)
    assert ganflow("plugins", "test", "fresh") == "critic fresh/plain   ok\nloss fresh/absolute  ok\n"


def test_a_copied_recipe_trains_with_the_plugins_critic(ganflow, place):
    assert "wgan" in ganflow("recipes")
    ganflow("recipes", "copy", "wgan", "mine.yaml")
    changes = ("critic={use: acme/patch, width: 32}", "train.rounds=3", "train.compile=never")
    assert "3 rounds; look at runs/wgan/" in ganflow("run", "mine.yaml", *changes, "-q")
    (about,) = (json.loads(path.read_text()) for path in place.glob("runs/wgan/*/run.json"))
    assert about["plugins"]["acme"] == {"distribution": "gf-acme", "version": "0.3"}
    assert about["status"] == "finished"
    assert list(place.glob("runs/mlflow.db")) == [place / "runs" / "mlflow.db"]
    assert "wrote grid.png" in ganflow("sample", "latest", "-o", "grid.png")
