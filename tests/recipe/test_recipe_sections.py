# ruff: noqa: E501 (the sentences that are expected stand on one line)
"""Sections: which there are, how they may be written, and how components are found in them."""

from __future__ import annotations

import pytest

from ganflow import part, settings
from ganflow.errors import PluginError
from ganflow.plugins import Catalogue, Component, Plugin

SMALL = """\
data: digits
generator: mlp
loss: hinge
optimizer: adam
"""


def test_bare_names_and_no_critic(read):
    recipe = read(SMALL)
    assert (recipe.prior, recipe.critic) == (None, None)
    assert list(recipe.optimizers) == ["generator"]
    assert list(recipe.slots()) == ["data", "generator", "loss", "optimizer.generator"]
    assert recipe.data.settings.size == 16
    assert recipe.train.rounds == 1000
    assert read(SMALL + "critic:\nprior: null\nmodifiers:\nmetrics: []\ntrain:\ntrack: ~\ntune:\n") == recipe
    assert read(SMALL + "train: {n_critic: 7}\n").train.n_critic == 7  # meaningless here, and harmless


def test_every_slot_by_its_name(read, good):
    recipe = read(good + "schedule: linear\n")
    assert list(recipe.slots()) == [
        "data", "prior", "generator", "critic", "loss",
        "optimizer.generator", "optimizer.critic", "schedule.generator", "schedule.critic",
    ]  # fmt: skip
    assert len(recipe.chosen()) == 9 + 2 + 1


def test_missing_sections_and_components(read):
    assert read.problems("name: x\n") == [
        f"r.yaml:1: missing section '{s}'; every recipe needs data, generator, loss, optimizer"
        for s in ("data", "generator", "loss", "optimizer")
    ]
    assert read.problem(SMALL.replace("loss: hinge", "loss:")) == "r.yaml:3: loss: the section is empty; every recipe needs loss"
    assert read.problem(SMALL.replace("loss: hinge", "loss: {margin: 2}")) == (
        "r.yaml:3: missing key 'use' in loss: which loss? (installed: cycle, hinge, wasserstein)"
    )
    assert read.problem(SMALL.replace("loss: hinge", "loss: {use: 3}")) == (
        "r.yaml:3: loss.use: 3 is not the name of a loss; if that is its name, put it in quotes: '3' (installed: cycle, hinge, wasserstein)"
    )
    assert read.problem(SMALL.replace("loss: hinge", "loss: 3")) == (
        "r.yaml:3: loss: 3 is not a section; write {use: name} (installed: cycle, hinge, wasserstein)"
    )
    assert read.problem(SMALL.replace("loss: hinge", "loss: [hinge]")).startswith("r.yaml:3: loss: ['hinge'] is not a section")
    assert read.problem(SMALL.replace("loss: hinge", "loss: {use: }")).startswith("r.yaml:3: loss.use: null is not the name of a loss (")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("train: 5\n", "r.yaml:5: train: 5 is not a section; write its keys, one per line, below 'train:'"),
        ("train: [rounds]\n", "r.yaml:5: train: ['rounds'] is not a section; write its keys, one per line, below 'train:'"),
        ("tune: fast\n", "r.yaml:5: tune: 'fast' is not a section; write its keys, one per line, below 'tune:'"),
        ("train.rounds: 5\n", "r.yaml:5: unknown section 'train.rounds'; write 'rounds' below 'train:'"),
        ("train: {zzz: 5}\n", "r.yaml:5: unknown key 'zzz' in train (keys: rounds, n_critic, "),
        ("metrics: frechet\n", "r.yaml:5: metrics: 'frechet' is not a list; begin each metric with '- '"),
        ("metrics: [frechet, ]\n", None),
        ("metrics: [frechet, null]\n", "r.yaml:5: metrics[1]: null is not a section; write {use: name} (installed: acme/twice, frechet, other/twice)"),
        ("metrics:\n  - frechet\n  - n: 3\n", "r.yaml:7: missing key 'use' in metrics[1]: which metric? (installed: acme/twice, frechet, other/twice)"),
        ("metrics: [twice]\n", "r.yaml:5: metric 'twice' is offered by 2 plugins; write acme/twice or other/twice"),
        ("metrics: [acme/twice]\n", None),
        ("critic: {use: vast, widths: [4, 4]}\n", None),
        ("critic: std/vast\n", "r.yaml:5: unknown critic 'std/vast'; "),
    ],
)  # fmt: skip
def test_how_sections_may_be_written(read, text, problem):
    if problem is None:
        read(SMALL + text)
    else:
        assert read.problem(SMALL + text).startswith(problem)


