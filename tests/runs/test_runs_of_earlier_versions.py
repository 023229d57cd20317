"""Runs that began under earlier code: kept folders of every kind, at round 2 of 4. `version_1` is from before recipes had a
version, `version_2` of the last code with plugin contract 1, `version_3` of ganflow 0.1.0. `expected.json` holds what the code
that began them says of rounds 3 and 4, `expected.safetensors` two samples of round 2. They go on in their own formulas. And runs
of other versions that cannot be opened here."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ganflow.cli import main
from ganflow.recipe import read_recipe
from ganflow.runs import checkpoints
from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import load_game
from ganflow.runs.start import resume
from ganflow.version import __version__

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


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith(("/ring", "/wgan"))])
def test_every_command_opens_it(old, kind, monkeypatch, capsys, undrawn):
    folder = old(kind)
    monkeypatch.chdir(folder.path.parents[2])

    def said(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out, err

    assert folder.id in said("runs")[0]
    assert "ganflow 0.1.0" in said("runs", "show", folder.id)[0]
    said("sample", folder.id, "-o", "x.npz")
    metrics = () if read_recipe(folder.recipe).metrics else ("--metric", "{use: sliced_wasserstein, samples: 64}")
    said("evaluate", folder.id, *metrics)
    said("run", "--resume", folder.id, "train.rounds=3", "optimizer.lr=0.001", "-q")
    shown = said("runs", "show", folder.id)[0]
    assert "3 of 3" in shown
    assert "after round 2: train.rounds: 2 → 3" in shown


def refused(folder, monkeypatch, capsys, *arguments):
    monkeypatch.chdir(folder.path.parents[2])
    assert main([*arguments, folder.id, *(("-o", "x.npz") if arguments == ("sample",) else ())]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


COMMANDS = [("sample",), ("run", "--resume"), ("evaluate",)]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_of_a_newer_version_says_so(old, command, monkeypatch, capsys):
    folder = old("version_3/ring")
    raw = folder.read().raw
    folder.update(versions={**raw["versions"], "ganflow": "9.9.0"})
    text = folder.recipe.read_text()
    folder.recipe.write_text(text.replace("recipe_version: 3", "recipe_version: 4"))
    err = refused(folder, monkeypatch, capsys, *command)
    assert "recipe_version: 4 is a newer ganflow's; this one reads recipes up to 3" in err
    assert err.endswith("ganflow 9.9.0, newer than this one: pip install --upgrade ganflow\n")

    folder.recipe.write_text(text)
    path = folder.path / "run.json"
    path.write_text(path.read_text().replace('"schema": "1.3"', '"schema": "2.0"'))
    err = refused(folder, monkeypatch, capsys, *command)
    assert "run.json was written by ganflow 9.9.0, in a form (schema 2.0) that this one, " in err
    assert err.endswith("does not know; to read it: pip install --upgrade ganflow\n")


def test_a_newer_run_that_can_be_read_says_so_where_it_goes_on(old, monkeypatch, capsys):
    folder = old("version_3/ring")
    folder.update(versions={**folder.read().raw["versions"], "ganflow": "9.9.0"})
    monkeypatch.chdir(folder.path.parents[2])
    assert main(["run", "--resume", folder.id, "train.rounds=3"]) == 0
    said = f"ganflow was 9.9.0, is now {__version__}, an older one, to which what is new in that is unknown\n"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_older_run_that_cannot_be_read_says_who_wrote_it(old, command, monkeypatch, capsys):
    folder = old("version_3/ring")
    folder.update(versions={**folder.read().raw["versions"], "ganflow": "0.0.9"})
    folder.recipe.write_text(folder.recipe.read_text().replace("vanilla/relativistic", "vanilla/given_up"))
    err = refused(folder, monkeypatch, capsys, *command)
    assert "unknown loss 'vanilla/given_up'" in err
    assert "the run was written by ganflow 0.0.9, earlier than this one; to read it: pip install ganflow==0.0.9, in an " in err


def test_a_checkpoint_of_a_newer_format_says_so(old, monkeypatch, capsys):
    folder = old("version_3/ring")
    (path,) = folder.checkpoints.glob("*.safetensors")
    found = checkpoints.read(path)
    text = json.dumps({**found.plain, "format": 2})
    save_file(found.tensors, path, {"plain": text, "digest": checkpoints._digest(found.tensors, text)})
    err = refused(folder, monkeypatch, capsys, "sample")
    assert "round-00000002.safetensors is of format 2, of a newer ganflow (this one reads 1): update ganflow" in err
