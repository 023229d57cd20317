# ruff: noqa: E501 (the sentences that are expected stand on one line)
"""Recipes written out again, and compared."""

from __future__ import annotations

import json
import random

import yaml

from ganflow.recipe import differences
from ganflow.recipe.yaml import Problems, read_yaml, to_yaml

FULL = """\
name: full
data: {use: folder, path: 5e-5x, crop: [3, 4]}
prior: normal
generator: {use: dcgan, edge: wrap, title: "5e-5"}
critic: {use: mlp, widths: [1, 2], slope: [0.1, 2], dropout: 1e-20}
loss: {use: cycle, adversarial: {use: cycle, cycle: 2}, extra: wasserstein}
optimizer: {generator: {use: adam, betas: [0, 0.9]}, critic: sgd}
schedule: {critic: linear}
modifiers: [clip, {use: ema, tags: {no: 3, x: 4}}, clip]
metrics: [frechet, acme/twice]
train: {rounds: 1e3, clip_grad: 1, seed: 9223372036854775807}
track: {uri: 'http://x:5000', run_name: 'no'}
tune: {space: {a: [1, {b: null}], 'c d': "x\\ny", e: {}}}
"""


def test_round_trip(read, good):
    for text in (good, FULL, "data: digits\ngenerator: mlp\nloss: hinge\noptimizer: adam\n"):
        recipe = read(text)
        again = read(recipe.to_yaml(), file="again.yaml")
        assert again == recipe
        assert again.resolved() == recipe.resolved()
        assert again.to_yaml() == recipe.to_yaml()
        assert json.loads(json.dumps(recipe.resolved())) == recipe.resolved()
        assert yaml.safe_load(recipe.to_yaml()) == recipe.resolved()  # others read the same in it


def test_resolved_says_everything(read):
    resolved = read(FULL).resolved()
    assert list(resolved) == [
        "name", "recipe_version", "data", "prior", "generator", "critic", "loss", "optimizer", "schedule", "modifiers", "metrics",
        "trackers", "train", "track", "tune",
    ]  # fmt: skip
    assert resolved["data"] == {"use": "std/folder", "path": "5e-5x", "crop": [3, 4]}
    assert resolved["generator"] == {"use": "std/dcgan", "width": 64, "edge": "wrap", "title": "5e-5"}
    assert resolved["loss"] == {
        "use": "std/cycle",
        "adversarial": {"use": "std/cycle", "adversarial": {"use": "std/hinge", "margin": 1.0}, "extra": None, "cycle": 2.0},
        "extra": {"use": "std/wasserstein", "weight": 1.0},
        "cycle": 10.0,
    }
    assert resolved["optimizer"] == {
        "generator": {"use": "std/adam", "lr": 2e-4, "betas": [0.0, 0.9]},
        "critic": {"use": "std/sgd", "lr": 0.1, "momentum": 0.0},
    }
    assert resolved["schedule"] == {"critic": {"use": "std/linear", "start": 0.5}}
    assert resolved["metrics"][1] == {"use": "acme/twice", "start": 0.5}
    assert resolved["train"]["rounds"] == 1000
    assert resolved["train"]["seed"] == 2**63 - 1
    assert resolved["track"]["run_name"] == "no"
    assert resolved["tune"]["space"] == {"a": [1, {"b": None}], "c d": "x\ny", "e": {}}


def test_equality_is_about_meaning(read, good):
    assert read(good) == read("# moved\n\n" + good, file="elsewhere.yaml")
    assert read(good) != read(good, "train.seed=1")
    assert read(good) != read(good, "critic={use: mlp, width: 32}")


def test_a_copy_is_equal_and_shares_no_settings(read):
    recipe = read(FULL)
    before, copied = recipe.resolved(), recipe.copied()
    assert copied == recipe
    for path, chosen in copied.played().items():
        assert chosen.component is recipe.played()[path].component
    copied.train.rounds, copied.loss.settings.cycle, copied.modifiers[1].settings.tags["no"] = 7, 99.0, 99
    copied.parts["loss.adversarial"].settings.cycle = 98.0
    assert copied.loss.settings.adversarial.cycle == 98.0  # the part's settings are also those that its holder has
    assert recipe.resolved() == before