PLAYERS = """\
data: digits
generator: mlp
critic: mlp
loss: hinge
optimizer:
  generator: {use: adam, lr: 1.0e-3}
  critic: {use: sgd}
schedule: {critic: linear}
"""


def test_a_section_for_each_player(read):
    recipe = read(PLAYERS)
    assert [(p, o.component.name, o.settings.lr) for p, o in recipe.optimizers.items()] == [("generator", "adam", 1e-3), ("critic", "sgd", 0.1)]
    assert list(recipe.schedules) == ["critic"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("  critic: {use: sgd}\n", "", "r.yaml:5: missing key 'critic' in optimizer: give each player one, or write a single one for everything"),
        ("  critic: {use: sgd}\n", "  critic:\n", "r.yaml:5: missing key 'critic' in optimizer: give each player one, or write a single one for everything"),
        ("  critic: {use: sgd}\n", "  critc: sgd\n  critic: sgd\n", "r.yaml:7: unknown key 'critc' in optimizer; did you mean 'critic'? (keys: generator, critic, loss, or what is inside of one: generator.mapping)"),
        ("critic: {use: sgd}", "critic: {use: sgd, lr: 0}", "r.yaml:7: optimizer.critic.lr: 0 is not above 0"),
        ("{critic: linear}", "{critic: linear, generator: {use: linear, start: 2}}", "r.yaml:8: schedule.generator.start: 2 is above 1"),
        ("{critic: linear}", "{use: linear, critic: linear}", "r.yaml:8: unknown key 'critic' in schedule 'linear' (keys: start)"),
    ],
)  # fmt: skip
def test_mistakes_in_the_players_sections(read, old, new, problem):
    assert read.problem(PLAYERS.replace(old, new)) == problem


def test_an_optimizer_for_a_critic_that_is_not_there(read):
    assert read.problems(PLAYERS.replace("critic: mlp\n", "", 1)) == [
        "r.yaml:6: optimizer.critic: the recipe has no critic; remove this",
        "r.yaml:7: schedule.critic: the recipe has no critic; remove this",
    ]


def test_one_mistake_in_a_shared_optimizer_is_told_once(read, good):
    assert read.problem(good.replace("lr: 5.0e-5", "lr: 0")) == "r.yaml:9: optimizer.lr: 0 is not above 0"


def test_parts(read, good):
    recipe = read(good.replace("{use: wasserstein}", "{use: cycle, adversarial: {use: hinge, margin: 2}}"))
    assert recipe.loss.settings.adversarial.margin == 2.0
    assert recipe.loss.settings.extra is None
    assert recipe.parts["loss.adversarial"].component.qualified == "std/hinge"
    assert recipe.parts["loss.adversarial"].settings is recipe.loss.settings.adversarial
    assert recipe.parts["loss.adversarial"] in recipe.chosen()
    assert "loss.adversarial" not in recipe.slots()


def test_parts_by_default_and_by_bare_name(read, good):
    loss = read(good.replace("{use: wasserstein}", "{use: cycle, extra: wasserstein}")).loss.settings
    assert loss.adversarial.margin == 1.0
    assert loss.extra.weight == 1.0
    assert read(good.replace("{use: wasserstein}", "{use: cycle, extra: null}")).loss.settings.extra is None


