# ruff: noqa: E501 (the sentences that are expected stand on one line)
"""Optimizers and schedules of parts: how they are named, changed from the command line, referred to and written."""

from __future__ import annotations

import pytest

from ganflow import part, settings
from ganflow.plugins import Catalogue, Component, Plugin
from ganflow.recipe import differences
from ganflow.recipe.values import longest_key

PARTS = """\
data: digits
generator: mlp
critic: mlp
loss: hinge
optimizer:
  loss.weights: {use: sgd}
  generator: {use: adam, lr: 1.0e-3, betas: [0.1, 0.2]}
  generator.mapping: {use: adam, lr: 1.0e-5}
  critic: {use: sgd}
  generator.mapping.0: sgd
schedule: {critic: linear, generator.mapping: {use: linear, start: 0.25}, loss: linear}
"""


def lr(recipe):
    return {part: (o.component.name, o.settings.lr) for part, o in recipe.optimizers.items()}


def test_an_optimizer_for_each_part(read):
    recipe = read(PARTS)
    assert lr(recipe) == {
        "generator": ("adam", 1e-3), "generator.mapping": ("adam", 1e-5), "generator.mapping.0": ("sgd", 0.1),
        "critic": ("sgd", 0.1), "loss.weights": ("sgd", 0.1),
    }  # fmt: skip
    assert list(recipe.optimizers) == ["generator", "generator.mapping", "generator.mapping.0", "critic", "loss.weights"]
    assert {part: s.settings.start for part, s in recipe.schedules.items()} == {"generator.mapping": 0.25, "critic": 0.5, "loss": 0.5}
    assert "optimizer.generator.mapping.0" in recipe.slots()
    assert recipe.lines["optimizer.generator.mapping.lr"] == 8


def test_what_is_written_out_is_read_again(read):
    recipe = read(PARTS)
    again = read(recipe.to_yaml())
    assert again == recipe
    assert list(again.optimizers) == list(recipe.optimizers)
    assert list(recipe.resolved()["optimizer"]) == list(recipe.optimizers)
    other = read(PARTS, "optimizer.generator.mapping.lr=2e-5", "~optimizer.loss.weights", "schedule.critic.start=0.75")
    assert differences(recipe, other) == [
        "optimizer.generator.mapping.lr: 1.0e-05 → 2.0e-05",
        "optimizer.loss.weights.use: std/sgd → (none)",
        "optimizer.loss.weights.lr: 0.1 → (none)",
        "optimizer.loss.weights.momentum: 0.0 → (none)",
        "schedule.critic.start: 0.5 → 0.75",
    ]


def test_the_players_own_part_may_be_left_out(read):
    """Where its sub-modules have one each."""
    text = PARTS.replace("  generator: {use: adam, lr: 1.0e-3, betas: [0.1, 0.2]}\n", "  generator.body: adam\n")
    assert list(read(text).optimizers) == ["generator.body", "generator.mapping", "generator.mapping.0", "critic", "loss.weights"]


def test_keys_of_parts_are_set(read, good):
    assert lr(read(PARTS, "optimizer.generator.mapping.lr=2"))["generator.mapping"] == ("adam", 2.0)
    assert lr(read(PARTS, "optimizer.generator.lr=2")) == {**lr(read(PARTS)), "generator": ("adam", 2.0)}
    assert lr(read(PARTS, "optimizer.generator.mapping[0].lr=2"))["generator.mapping.0"] == ("sgd", 2.0)
    assert {rate for _, rate in lr(read(PARTS, "optimizer.lr=2")).values()} == {2.0}
    assert lr(read(PARTS, "optimizer.generator.mapping=sgd"))["generator.mapping"] == ("sgd", 0.1)
    assert "generator.mapping" not in read(PARTS, "~optimizer.generator.mapping", "~schedule.generator.mapping").optimizers
    assert list(read(PARTS, "~critic").optimizers) == ["generator", "generator.mapping", "generator.mapping.0", "loss.weights"]
    assert list(read(PARTS, "optimizer=adam", "~schedule").optimizers) == ["generator", "critic"]


