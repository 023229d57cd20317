"""ganflow check --build, and what a run refuses that no recipe shows: networks that do not fit, a batch of one."""

import subprocess
import sys

import pytest

from ganflow.cli.main import main
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
    assert err == "read, and not built: ganflow check --build also tries data and networks, on blank examples\n"


def test_without_torch(recipe):
    code = f"import sys; from ganflow.cli.main import main; main(['check', '{recipe}']); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_what_is_built(check, tmp_path):
    code, out, err = check("--build", "train.device=cuda")
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