def test_parts_within_parts(read, good):
    text = good.replace("{use: wasserstein}", "{use: cycle, adversarial: {use: cycle, cycle: 3, extra: {use: hinge, margin: 4}}}")
    recipe = read(text)
    assert recipe.loss.settings.adversarial.extra.margin == 4.0
    assert recipe.loss.settings.adversarial.adversarial.margin == 1.0
    assert set(recipe.parts) == {"loss.adversarial", "loss.adversarial.extra", "loss.adversarial.adversarial"}
    assert read(recipe.to_yaml()) == recipe


@pytest.mark.parametrize(
    ("loss", "problem"),
    [
        ("{use: cycle, adversarial: {use: hinge, margin: 0}}", "r.yaml:8: loss.adversarial.margin: 0 is not above 0"),
        ("{use: cycle, adversarial: {use: hinge, magin: 1}}", "r.yaml:8: unknown key 'magin' in loss 'hinge'; did you mean 'margin'? (keys: margin)"),
        ("{use: cycle, adversarial: hing}", "r.yaml:8: unknown loss 'hing'; did you mean 'hinge'? (installed: cycle, hinge, wasserstein)"),
        ("{use: cycle, adversarial: null}", "r.yaml:8: loss.adversarial: a loss is needed here; to have the default one, leave the key out"),
        ("{use: cycle, extra: 3}", "r.yaml:8: loss.extra: 3 is not a section; write {use: name} (installed: cycle, hinge, wasserstein)"),
    ],
)
def test_mistakes_in_parts(read, good, loss, problem):
    assert read.problem(good.replace("{use: wasserstein}", loss)) == problem


def test_parts_of_a_shared_optimizer_are_the_players_own(read, good):
    @settings
    class Slow:
        inner: object = part("optimizer", {"use": "sgd", "momentum": 0.5})

    read.catalogue = Catalogue([*read.catalogue.plugins, Plugin("x", "x", "", "", None, (Component("optimizer", "slow", "x", Slow),))])
    recipe = read(good.replace("{use: adam, lr: 5.0e-5}", "slow"))
    inner = {p: recipe.parts[f"optimizer.{p}.inner"].settings for p in recipe.optimizers}
    assert inner["generator"] == inner["critic"]
    assert inner["generator"] is not inner["critic"]
    assert inner["critic"].momentum == 0.5
    assert read(recipe.to_yaml()) == recipe


def test_a_component_that_contains_itself_by_default(read, good):
    @settings
    class Endless:
        inner: object = part("loss", "endless")

    read.catalogue = Catalogue([*read.catalogue.plugins, Plugin("x", "x", "", "", None, (Component("loss", "endless", "x", Endless),))])
    with pytest.raises(PluginError, match="components in components, more than 10 deep; does one contain itself by default"):
        read(good.replace("{use: wasserstein}", "endless"))


def test_components_within_components_are_ten_deep_at_most(read, good):
    def nested(n):  # so many within the loss, the last of which is the default of the one before
        return good.replace("{use: wasserstein}", "{use: cycle, adversarial: " * (n - 1) + "cycle" + "}" * (n - 1))

    assert "loss" + 10 * ".adversarial" in read(nested(10)).parts
    with pytest.raises(PluginError, match="components in components, more than 10 deep"):
        read(nested(11))


def test_tune_is_a_section_with_keys(read, good):
    recipe = read(good + "tune:\n  space: {optimizer.lr: {uniform: [1e-4, 1e-3]}}\n  trials: ${train.n_critic}\n")
    assert recipe.tune.space == {"optimizer.lr": {"uniform": [1e-4, 1e-3]}}
    assert recipe.tune.trials == 5
    assert recipe.lines["tune.space.optimizer.lr"] == 16
    assert recipe.lines["tune.trials"] == 17
    assert read(recipe.to_yaml()) == recipe
    assert read(good).tune is None
    assert read.problem(good + "tune:\n  trils: 3\n") == "r.yaml:16: unknown key 'trils' in tune; did you mean 'trials'?"
    assert "ax is not supported: Ray Tune's adapter does not work with today's ax; use random" in read.problem(good + "tune: {search: ax}\n")
    assert "1.5 GPUs cannot be given to a trial" in read.problem(good + "tune: {resources: {gpus: 1.5}}\n")