@pytest.mark.parametrize("order", [1, -1])
def test_parts_are_made_from_what_is_above_them(read, good, order):
    changes = ["optimizer.generator.mapping.lr=1e-4", "optimizer.betas=[0, 0.9]"][::order]
    recipe = read(good, *changes)
    assert lr(recipe) == {"generator": ("adam", 5e-5), "generator.mapping": ("adam", 1e-4), "critic": ("adam", 5e-5)}
    assert recipe.optimizers["generator.mapping"].settings.betas == (0, 0.9)
    assert read(good, "optimizer.generator.mapping.betas=text_", "optimizer.generator.mapping.betas=[0, 1]").optimizers.keys() == recipe.optimizers.keys()
    deeper = read(PARTS, "optimizer.generator.mapping.2.net.betas=[0, 0.9]")
    assert lr(deeper)["generator.mapping.2.net"] == ("adam", 1e-5)
    assert lr(read(good, "optimizer.generator.mapping={use: sgd, lr: 3}"))["generator.mapping"] == ("sgd", 3.0)
    assert lr(read(good, "optimizer.generator.mapping=sgd"))["generator.mapping"] == ("sgd", 0.1)
    assert lr(read(good, "optimizer.generator.mapping.use=sgd"))["generator.mapping"] == ("sgd", 0.1)
    assert lr(read(good, "optimizer.loss={use: sgd, lr: 3}"))["loss"] == ("sgd", 3.0)
    assert list(read(good, "optimizer.loss=sgd", "schedule.loss=linear").schedules) == ["loss"]


def test_references_to_parts(read):
    text = PARTS.replace("critic: {use: sgd}", "critic: {use: sgd, lr: '${optimizer.generator.mapping.lr}'}")
    text = text.replace("generator.mapping: {use: adam, lr: 1.0e-5}", "generator.mapping: {use: '${optimizer.generator.use}', lr: '${optimizer.generator.lr}'}")
    assert lr(read(text))["generator.mapping"] == lr(read(text))["generator"] == ("adam", 1e-3)
    assert lr(read(text))["critic"] == ("sgd", 1e-3)
    problem = read.problem(PARTS.replace("critic: {use: sgd}", "critic: {use: sgd, lr: '${optimizer.generator.mappin.lr}'}"))
    assert problem.startswith("r.yaml:9: optimizer.critic.lr: ${optimizer.generator.mappin.lr}: there is no 'optimizer.generator.mappin'")


