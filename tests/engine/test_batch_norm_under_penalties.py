"""Penalties on the critic's slope at each example refuse a critic in which examples mix."""

import pytest

from ganflow.cli import main

RECIPE = """
name: penalised
data: {{use: digits, size: 16}}
prior: {{use: normal, dim: 4}}
generator: {{use: dcgan, width: 2}}
critic: {critic}
loss: {{use: hinge}}
optimizer: {{use: adam}}
modifiers: [{modifier}]
train: {{rounds: 1, batch_size: 4, compile: never, threads: 1}}
track: {{mlflow: false}}
"""
PENALTIES = ["gradient_penalty", "r1", "r2"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(critic, modifier, *changes):
        (tmp_path / "r.yaml").write_text(RECIPE.format(critic=critic, modifier=modifier))
        return main(["run", "r.yaml", "-q", *changes])

    return run


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("critic", ["{use: dcgan, width: 2}", "{use: resnet, width: 2, norm: batch}"])
def test_batch_norm_is_refused_by_name_and_the_advice_works(run, penalty, critic, tmp_path, capsys):
    assert run(critic, f"{{use: {penalty}}}") == 2
    told = capsys.readouterr().err
    assert f"modifier '{penalty}'" in told
    assert "batch norm" in told
    assert not (tmp_path / "runs").exists()
    for norm in ("layer", "instance", "none"):
        assert run(critic, f"{{use: {penalty}}}", f"critic.norm={norm}") == 0
    assert f"{{use: {penalty}, allow_batch_norm: true}}" in told
    assert run(critic, f"{{use: {penalty}, allow_batch_norm: true}}") == 0


def test_under_another_penalty_it_is_refused_too(run, capsys):
    assert run("{use: dcgan, width: 2}", "{use: r1}, {use: gradient_penalty, allow_batch_norm: true}") == 2
    assert "modifier 'r1'" in capsys.readouterr().err
