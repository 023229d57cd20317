# ruff: noqa: E501 (the sentences that are expected stand on one line)
"""Optimizers per part: every part is trained by its own, each parameter by exactly one, and a run of parts goes on exactly."""

import copy
from pathlib import Path

import pytest
import styled_plugin
import torch
from runner_helpers import Process, assert_same_state, finished, last, last_round, numbers, only_run

from ganflow.engine.build import build_game, built_round
from ganflow.engine.compile import NotCompilable, compile_round
from ganflow.engine.player import learning_rates, parts_of
from ganflow.engine.state import game_state, load_game_state, load_random_state
from ganflow.errors import GanflowError, PluginError
from ganflow.packed import Member, PackedTrainer
from ganflow.plugins import Catalogue, Component, Plugin, load_catalogue
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts
from ganflow.runs.start import start
from ganflow.testing import check_component

HEAD = """\
name: styled
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 3}
generator: {use: styled, width: 5}
critic: {use: mlp, width: 6, depth: 1}
loss: weighted
train: {rounds: 6, n_critic: 2, batch_size: 12, seed: 3, threads: 1, precision: fp64, compile: never, report_every: 1,
        checkpoint_every: 1, sample_every: 100000, keep: 100}
track: {mlflow: false}
"""
PARTS = """\
optimizer:
  generator: {use: adam, lr: 1.0e-2}
  critic: {use: rmsprop, lr: 5.0e-3}
  generator.mapping: {use: sgd, lr: 0.1, momentum: 0.9}
  loss: {use: adamw, lr: 2.0e-3}
  loss.weights: {use: sgd, lr: 0.01}
schedule:
  generator: {use: step, every: 2, factor: 0.5}
  loss.weights: {use: step, every: 1, factor: 0.1}
"""


@pytest.fixture
def catalogue():
    offers = []
    styled_plugin.register(lambda role, name, cls: offers.append(Component(role, name, "styled", cls)))
    return Catalogue([*load_catalogue().plugins, Plugin("styled", "gf_styled", "gf-styled", "1.0", None, tuple(offers))])


@pytest.fixture
def read(tmp_path, catalogue):
    def make(*changes, optimizers=PARTS):
        path = tmp_path / "styled.yaml"
        path.write_text(HEAD + optimizers)
        return read_recipe(path, changes, catalogue)

    return make


def built(recipe):
    torch.manual_seed(0)
    return built_round(recipe, recipe.composition().build("data"))


def draws(seed, z=3, n=12):
    random = torch.Generator().manual_seed(seed)
    made = {"real": torch.randn(2, n, 2, generator=random), "z": torch.randn(3, n, z, generator=random)}
    return {name: t.double() for name, t in made.items()}


