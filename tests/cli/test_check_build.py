"""ganflow check --build, and what a run refuses that no recipe shows: networks and metrics that do not fit, a batch of one."""

import subprocess
import sys

import pytest

from ganflow.cli.main import main
from ganflow.cli.recipes import UNBUILT
from ganflow.engine.build import build_game
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe

RECIPE = """
name: small
data: {use: digits, size: 8}
prior: {use: normal, dim: 4}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: {use: wasserstein}
optimizer: {use: adam}
train: {rounds: 2, batch_size: 8}
track: {mlflow: false}
"""
NORMED = "generator={use: mlp, width: 8, depth: 1, batch_norm: true}"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(RECIPE)
    return "small.yaml"


@pytest.fixture
def check(recipe, capsys):
    def run(*arguments):
        code = main(["check", recipe, *arguments])
        return (code, *capsys.readouterr())

    return run


def test_what_is_read_is_not_built_and_that_is_said(check):
    code, out, err = check()
    assert (code, out) == (0, "small.yaml: ok\n")
    assert err == f"{UNBUILT}\n"
    assert "ganflow check --build also tries data, networks, metrics, sizes and memory" in UNBUILT


def test_without_torch(recipe):
    code = f"import sys; from ganflow.cli.main import main; main(['check', '{recipe}']); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_a_device_that_is_not_here(check, command, recipe):
    """A note, for the recipe may be for another machine, and an error where it is built on this one."""
    why = "train.device: this machine has no cuda:99; use auto or cpu"
    code, out, err = check("train.device=cuda:99")
    assert (code, out) == (0, "small.yaml: ok\n")
    assert err.startswith(f"small.yaml: ganflow run would refuse this here: {why}\n")
    for changes in (["check", recipe, "--build"], ["run", recipe]):
        assert why in command.refused(*changes, "train.device=cuda:99")


def test_what_is_built(check, tmp_path):
    code, out, err = check("--build")
    generator, critic = 4 * 8 + 8 + 8 * 64 + 64, 64 * 8 + 8 + 8 + 1
    sizes = f"generator {generator} parameters, critic {critic} parameters"
    assert (code, out, err) == (0, f"small.yaml: ok; 1617 examples of shape 1×8×8, {sizes}\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["data={use: image_folder, path: nowhere}"], "data.path: there is no folder nowhere"),
        (["data.size=9", "generator={use: dcgan, width: 4}"], "9"),
        (["condition=label", "critic={use: patch, receptive_field: 7}"], "label"),
        (["train.batch_size=1", NORMED], "train.batch_size: the networks get one example at a time"),
        (["train.batch_size=4", "train.accumulate=4", NORMED], "train.accumulate: the networks get one example at a time"),
        (["train.batch_size=9", "train.accumulate=4"], "accumulate"),
    ],
)
def test_what_only_building_shows(check, changes, says):
    code, _, err = check("--build", *changes)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("{use: frechet, features: inception, weights: nowhere.pth}", "nowhere.pth is no file that can be read; get pt_"),
        ("{use: frechet, features: critic, run: runs/none}", "runs/none is not the folder of a run"),
        ("jsd", "metric jsd compares with a known density, and that of data digits is not known: use data gaussians"),
        ("modes", "metric modes needs data with known modes"),
        ("emd", "metric emd measures distances between points, and data digits are images"),
        ("{use: class_frechet, features: values}", "metric class_frechet asks for classes by the condition 'label'"),
        ("iwae", "metric iwae needs the likelihood of examples, which only a VAE has"),
        ("pairs", "metric 'pairs' measures translations; data 'digits' has only"),
        ("bird_colours", "it needs data birds"),
    ],
)
def test_a_metric_that_cannot_be_computed_is_refused_before_anything_is_trained(check, command, tmp_path, metric, says):
    assert check(f"metrics=[{metric}]")[0] == 0
    code, _, err = check("--build", f"metrics=[{metric}]")
    assert (code, err.count("\n")) == (2, 1)
    assert says in err
    assert command.refused("run", "small.yaml", f"metrics=[{metric}]") == f"ganflow: {err.strip()}"  # by the same mechanism
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["data={use: gaussians, held_out: 5}", "metrics=[{use: frechet}]"], "raise data.held_out of a new run: it wants 10"),
        (["data={use: gaussians}", "metrics=[{use: class_frechet, features: values}]"], "within the classes of a field"),
        (["metrics=[sliced_wasserstein]", "train.best=frechet"], "train.best"),
        (["data={use: street, size: 16, train: 8, held_out: 4}", "condition=[]", "metrics=[pairs]"], "measures translations of"),
    ],
)
def test_metrics_that_these_data_or_networks_do_not_suit(check, changes, says):
    code, _, err = check("--build", *changes)
    assert (code, err.count("\n")) == (2, 1)
    assert says in err


def built(recipe, *changes):
    recipe = read_recipe(recipe, changes)
    composition = recipe.composition()
    return build_game(recipe, composition, composition.build("data"))


def test_a_batch_of_one(recipe):
    with pytest.raises(GanflowError, match=r"train.batch_size: .* set train.batch_size=2 or more"):
        built(recipe, "train.batch_size=1", NORMED)
    with pytest.raises(GanflowError, match=r"train.accumulate: .* set train.batch_size=8 or more"):
        built(recipe, "train.batch_size=4", "train.accumulate=4", NORMED)
    built(recipe, "train.batch_size=2", NORMED)
    game = built(recipe, "train.batch_size=1")
    assert all(m.training for m in game.modules())
    again = built(recipe, "train.batch_size=8")
    assert all((a == b).all() for a, b in zip(game.parameters(), again.parameters(), strict=True))  # nothing was drawn for it