def test_what_a_round_is_made_of(read):
    """Everything but data, prior, schedules, metrics, trackers and what is in those."""
    assert set(read(FULL).played()) == {
        "generator", "critic", "loss", "optimizer.generator", "optimizer.critic", "modifiers[0]", "modifiers[1]", "modifiers[2]",
        "loss.adversarial", "loss.adversarial.adversarial", "loss.extra",
    }  # fmt: skip


def test_texts_that_look_like_something_else_survive():
    chance = random.Random(1)
    pieces = [*"0123456789eE+-._: '\"#{}[],&*!|>%@`?~\n\t\\aé=x/$\x85\u2028😀\x07", "null", "no", "0x", "1e5", "<<", "---"]
    texts = ["".join(chance.choice(pieces) for _ in range(chance.randint(0, 6))) for _ in range(800)]
    texts += ["5e-5", "1e5", "-1E+5", "017", "0o17", "12:30", "no", "NULL", "", "~", ".nan", "2024-01-01", "=", "<<", "1_000", "0x_"]
    texts = [t for t in texts if t != "???"]
    problems = Problems("t")
    node = read_yaml(to_yaml({"texts": texts, "one": texts[0]}), problems)
    assert not problems
    assert node.plain()["texts"] == texts


def test_numbers_survive():
    chance = random.Random(2)
    numbers = [chance.uniform(-1, 1) * 10.0 ** chance.randint(-300, 300) for _ in range(300)]
    numbers += [5e-5, 1e16, 1e22, -0.0, 0, -1, 2**63 - 1, True, False, None, 5e-324]
    problems = Problems("t")
    node = read_yaml(to_yaml(numbers), problems)
    assert not problems
    assert [(type(n), repr(n)) for n in node.plain()] == [(type(n), repr(n)) for n in numbers]


def test_differences(read, good):
    old = read(good)
    assert differences(old, old) == differences(old.resolved(), old) == differences(old, yaml.safe_load(old.to_yaml())) == []
    assert differences({"a": 1, "b": 0.0, "c": 1}, {"a": True, "b": -0.0, "c": 1.0}) == ["a: 1 → true", "b: 0.0 → -0.0", "c: 1 → 1.0"]
    new = read(good, "train.n_critic=1", "optimizer.critic.lr=1", "name=new", "train.clip_grad=2", "generator.title=''", "+modifiers=clip")
    assert differences(old, new) == [
        "name: good → new",
        "optimizer.critic.lr: 5.0e-05 → 1.0",
        "train.n_critic: 5 → 1",
        "train.clip_grad: null → 2.0",
        "modifiers[2].use: (none) → std/clip",
        "modifiers[2].c: (none) → 0.01",
    ]
    assert differences(new.resolved(), old)[0] == "name: new → good"
    assert differences(old, read(good, "critic=patch")) == [
        "critic.use: std/dcgan → std/patch",
        "critic.width: 32 → (none)",
        "critic.edge: zero → (none)",
        "critic.title: '' → (none)",
        "critic.layers: (none) → 3",
    ]
    assert differences(old, read(good, "optimizer.betas=[0, 0.9]")) == [
        "optimizer.generator.betas: [0.5, 0.999] → [0.0, 0.9]",
        "optimizer.critic.betas: [0.5, 0.999] → [0.0, 0.9]",
    ]
    assert differences(read(good, "~modifiers"), old) == [
        "modifiers[0].use: (none) → std/clip",
        "modifiers[0].c: (none) → 0.01",
        "modifiers[1].use: (none) → std/ema",
        "modifiers[1].decay: (none) → 0.999",
        "modifiers[1].tags: (none) → {}",
    ]
