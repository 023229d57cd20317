"""The recipes that come with ganflow, and the commands check, show and recipes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ganflow
from ganflow.cli.main import main
from ganflow.errors import GanflowError
from ganflow.recipe import find_shipped, locate, read_recipe, shipped, source
from ganflow.recipe.stages import read_stages

ROOT = Path(ganflow.__file__).parent.parent


@pytest.fixture
def shelf(tmp_path, monkeypatch, good):
    """A library with two recipes, and somewhere else to be."""
    folder = tmp_path / "shelf"
    (folder / "sub").mkdir(parents=True)
    (folder / "good.yaml").write_text(good)
    deep = "#ganflow run sub/deep\n##  Déjà vu (X et al. 2017), to\n# the end. Not.\n#\n# Nor this.\nname: deep\n"
    (folder / "sub" / "deep.yaml").write_text(deep, encoding="utf-8")
    monkeypatch.setattr(source, "folder", lambda: folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


@pytest.fixture
def small(monkeypatch, catalogue):
    """Only the small catalogue is installed."""
    monkeypatch.setattr("ganflow.recipe.source.load_catalogue", lambda: catalogue)


def test_every_shipped_recipe_is_right_and_says_what_it_is():
    recipes = shipped()
    assert {"wgan", "gan", "wgan_gp", "ring"} <= {r.name for r in recipes}
    for about in recipes:
        recipe = read_stages(about.name) or read_recipe(about.name)
        assert recipe.name == about.path.stem
        verb = "tune" if about.name.startswith("sweeps/") else "run"
        assert about.command.startswith(f"ganflow {verb} {about.name}")
        assert 10 < len(about.shows) < 200
        assert about.shows[-1] in ".?"


def test_names(shelf):
    assert [(r.name, r.command, r.shows) for r in shipped()] == [
        ("good", "ganflow run good", "Something good."),
        ("sub/deep", "ganflow run sub/deep", "Déjà vu (X et al. 2017), to the end."),
    ]
    assert find_shipped("sub/deep") == find_shipped("deep") == find_shipped("deep.yaml") == shipped()[1]
    assert find_shipped("nothing") is None
    assert locate("good") == shelf / "good.yaml"
    (shelf / "other").mkdir()
    (shelf / "other" / "deep.yaml").write_text("")
    assert find_shipped("deep") is None  # two have the name


def test_a_file_here_goes_first_and_a_folder_does_not(shelf, good):
    Path("good").mkdir()
    assert locate("good") == shelf / "good.yaml"
    Path("deep").write_text(good)
    assert locate("deep") == Path("deep")


def test_a_recipe_without_comments_has_nothing_to_say(shelf):
    (shelf / "mute.yaml").write_text("name: mute\n")
    assert [(r.command, r.shows) for r in shipped() if r.name == "mute"] == [("", "")]
    (shelf / "empty.yaml").write_text("")
    assert find_shipped("empty") is not None


def test_installed_recipes_are_inside_the_package(tmp_path, monkeypatch):
    package = tmp_path / "ganflow"
    (tmp_path / "recipes").mkdir()
    package.mkdir()
    monkeypatch.setattr("ganflow.recipe.source.__file__", str(package / "recipe" / "library.py"))
    assert source.folder() == tmp_path / "recipes"
    (package / "recipes").mkdir()
    assert source.folder() == package / "recipes"


def test_check(shelf, small, good, capsys):
    Path("bad.yaml").write_text(good.replace("seed", "sede").replace("512", "1"))
    assert main(["check", "good"]) == 0
    assert capsys.readouterr().out == "good: ok\n"
    assert main(["check", "bad.yaml", "good", "nowhere.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == "good: ok\n"
    assert err.splitlines() == [
        "bad.yaml:13: unknown key 'sede' in train; did you mean 'seed'?",
        "bad.yaml:14: metrics[0].n: 1 is below 2",
        "no recipe 'nowhere.yaml' (`ganflow recipes` lists those that come with ganflow)",
    ]


def test_check_with_overrides(shelf, small, capsys):
    assert main(["check", "good", "train.rounds=0"]) == 2
    assert capsys.readouterr().err == "command line: train.rounds: 0 is below 1\n"
    assert main(["check", "train.rounds=3", "good", "~critic"]) == 0
    assert main(["check", "train.rounds=3"]) == 2
    assert "no recipe to check" in capsys.readouterr().err


def test_show(shelf, small, capsys):
    assert main(["show", "good", "train.rounds=7"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    Path("again.yaml").write_text(text)
    again = read_recipe("again.yaml")
    assert again == read_recipe("good", ["train.rounds=7"])
    assert main(["show", "good", "--json", "train.rounds=7"]) == 0
    assert json.loads(capsys.readouterr().out) == again.resolved()
    assert main(["show", "good", "train.rounds=x"]) == 2


def test_show_in_colours_on_a_terminal(shelf, small, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["show", "good"]) == 0
    assert "\x1b[" in capsys.readouterr().out


def test_recipes_are_listed(shelf, capsys):
    assert main(["recipes"]) == 0
    assert capsys.readouterr().out == "good      Something good.\nsub/deep  Déjà vu (X et al. 2017), to the end.\n"
    assert main(["recipes", "--json"]) == 0
    assert [r["name"] for r in json.loads(capsys.readouterr().out)] == ["good", "sub/deep"]


def test_recipes_are_copied(shelf, good, capsys):
    assert main(["recipes", "copy", "good"]) == 0
    assert capsys.readouterr().out == "good.yaml: edit it, then: ganflow run good.yaml\n"
    copied = Path("good.yaml").read_text()
    assert copied == good.replace("run good", "run good.yaml")
    Path("good.yaml").write_text("mine")
    assert main(["recipes", "copy", "good"]) == 2
    assert capsys.readouterr().err == "ganflow: good.yaml exists; choose another name, or overwrite it with --force\n"
    assert Path("good.yaml").read_text() == "mine"
    assert main(["recipes", "copy", "good", "--force"]) == 0
    assert Path("good.yaml").read_text() == copied
    Path("folder").mkdir()
    assert main(["recipes", "copy", "deep", "folder"]) == 0
    assert Path("folder/deep.yaml").read_text(encoding="utf-8").startswith("#ganflow run folder/deep.yaml\n##  Déjà")
    assert main(["recipes", "copy", "deep", "mine.yaml"]) == 0
    assert Path("mine.yaml").exists()
    capsys.readouterr()
    assert main(["recipes", "copy", "deep", "missing/x.yaml"]) == 2
    assert capsys.readouterr().err == "ganflow: cannot write missing/x.yaml: No such file or directory\n"
    assert main(["recipes", "copy", "goood"]) == 2
    assert capsys.readouterr().err.startswith("ganflow: no recipe 'goood' comes with ganflow; did you mean 'good'?")


@pytest.mark.parametrize("name", [recipe.name for recipe in shipped()])
def test_the_command_of_a_recipe_works_anywhere(command, name):
    about = find_shipped(name)
    assert about.command in command("recipes", "cat", name)[1].splitlines()[0]
    code, out, _ = command("recipes", "show", name)
    shown = [line.strip().partition("   ")[0] for line in out.split("\n\n")[-1].splitlines()]
    assert shown[:3] == [about.command, f"ganflow recipes cat {name}", f"ganflow recipes copy {name}"]
    _, verb, recipe, *changes = about.command.split()
    assert code == command("check", recipe, *changes)[0] == 0
    assert verb == ("tune" if name.startswith("sweeps/") else "run")
    code, out, _ = command("recipes", "copy", name, "my own.yaml", "--json")
    written = json.loads(out)
    assert (code, written["files"], written["recipe"]) == (0, [str(Path("my own.yaml").absolute())], name)
    assert written["command"] == about.command.replace(f"{verb} {name}", f"{verb} 'my own.yaml'")
    assert Path("my own.yaml").read_text(encoding="utf-8").splitlines()[0] == f"# {written['command']}"


def test_an_unknown_recipe_of_the_library():
    with pytest.raises(GanflowError, match="no recipe 'wgann'; did you mean 'wgan'"):
        read_recipe("wgann")


def test_checking_imports_no_heavy_library():
    code = """
import sys
from ganflow.cli.main import main
assert main(["check", "wgan", "gan"]) == 0
heavy = {"torch", "ray", "mlflow", "numpy", "matplotlib", "PIL", "sklearn", "rich", "safetensors"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
