"""Every recipe that comes along: says what it is, is right, and runs, somewhere else than in a checkout."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganflow.cli.recipes import UNBUILT
from ganflow.recipe import read_recipe
from ganflow.recipe.source import folder, shipped
from ganflow.recipe.stages import read_stages
from ganflow.runs import finding

RECIPES = [recipe.name for recipe in shipped()]
STAGED = [name for name in RECIPES if read_stages(name)]
LATER = ["stackgan_stage2_birds"]  # stands on another recipe's run
UNSCORED = ["grid", "ring", "swiss_roll", "stacked_digits", "stackgan_birds", "stackgan_stage1_birds"]
"""Scores that take long: other tests have them (tests/plugins/metrics, test_stacked_digits.py, text)."""
SHORT = ["train.rounds=3", "train.batch_size=8", "train.compile=never", "track.mlflow=false"]


def text(name):
    return (folder() / f"{name}.yaml").read_text(encoding="utf-8")


def smaller(name, tmp_path):
    """What makes a recipe quick, and gives it the images that it asks of its user."""
    changes, stages = [*SHORT, *(["~metrics"] if name in UNSCORED else [])], read_stages(name)
    recipe = stages.recipes[0] if stages else read_recipe(name)
    for later in stages.recipes[1:] if stages else []:
        changes.append(f"{later.name}.generator.stage1.width=8")
    for part in ("generator", "critic"):
        if hasattr(getattr(recipe, part) and getattr(recipe, part).settings, "width"):
            changes.append(f"{part}.width=8")
    if recipe.data.component.name == "image_folder":
        changes += [f"data.path={pictures(tmp_path / 'pictures', recipe.data.settings.channels)}", "data.size=16"]
    if recipe.data.component.name == "paired_folder":
        pictures(tmp_path / "pairs" / "A", 3)
        pictures(tmp_path / "pairs" / "B", 3)
        changes += [f"data.path={tmp_path / 'pairs'}", "data.size=64", "data.resize=72"]
    if recipe.data.component.name == "unpaired_folder":
        for part in ("trainA", "trainB", "testA", "testB"):
            pictures(tmp_path / "apart" / part, 3)
        changes += [f"data.path={tmp_path / 'apart'}", "data.size=64", "data.resize=72"]
    if recipe.data.component.name == "captioned_folder":
        for picture in pictures(tmp_path / "told", 3).iterdir():
            picture.with_suffix(".txt").write_text("a bird\nnoise in many colours\n")
        changes.append(f"data.path={tmp_path / 'told'}")
    if recipe.data.component.name == "hub":
        changes += table(tmp_path / "table", recipe.data.settings)
    elif hasattr(recipe.data.settings, "encoder"):
        changes += ["data.encoder.steps=2", "data.encoder.batch=8"]
    if hasattr(recipe.data.settings, "samples"):
        changes.append("data.samples=500")
    if hasattr(recipe.data.settings, "train"):
        changes += ["data.train=40", "data.held_out=16"]
    return changes


def table(where, settings):
    """A local table in place of the hub's, with the columns that the recipe names."""
    datasets = pytest.importorskip("datasets")
    rng = np.random.default_rng(0)
    where.mkdir()
    kinds = {"label": datasets.ClassLabel(names=["a", "b"])}
    features = {column: kinds.get(field, datasets.Image()) for field, column in settings.columns.items()}

    def value(field, i):
        return i % 2 if field == "label" else Image.fromarray(rng.integers(0, 256, (40, 44, 3), dtype=np.uint8))

    for split in ("train", "test"):
        rows = {column: [value(field, i) for i in range(24)] for field, column in settings.columns.items()}
        datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(str(where / f"{split}-0.parquet"))
    changes = [f"data.path={where}"] + ([] if settings.held_out_split else ["data.held_out=8"])
    return changes + (["data.size=64", "data.resize=72"] if "real" not in settings.columns else [])


def pictures(where, channels):
    where.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(24):
        pixels = rng.integers(0, 256, (18, 20, 3) if channels == 3 else (18, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(where / f"{i:02}.png")
    return where


def test_there_are_recipes():
    assert {"wgan", "gan", "gan_minimax", "wgan_gp", "r3gan", "ring", "grid", "wgan_paper"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_it_opens_with_its_command_and_what_it_shows(name):
    first, *rest = text(name).splitlines()
    verb = "tune" if name.startswith("sweeps/") else "run"
    assert first.split()[:4] == ["#", "ganflow", verb, name]
    assert all("=" in override for override in first.split()[4:])
    assert rest[0].startswith("# ")
    assert len(rest[0]) > 20
    assert (read_stages(name) or read_recipe(name)).name == Path(name).name


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_right(name, command):
    assert command("check", name) == (0, f"{name}: ok\n", f"{UNBUILT}\n")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in UNSCORED else n for n in STAGED])
def test_its_stages_run(name, command, tmp_path):
    stages = [recipe.name for recipe in read_stages(name).recipes]
    code, out, err = command("run", name, *smaller(name, tmp_path), "-q")
    assert (code, err) == (0, "")
    assert [run.name for run in finding.all_runs(tmp_path / "runs")] == stages
    assert out.count("3 rounds; look at") == len(stages)


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in STAGED + LATER])
def test_it_runs(name, command, tmp_path):
    code, out, err = command("run", name, *smaller(name, tmp_path), "-q")
    assert (code, err) == (0, "")
    (run,) = finding.all_runs(tmp_path / "runs")
    assert run.read().status == "finished"
    assert (run.name, run.read().round) == (read_recipe(name).name, 3)
    newest = max(run.samples.glob("*.png"))
    assert newest.name in out
    for picture in (newest, run.plots / "losses.png"):
        with Image.open(picture) as image:
            assert len(set(image.convert("L").tobytes())) > 1  # not of one colour
    assert list(run.checkpoints.iterdir())
    if "translation" in run.read().plugins:
        code, out, err = command("translate", "latest", "-n", "2", "-o", "drawn.png")
        assert (code, err) == (0, "")
        assert "wrote drawn.png: 2 held-out examples" in out
        return
    if "text" in run.read().plugins and read_recipe(name).data.component.name != "hub":
        code, out, err = command("draw", "latest", "a bird", "-n", "2", "-o", "drawn.png")
        assert (code, err) == (0, "")
        assert "wrote drawn.png: 2 pictures of a sentence" in out
        return
    code, out, err = command("sample", "latest", "-n", "5", "-o", "drawn.npz")
    assert (code, err) == (0, "")
    with np.load("drawn.npz") as drawn:
        assert len(drawn["samples"]) == 5
        assert np.isfinite(drawn["samples"]).all()
        assert drawn["samples"].std() > 0
    assert command("sample", "latest", "-o", "drawn.png")[0] == 0
    read_recipe(run.recipe)  # what was kept of it is a recipe, too


@pytest.mark.slow
def test_it_runs_outside_a_checkout_in_a_process_of_its_own(tmp_path):
    wgan = [sys.executable, "-m", "ganflow", "run", "wgan", *SHORT, "generator.width=8", "critic.width=8"]
    done = subprocess.run(wgan, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 rounds; look at runs/wgan/" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
