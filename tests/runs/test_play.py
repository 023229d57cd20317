"""`ganflow.play`: a recipe trained in memory is what `ganflow run` trains, and leaves nothing behind."""

from pathlib import Path

import pytest
import torch

import ganflow

RECIPE = """\
name: small
data: {use: gaussians, samples: 100, held_out: 10}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4, depth: 1}
critic: {use: mlp, width: 4, depth: 1}
loss: hinge
optimizer: {use: adam}
modifiers: [{use: ema, decay: 0.5}]
train: {rounds: 7, batch_size: 4, seed: 3, threads: 1, compile: never}
track: {mlflow: false}
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(RECIPE)
    return "small.yaml"


def test_it_trains_what_a_run_trains(recipe, command):
    *_, (played, report) = ganflow.play(recipe)
    assert report.round == 7
    assert [path.name for path in Path().iterdir()] == [recipe]
    assert command("run", recipe, "-q")[::2] == (0, "")
    kept = ganflow.load_game(ganflow.find_run("latest", Path("runs")))
    for name, t in kept.state_dict().items():
        assert torch.equal(played.state_dict()[name], t), name


@pytest.mark.parametrize(("times", "rounds"), [(1, [0, 7]), (3, [0, 2, 4, 7]), (7, [*range(8)]), (20, [*range(8)])])
def test_it_stops_on_the_way(recipe, times, rounds):
    assert [report.round for _, report in ganflow.play(recipe, times=times)] == rounds


def test_overrides_and_mistakes(recipe):
    assert [report.round for _, report in ganflow.play(recipe, ["train.rounds=2"])] == [0, 2]
    with pytest.raises(ganflow.GanflowError, match="unknown key 'round'"):
        next(ganflow.play(recipe, ["train.round=2"]))


def test_it_refuses_weights_to_start_from(recipe):
    with pytest.raises(ganflow.GanflowError, match=r"train\.start_from: what is played in memory begins with new weights"):
        next(ganflow.play(recipe, ["train.start_from=latest"]))


def test_all_values_of_a_recipe_are_plain_data(recipe):
    """What the recipe has, what an override changes, and a default."""
    values = ganflow.resolved_recipe(recipe, ["optimizer.critic.lr=0.5"])
    assert values["data"]["use"].endswith("/gaussians")
    assert values["train"]["rounds"] == 7
    assert values["optimizer"]["critic"]["lr"] == 0.5 != values["optimizer"]["generator"]["lr"]
    assert values["modifiers"][0]["decay"] == 0.5
    assert values["train"]["n_critic"] == 1
