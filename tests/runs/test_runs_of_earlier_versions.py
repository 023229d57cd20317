"""Runs that began under earlier code: kept folders of every kind, at round 2 of 4. `version_1` is from before recipes had a
version, `version_2` of the last code with plugin contract 1. `expected.json` holds what the code that began them says of rounds 3
and 4, `expected.safetensors` two samples of round 2. They go on in their own formulas."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ganflow.cli import main
from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import load_game
from ganflow.runs.start import resume

KEPT = Path(__file__).parent
KINDS = sorted(f"{path.parent.name}/{path.name}" for path in KEPT.glob("version_*/*"))


@pytest.fixture
def old(tmp_path):
    def copy(kind):
        folder = tmp_path / "runs" / Path(kind).name / "20261128-000000-0000"
        shutil.copytree(KEPT / kind, folder)
        for name in ("samples", "plots"):
            (folder / name).mkdir()
        return RunFolder(folder)

    return copy


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_as_it_began(old, kind):
    folder = old(kind)
    resume(folder, quiet=True, overrides=["train.rounds=4"])
    lines = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    found = [line for line in lines if line["round"] > 2]
    expected = json.loads((folder.path / "expected.json").read_text())
    assert [line["round"] for line in found] == [line["round"] for line in expected]
    for mine, theirs in zip(found, expected, strict=True):
        values = {name: value for name, value in mine["values"].items() if name in theirs["values"]}
        assert values == pytest.approx(theirs["values"], rel=2e-3, abs=1e-4)
    assert f"version_{read_recipe(folder.recipe).version}" == kind.partition("/")[0]
    assert folder.read().status == "finished"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if (KEPT / kind / "expected.safetensors").exists()])
def test_it_is_sampled_as_ever(old, kind):
    samples = load_game(old(kind)).samples(2)
    torch.testing.assert_close(samples, load_file(KEPT / kind / "expected.safetensors")["samples"], rtol=1e-3, atol=1e-4)


def test_a_recipe_of_today_says_what_differs(old, monkeypatch, capsys):
    folder = old("version_1/cyclegan")
    monkeypatch.chdir(folder.path.parent.parent.parent)
    Path("today.yaml").write_text(f"recipe_version: 3\n{folder.recipe.read_text()}")
    assert main(["run", "today.yaml", "--resume", folder.id]) == 2
    told = capsys.readouterr().err
    assert "loss.adversarial.half: true → false" in told
    assert "recipe_version: 1 → 3" in told


def test_a_newer_recipe_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "wgan", "recipe_version=99"]) == 2
    assert "newer ganflow" in capsys.readouterr().err


def test_a_recipe_means_the_newest_version_and_a_runs_recipe_says_its_own(old, tmp_path):
    recipe = read_recipe("cyclegan_street")
    assert recipe.version == 3
    assert "recipe_version: 3" in recipe.to_yaml()
    folder = old("version_1/cyclegan")
    assert read_recipe(folder.recipe).version == 1
    copied = tmp_path / "mine.yaml"  # somebody's own recipe, whatever it was copied from
    shutil.copy(folder.recipe, copied)
    assert read_recipe(copied).version == 3


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith(("/ring", "/cyclegan"))])
def test_it_is_evaluated_and_compared(old, kind, monkeypatch, capsys):
    """Its record has no protocols, and its journal may have a score: evaluated alike, it is compared with a copy of it."""
    folder = old(kind)
    monkeypatch.chdir(folder.path.parents[2])
    twin = shutil.copytree(folder.path, folder.path.parents[1] / "twin" / "20261128-000000-0001")
    (twin / "samples").mkdir(exist_ok=True)
    assert main(["evaluate", folder.id, twin.name]) == 0
    capsys.readouterr()
    assert main(["compare", folder.id, twin.name, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert scores
    assert all(score["protocol"] and score["runs"][0] == score["runs"][1] for score in scores.values())