def test_a_component_within_an_optimizer_is_no_part(read, good):
    @settings
    class Slow:
        inner: object = part("optimizer", {"use": "sgd", "momentum": 0.5})

    read.catalogue = Catalogue([*read.catalogue.plugins, Plugin("x", "x", "", "", None, (Component("optimizer", "slow", "x", Slow),))])
    text = good.replace("{use: adam, lr: 5.0e-5}", "slow")
    for change in ("optimizer.generator.inner.momentum=0.75", "optimizer.generator.inner={use: sgd, momentum: 0.75}"):
        recipe = read(text.replace("optimizer: slow", "optimizer: {use: slow, inner: {use: sgd, momentum: 0.5}}"), change)
        assert list(recipe.optimizers) == ["generator", "critic"]
        assert [recipe.optimizers[p].settings.inner.momentum for p in recipe.optimizers] == [0.75, 0.5]
    both = text.replace("optimizer: slow", "optimizer: {generator: slow, critic: slow, generator.inner: sgd}")
    assert read.problem(both) == (
        "r.yaml:9: optimizer.generator.inner: 'inner' is a key of optimizer 'slow', so this cannot be a part; train all of generator alike"
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("generator.mapping: {use: adam", "genrator.mapping: {use: adam", "r.yaml:8: unknown key 'genrator.mapping' in optimizer; did you mean "
         "'generator.mapping'? (keys: generator, critic, loss, or what is inside of one: generator.mapping)"),
        ("loss.weights", "los", "r.yaml:6: unknown key 'los' in optimizer; did you mean 'loss'? "
         "(keys: generator, critic, loss, or what is inside of one: generator.mapping)"),
        ("loss.weights", "generator.", "r.yaml:6: unknown key 'generator.' in optimizer (keys: generator, critic, loss, or what is inside of one: generator.mapping)"),
        ("lr: 1.0e-5", "lr: 0", "r.yaml:8: optimizer.generator.mapping.lr: 0 is not above 0"),
        ("lr: 1.0e-5", "lrr: 1", "r.yaml:8: unknown key 'lrr' in optimizer 'adam'; did you mean 'lr'? (keys: lr, betas)"),
        ("  critic: {use: sgd}\n", "", "r.yaml:5: missing key 'critic' in optimizer: give each player one, or write a single one for everything"),
        ("loss: linear}", "generator.body: linear}", "r.yaml:11: schedule.generator.body: no optimizer trains this part alone; add optimizer.generator.body, or remove this"),
        ("loss: linear}", "generator.map: linear}", "r.yaml:11: schedule.generator.map: no optimizer trains this part alone; add optimizer.generator.map, or remove this"),
        ("generator.mapping.0:", "generator.lr:", "r.yaml:10: optimizer.generator.lr: 'lr' is a key of optimizer 'adam', so this cannot be a part; "
         "train all of generator alike"),
    ],
)  # fmt: skip
def test_mistakes_in_parts(read, old, new, problem):
    assert read.problem(PARTS.replace(old, new)) == problem


def test_an_exception_beside_a_single_section(read, good):
    text = good.replace("lr: 5.0e-5", "lr: 5.0e-5, generator.mapping: {use: adam, lr: 1}")
    said = "beside 'use' there are no parts; write 'generator: {use: …}' for what it leaves"
    assert read.problem(text) == f"r.yaml:9: optimizer.generator.mapping: {said}"


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("optimizer.generator.zzz=3", "unknown key 'zzz' in optimizer 'adam' (keys: lr, betas)"),
        ("optimizer.generator.mapping.lrr=3", "unknown key 'lrr' in optimizer 'adam'; did you mean 'lr'? (keys: lr, betas)"),
        ("optimizer.genrator.mapping.lr=3", "optimizer.genrator.mapping.lr: there is no 'genrator' in optimizer; did you mean 'generator'?"),
        ("optimizer.loss.lr=3", "missing key 'use' in optimizer.loss: which optimizer? (installed: adam, sgd)"),
        ("~optimizer.generator.body", "~optimizer.generator.body: the recipe has no such key"),
        ("optimizer.generator.mapping=zzz", "unknown optimizer 'zzz' (installed: adam, sgd)"),
    ],
)
def test_mistakes_on_the_command_line(read, override, problem):
    assert read.problem(PARTS, override) == f"command line: {problem}"


def test_the_longest_key():
    keys = {"a": 0, "a.b": 0, "a.b.1.c": 0}
    assert longest_key(keys, ["a", "b", 1, "c", "d"]) == ("a.b.1.c", ["d"])
    assert longest_key(keys, ["a", "b", 1]) == ("a.b", [1])
    assert longest_key(keys, ["b", "a"]) == ("", ["b", "a"])


def test_a_key_that_a_single_optimizer_for_both_players_lacks_is_missed_once(read, good):
    @settings
    class Bare:
        lr: float

    read.catalogue = Catalogue([*read.catalogue.plugins, Plugin("x", "x", "", "", None, (Component("optimizer", "bare", "x", Bare),))])
    text = good.replace("{use: adam, lr: 5.0e-5}", "bare")
    assert read.problem(text) == "r.yaml:9: missing key 'lr' in optimizer 'bare'"
    assert read(text, "optimizer.lr=0.5").optimizers["critic"].settings.lr == 0.5
