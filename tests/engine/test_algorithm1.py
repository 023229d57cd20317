"""Algorithm 1 of the WGAN paper, to the letter."""

import copy

import pytest
import torch

from ganflow.engine.build import build_game
from ganflow.engine.feed import feed
from ganflow.engine.feed import keyed_generator as draws_of
from ganflow.engine.round import Round
from ganflow.engine.trainer import Trainer
from ganflow.plugins import Composition
from ganflow.recipe import read_recipe
from ganflow.runs.checkpoints import newest
from ganflow.runs.start import start

RECIPE = """
name: letter
data: {use: gaussians, layout: ring, samples: 2000}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 32}
critic: {use: mlp, width: 32}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
modifiers:
  - {use: weight_clip, c: 0.05}
train: {rounds: 20, n_critic: 5, batch_size: 64, seed: 3, compile: never, sample_every: 20}
track: {mlflow: false}
"""


def algorithm_1(generator, critic, real, prior, *, rounds, n_critic, alpha, c):
    """The lecture's listing, line by line, in plain torch. `real()` and `prior()` give a round's batches in order."""
    w, theta = list(critic.parameters()), list(generator.parameters())
    rmsprop_w, rmsprop_theta = torch.optim.RMSprop(w, lr=alpha), torch.optim.RMSprop(theta, lr=alpha)
    updates = 0
    for _ in range(rounds):  # 1: while θ has not converged do
        x, z = real(), prior()
        for t in range(n_critic):  # 2: for t = 0, …, n_critic do
            # 3, 4: a batch from the real data, a batch of prior samples: x[t], z[t]
            gain = critic(x[t]).mean() - critic(generator(z[t]).detach()).mean()
            rmsprop_w.zero_grad()
            (-gain).backward()  # 5: g_w, ascended
            rmsprop_w.step()  # 6: w ← w + α · RMSProp(w, g_w)
            with torch.no_grad():
                for p in w:  # 7: w ← clip(w, −c, c)
                    p.clamp_(-c, c)
            updates += 1
        rmsprop_theta.zero_grad()
        (-critic(generator(z[n_critic])).mean()).backward()  # 9, 10: a fresh batch of prior samples, g_θ
        rmsprop_theta.step()  # 11: θ ← θ − α · RMSProp(θ, g_θ)
        updates += 1
    return updates


def transcript(recipe):
    """What Algorithm 1 makes of the recipe's initial networks and draws."""
    composition = Composition(recipe.slots(), recipe.modifiers, recipe.metrics)
    data = composition.build("data")
    game = build_game(recipe, composition, data)
    generator, critic = copy.deepcopy(game.generator), copy.deepcopy(game.critic)
    dtype = next(generator.parameters()).dtype
    points, (k, m, seed) = data.train["real"].to(dtype), (5, 64, recipe.train.seed)
    data_draws, prior_draws = draws_of(seed), draws_of("prior", seed)

    def real():
        return points[torch.randint(len(points), (k * m,), generator=data_draws)].view(k, m, 2)

    def prior():
        return torch.randn(k + 1, m, 2, generator=prior_draws).to(dtype)

    updates = algorithm_1(generator, critic, real, prior, rounds=20, n_critic=k, alpha=5e-4, c=0.05)
    assert updates == 20 * 6
    return generator, critic


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "letter.yaml"
    path.write_text(RECIPE)
    return read_recipe(path)


def test_a_run_is_algorithm_1_bit_for_bit(recipe, tmp_path):
    generator, critic = transcript(recipe)
    outcome = start(recipe, tmp_path / "runs", quiet=True)
    weights, _ = newest(outcome.folder.checkpoints)
    for name, network in {"generator": generator, "critic": critic}.items():
        for key, expected in network.state_dict().items():
            assert torch.equal(weights.tensors[f"game.{name}.{key}"], expected), f"{name}.{key}"


WAYS = [
    pytest.param({"compile": "step"}, id="steps compiled", marks=pytest.mark.slow),
    pytest.param({"one_pass": True}, id="one pass"),
    pytest.param({"accumulate": 4}, id="micro-batches"),
    pytest.param({"compile": "round", "one_pass": True, "accumulate": 2}, id="all of it", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("way", WAYS)
def test_faster_ways_are_the_same_but_for_rounding(recipe, way, tmp_path):
    """In double precision, where rounding cannot hide a mistake."""
    recipe.train.precision = "fp64"
    generator, critic = transcript(recipe)
    for setting, value in way.items():
        setattr(recipe.train, setting, value)
    outcome = start(recipe, tmp_path / "runs", quiet=True)
    assert outcome.folder.read().compile["mode"] == recipe.train.compile
    weights, _ = newest(outcome.folder.checkpoints)
    for name, network in {"generator": generator, "critic": critic}.items():
        for key, expected in network.state_dict().items():
            torch.testing.assert_close(weights.tensors[f"game.{name}.{key}"], expected, rtol=0, atol=1e-10)


def test_the_order_of_everything_that_happens(recipe):
    """One list pins it: steps, updates and events of two rounds."""
    happened = []
    composition = Composition(recipe.slots(), recipe.modifiers, recipe.metrics)
    data = composition.build("data")
    game = build_game(recipe, composition, data)
    for name, player in game.players.items():
        step = player.parts[0].optimizer.step

        def record(name=name, step=step):
            happened.append(f"{name} update")
            step()

        player.parts[0].optimizer.step = record
    round = Round(
        game,
        2,
        critic_stepped=[*composition.listeners("critic_stepped"), lambda game: happened.append("critic_stepped")],
        generator_stepped=[lambda game: happened.append("generator_stepped")],
    )
    trainer = Trainer(game, feed(data, 64, 0), round, 64)
    trainer.advance(2)
    critic = ["critic update", "critic_stepped"]
    assert happened == 2 * [*critic, *critic, "generator update", "generator_stepped"]
    assert max(p.abs().max().item() for p in game.critic.parameters()) <= 0.05 + 1e-8