def by_hand(game):
    """The parts' parameters, named in the test's own words, with torch's optimizers and the rate in round n."""
    g, c, loss = game.generator, game.critic, game.extras["loss"][0]
    return {
        "generator": (torch.optim.Adam(g.body.parameters(), lr=1e-2, betas=(0.5, 0.999)), lambda n: 1e-2 * 0.5 ** (n // 2)),
        "critic": (torch.optim.RMSprop(c.parameters(), lr=5e-3), lambda n: 5e-3),
        "generator.mapping": (torch.optim.SGD(g.mapping.parameters(), lr=0.1, momentum=0.9), lambda n: 0.1 * 0.5 ** (n // 2)),
        "loss": (torch.optim.AdamW(loss.heads.parameters(), lr=2e-3, betas=(0.5, 0.999)), lambda n: 2e-3 * 0.5 ** (n // 2)),
        "loss.weights": (torch.optim.SGD([loss.weights], lr=0.01), lambda n: 0.01 * 0.1**n),
    }


def step_by_hand(optimizers, objective, clip):
    trained = [p for o in optimizers for group in o.param_groups for p in group["params"]]
    for p, g in zip(trained, torch.autograd.grad(objective, trained), strict=True):
        p.grad = g
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(trained, clip)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("clip", [None, 0.05])
def test_every_part_is_trained_as_torch_would(read, clip):
    round = built(read(*([f"train.clip_grad={clip}"] if clip else [])))
    game = round.game
    theirs = copy.deepcopy(game, {id(game.players): {}, id(game.data): game.data})
    before = {name: [p.detach().clone() for p in part.updated] for name, part in parts_of(game.players).items()}
    reference = by_hand(theirs)
    loss, g, c = theirs.extras["loss"][0], theirs.generator, theirs.critic
    for n in range(5):
        batch = draws(n)
        for player in game.players.values():
            player.start_round(n)
        round(batch)
        rates = {name: rate(n) for name, (_, rate) in reference.items()}
        assert learning_rates(game.players) == pytest.approx(rates)
        for name, (optimizer, _) in reference.items():
            optimizer.param_groups[0]["lr"] = rates[name]
        for i in range(2):
            fake = g(batch["z"][i]).detach()
            step_by_hand([reference["critic"][0]], loss.critic_loss(c(batch["real"][i]), c(fake)), clip)
        own = [optimizer for name, (optimizer, _) in reference.items() if name != "critic"]
        step_by_hand(own, loss.generator_loss(c(g(batch["z"][2]))), clip)
    for ours, expected in zip(game.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-11)
    for name, part in parts_of(game.players).items():
        assert not any(map(torch.equal, part.updated, before[name])), name


def test_the_checkpoints_names(read):
    """Those of the players are what they always were."""
    game = built(read()).game
    tensors, plain = game_state(game)
    assert list(plain["optimizers"]) == ["generator", "generator.mapping", "loss", "loss.weights", "critic"]
    assert {"optimizer.generator.state.0.mean", "optimizer.generator.mapping.state.0.momentum"} <= tensors.keys()
    players = built(read("loss=wasserstein", optimizers="optimizer: adam\n")).game
    assert list(game_state(players)[1]["optimizers"]) == ["generator", "critic"]
    other = built(read("~optimizer.generator.mapping")).game
    with pytest.raises(ValueError, match=r"optimizers of other parts: generator\.mapping"):
        load_game_state(other, tensors, plain)


@pytest.mark.parametrize(
    ("optimizers", "trained_alike"),
    [
        ("optimizer: {use: adam, lr: 0.003}\n", True),
        ("optimizer: {generator: {use: adam, lr: 0.003}, critic: {use: adam, lr: 0.003}}\n", True),
        ("optimizer: {generator: {use: adam, lr: 0.003}, critic: sgd}\n", False),
    ],
)
def test_the_losses_parameters_have_an_optimizer_of_their_own(read, optimizers, trained_alike):
    """Of the players' kind where these are alike; otherwise it must be named."""
    if not trained_alike:
        with pytest.raises(GanflowError) as caught:
            built(read(optimizers=optimizers))
        why = "the players' differ, so the loss needs its own"
        assert str(caught.value) == f"loss.weights is trained by no optimizer; {why}: add 'loss' to the recipe's optimizers"
        return
    recipe = read(optimizers=optimizers)
    parts = parts_of(built(recipe).game.players)
    assert list(parts) == ["generator", "loss", "critic"]
    assert [part.learning_rate for part in parts.values()] == [0.003] * 3
    assert parts["loss"].optimizer is not parts["generator"].optimizer
    assert sum(p.numel() for p in parts["loss"].updated) == 2 + 2
    assert list(parts_of(built(read_recipe_again(recipe, read)).game.players)) == list(parts)


def read_recipe_again(recipe, read):
    """What a run's folder keeps of it."""
    written = recipe.to_yaml()
    head = written.index("optimizer:")
    return read(optimizers=written[head : written.index("modifiers:")])


@pytest.mark.parametrize(
    ("old", "new", "changes", "problem"),
    [
        ("generator.mapping", "generator.maping", (), "optimizer.generator.maping: the generator has no 'maping'; did you mean "
         "'mapping'? (it has body, mapping)"),
        ("loss.weights: {use: sgd", "loss.weight: {use: sgd", ("~schedule",), "optimizer.loss.weight: the loss has no 'weight'; did "
         "you mean 'weights'? (it has heads, weights)"),
        ("  generator: {use: adam", "  generator.body.0: {use: adam", ("~schedule",), "generator.body.2.weight is trained by no "
         "optimizer: add 'generator' to the recipe's optimizers"),
        ("  loss: {use: adamw", "  generator.body: {use: adamw", (), "loss.heads.0.weight is trained by no optimizer; the players' "
         "differ, so the loss needs its own: add 'loss' to the recipe's optimizers"),
        ("  loss: {use: adamw", "  generator.body: {use: adamw, lr: 1}\n  loss: {use: adamw", (), "optimizer.generator: there are no "
         "parameters for it: generator.mapping and generator.body have all of them; remove it"),
        ("generator.mapping", "generator.body.1", (), "optimizer.generator.body.1: there are no parameters for it: it has none that "
         "can be trained; remove it"),
        ("x", "x", ("generator.frozen=mapping",), "optimizer.generator.mapping: there are no parameters for it: it has none that can be "
         "trained; remove it"),
        ("  loss: {use: adamw", "  generator.body: sgd\n  loss: {use: adamw", ("generator.tied=true", "~optimizer.generator"),
         "generator.mapping.2.weight is one parameter, which both optimizer.generator.mapping and optimizer.generator.body would train; "
         "leave one of the two out"),
        ("x", "x", ("loss=wasserstein", "~schedule", "~optimizer.loss.weights"), "optimizer.loss: there are no parameters for it: it "
         "has none that can be trained; remove it"),
        ("x", "x", ("loss=wasserstein", "~optimizer.loss", "~optimizer.loss.weights", "schedule={loss: cosine}"), "schedule.loss: the "
         "loss has no parameters to train; remove it"),
        ("x", "x", ("generator.frozen=all",), "the generator has no parameters that can be trained"),
        ("x", "x", ("loss=twofold",), "optimizer.loss.weights: the loss and the terms added to it hold 2 of this name; write "
         "optimizer.loss.first.weights or optimizer.loss.second.weights"),
        ("x", "x", ("loss=outside", "~schedule", "~optimizer.loss", "~optimizer.loss.weights"), "loss.weight is a parameter outside "
         "of every nn.Module, which no checkpoint would keep; derive what holds it from nn.Module"),
    ],
)  # fmt: skip
def test_what_cannot_be(read, old, new, changes, problem):
    with pytest.raises(GanflowError) as caught:
        built(read(*changes, optimizers=PARTS.replace(old, new, 1)))
    assert str(caught.value) == problem


def test_what_a_loss_within_a_loss_holds(read):
    """Is named from the loss of the recipe, or, where that is clear, from the one that has it."""
    optimizers = PARTS.replace("loss.weights", "loss.second.weights")
    parts = parts_of(built(read("loss=twofold", optimizers=optimizers)).game.players)
    assert {name: sum(p.numel() for p in part.updated) for name, part in parts.items() if "loss" in name} == {
        "loss": 2 + 2 + 2, "loss.second.weights": 2,
    }  # fmt: skip


def test_a_parameter_of_both_players(read):
    recipe = read()
    composition = recipe.composition()
    build = composition.build

    def shares(role, *arguments, **named):
        made = build(role, *arguments, **named)
        if role == "generator":
            shares.layer = made.body[2]
        if role == "critic":
            made[0].borrowed = shares.layer
        return made

    composition.build = shares
    with pytest.raises(GanflowError) as caught:
        build_game(recipe, composition, build("data"))
    assert str(caught.value) == (
        "generator.body.2.weight and critic.0.borrowed.weight are one parameter, which both optimizer.generator and optimizer.critic "
        "would train; give one of the players a copy, or freeze it"
    )


def test_a_tied_weight_is_the_longer_names(read):
    """It is trained once, and both places see it."""
    game = built(read("generator.tied=true")).game
    parts = parts_of(game.players)
    sizes = {name: sum(p.numel() for p in part.updated) for name, part in parts.items()}
    assert sizes["generator.mapping"] == (3 * 5 + 5) + (5 * 5 + 5)
    assert sizes["generator"] == 5 + (5 * 2 + 2)
    before = game.generator.mapping[2].weight.detach().clone()
    game.players["generator"].descend(game.generator(torch.ones(4, 3).double()).square().sum())
    assert not torch.equal(game.generator.mapping[2].weight, before)
    assert torch.equal(game.generator.body[0].weight, game.generator.mapping[2].weight)


@pytest.mark.parametrize("tied", ["false", "true"])
def test_a_traced_round_of_parts_is_the_eager_one(read, tied, monkeypatch):
    """As a graph without inductor: the updates of all parts, and a third party's, from tensors alone."""
    monkeypatch.setattr("ganflow.engine.compile.compile_graph", lambda graph, cuda: graph)
    recipe = read(f"generator.tied={tied}", "optimizer.critic=sign")
    eager, traced = built(recipe), built(recipe)
    play = compile_round(traced, lambda: built(recipe), [draws(i) for i in range(3)], whole=True)
    for i in range(3):
        for round in (eager, traced):
            for player in round.game.players.values():
                player.start_round(i)
        eager(draws(i))
        play(draws(i))
    for (name, ours), expected in zip(traced.game.named_parameters(), eager.game.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9, msg=name)


def test_torchs_optimizers_are_played_eagerly(read):
    recipe = read("optimizer.generator.mapping=adagrad")
    round = built(recipe)
    theirs = copy.deepcopy(round.game.generator)
    adagrad = torch.optim.Adagrad(theirs.mapping.parameters(), lr=0.01)
    z = draws(0)["z"][0]
    round.game.players["generator"].descend(round.game.generator(z).square().sum())
    theirs(z).square().sum().backward()
    adagrad.step()
    assert all(map(torch.equal, round.game.generator.mapping.parameters(), theirs.mapping.parameters()))
    with pytest.raises(NotCompilable, match=r"the generator\.mapping's optimizer is not one that a trace can follow"):
        compile_round(round, lambda: built(recipe), [draws(0), draws(1)], whole=True)


def test_a_third_partys_flat_optimizer(read, monkeypatch):
    """m ← 0.9 m + 0.1 g, p ← p − 0.01 sign(m): by hand, on each parameter; and in pieces, as large networks are."""
    monkeypatch.setattr("ganflow.contract.optim.PIECE", 8)
    recipe = read("optimizer.critic={use: sign, lr: 0.01}")
    game, network = built(recipe).game, built(recipe).game.critic
    means = [torch.zeros_like(p) for p in network.parameters()]
    (flat,) = game.players["critic"].updated
    assert flat.numel() > 2 * 8
    for i in range(4):
        x = draws(i)["real"][0]
        game.players["critic"].descend(game.critic(x).square().mean())
        found = torch.autograd.grad(network(x).square().mean(), list(network.parameters()))
        with torch.no_grad():
            for p, g, m in zip(network.parameters(), found, means, strict=True):
                m.copy_(0.9 * m + 0.1 * g)
                p.sub_(0.01 * m.sign())
    for ours, expected in zip(game.critic.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("role", "name"), [("optimizer", "sign"), ("optimizer", "adagrad"), ("loss", "weighted")])
def test_the_components_of_this_test_keep_the_contract(catalogue, role, name):
    check_component(catalogue.find(role, f"styled/{name}"))


def test_a_builder_that_gives_no_optimizer(read):
    with pytest.raises(PluginError, match=r"its hook 'optimizer' gave int, not a torch\.optim.Optimizer"):
        built(read("optimizer.critic=none"))


# Runs.


@pytest.fixture
def styled(work, plugin):
    """The plugin installed, and styled.yaml."""
    (work / "styled.yaml").write_text(HEAD + PARTS)
    return plugin("styled", Path(styled_plugin.__file__).read_text())


def test_a_run_of_parts_goes_on_bit_for_bit(work, styled, ganflow):
    rates = []
    for folder, commands in {"whole": [6], "halves": [3, 6]}.items():
        for i, rounds in enumerate(commands):
            how = ["--resume", "latest"] if i else ["styled.yaml"]
            code, _, err = ganflow("run", *how, f"train.rounds={rounds}", "--runs", folder, "-q")
            assert code == 0, err
        assert "generator.mapping:" in only_run(work / folder).recipe.read_text()
        rates.append({name: v for name, v in numbers(only_run(work / folder))[-1][1].items() if name.startswith("lr/")})
    assert_same_state(only_run(work / "halves"), only_run(work / "whole"))
    assert rates[0] == rates[1]
    halved = 0.5**2  # every second round, in the last of 6
    assert rates[0] == pytest.approx(
        {"lr/generator": 1e-2 * halved, "lr/generator.mapping": 0.1 * halved, "lr/loss": 2e-3 * halved,
         "lr/loss.weights": 0.01 * 0.1**5, "lr/critic": 5e-3}
    )  # fmt: skip


@pytest.mark.slow
def test_a_killed_run_of_parts_goes_on_bit_for_bit(work, styled, ganflow):
    assert ganflow("run", "styled.yaml", "train.rounds=40", "-q")[0] == 0
    other = work / "other"
    other.mkdir()
    with Process(other, "run", work / "styled.yaml", "train.rounds=40", "-q", path=[styled]) as process:
        process.until(lambda: process.reached(3))
        assert process.kill()
    assert last_round(only_run(other / "runs")) < 40
    code, _, err = finished(other, "run", "--resume", "latest", "-q", path=[styled])
    assert code == 0, err
    run, alone = only_run(other / "runs"), only_run(work / "runs")
    assert_same_state(run, alone)
    assert numbers(run) == numbers(alone)


def test_two_workers_train_the_parts_as_one_does(work, styled):
    """The gradient is clipped by its norm over all parts, after it was averaged."""
    (work / "styled.yaml").write_text(HEAD.replace("loss: weighted", "loss: wasserstein") + PARTS.partition("  loss:")[0])
    recipe = read_recipe("styled.yaml", ["train.clip_grad=0.05"])
    one, two = (last(start(recipe, work / str(n), workers=n, quiet=True).folder).tensors for n in (1, 2))
    for name, t in one.items():
        if name.startswith(("game.", "optimizer.")):
            torch.testing.assert_close(two[name], t, rtol=0, atol=1e-10, msg=name)


def test_mistakes_end_the_command_with_2(work, styled, ganflow):
    code, out, err = ganflow("run", "styled.yaml", "optimizer.generator.maping={use: sgd}")
    assert (code, out) == (2, "")
    assert "optimizer.generator.maping: the generator has no 'maping'; did you mean 'mapping'? (it has body, mapping)" in err


def test_packed_trials_of_parts(work, styled):
    """Trials that differ in one part's rate train together as each does alone, but for rounding."""

    def members():
        made = []
        for rate in (0.1, 0.01):
            changes = [f"optimizer.generator.mapping.lr={rate}", "loss=wasserstein", "schedule={generator: step}"]
            parts = Parts(read_recipe("styled.yaml", [*changes, "~optimizer.loss", "~optimizer.loss.weights"]))
            parts.composition.begin(parts.game)
            made.append(Member(parts.recipe, parts.trainer))
        return made

    expected = []
    for member in members():
        load_random_state(member.trainer.game.device, *member.random)
        member.trainer.advance(6)
        expected.append({name: t.clone() for name, t in member.trainer.state()[0].items()})
    packed = PackedTrainer(members())
    reports = packed.advance(6)
    assert [report.rates["generator.mapping"] for report in reports] == [0.1, 0.01]
    for i, tensors in enumerate(expected):
        with packed.member(i) as trainer:
            for name, t in trainer.state()[0].items():
                if name.startswith(("game.", "optimizer.")):
                    torch.testing.assert_close(t, tensors[name], rtol=1e-9, atol=1e-12, msg=name)
