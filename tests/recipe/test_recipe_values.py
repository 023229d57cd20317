# ruff: noqa: E501 (the sentences that are expected stand on one line)
"""Types and ranges: what OmegaConf lets pass and a recipe does not, and the sentences that say so."""

from __future__ import annotations

from typing import Any

import pytest

from ganflow import settings
from ganflow.errors import PluginError
from ganflow.plugins import Catalogue, Component, Plugin

MLP = "data: digits\ngenerator:\n  use: mlp\n  {}\nloss: hinge\noptimizer: adam\n"


def generator(read, line):
    return read(MLP.format(line)).generator.settings


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("width: 8", "width", 8), ("width: 1e3", "width", 1000), ("width: 2.5e3", "width", 2500), ("width: 1_024", "width", 1024),
        ("widths: 8", "widths", 8), ("widths: [8, 16]", "widths", [8, 16]), ("widths: [1e2, 3]", "widths", [100, 3]), ("widths: []", "widths", []),
        ("slope: 1", "slope", 1.0), ("slope: [1, 0.5]", "slope", [1.0, 0.5]), ("slope: 5e-5", "slope", 5e-5),
        ("norm: batch", "norm", "batch"), ("norm: 'on'", "norm", "on"),
        ("bias: false", "bias", False), ("bias: No", "bias", False), ("bias: on", "bias", True),
        ("dropout: null", "dropout", None), ("dropout: ~", "dropout", None), ("dropout:", "dropout", None), ("dropout: 0", "dropout", 0.0),
    ],
)  # fmt: skip
def test_values_that_fit(read, line, key, value):
    made = getattr(generator(read, line), key)
    assert made == value
    assert type(made) is type(value)
    if isinstance(value, list):
        assert [type(v) for v in made] == [type(v) for v in value]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("width: 3.0", "width: 3.0 is not an integer; write 3"),
        ("width: 3.5", "width: 3.5 is not an integer"),
        ("width: 1.5e0", "width: 1.5e0 is not an integer"),
        ("width: 1e300", "width: 1e300 is not an integer; write 1" + "0" * 1 + "…"),
        ("width: '3'", "width: '3' is not an integer; leave out the quotes"),
        ("width: 017", "width: '017' is not an integer; write it in decimal, without leading zeros"),
        ("width: 0o17", "width: '0o17' is not an integer; write it in decimal, without leading zeros"),
        ("width: 12:30:00", "width: '12:30:00' is not an integer"),
        ("width: true", "width: true is not an integer"),
        ("width: null", "width: null is not an integer"),
        ("width:", "width: null is not an integer"),
        ("width: [1]", "width: [1] is not an integer"),
        ("width: {a: 1}", "width: {'a': 1} is not an integer"),
        ("width: 0", "width: 0 is below 1"),
        ("widths: [1, x]", "widths: [1, 'x'] is not a list of integers or an integer"),
        ("widths: [1, 2.5]", "widths: [1, 2.5] is not a list of integers or an integer"),
        ("widths: [1, true]", "widths: [1, True] is not a list of integers or an integer"),
        ("slope: '0.5'", "slope: '0.5' is not a number or a list of numbers; leave out the quotes"),
        ("slope: false", "slope: false is not a number or a list of numbers"),
        ("slope: [0.5, '0.5']", "slope: [0.5, '0.5'] is not a number or a list of numbers"),
        ("norm: bach", "norm: 'bach' is not one of batch, none, on; did you mean 'batch'?"),
        ("norm: on", "norm: on is not one of batch, none, on; put it in quotes: 'on'"),
        ("norm: null", "norm: null is not one of batch, none, on"),
        ("bias: 2", "bias: 2 is not true or false"),
        ("bias: 1", "bias: 1 is not true or false"),
        ("bias: 0", "bias: 0 is not true or false"),
        ("bias: 'yes'", "bias: 'yes' is not true or false; leave out the quotes"),
        ("bias: 'true'", "bias: 'true' is not true or false; leave out the quotes"),
        ("bias: maybe", "bias: 'maybe' is not true or false"),
        ("bias: null", "bias: null is not true or false"),
        ("dropout: 'null'", "dropout: 'null' is not a number or null"),
        ("dropout: half", "dropout: 'half' is not a number or null"),
        ("dropout: '${'", "dropout: '${': after '${' only a reference like ${train.rounds} is understood"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit(read, line, text):
    problem = read.problem(MLP.format(line))
    if text.endswith("…"):
        assert problem.startswith(f"r.yaml:4: generator.{text[:-1]}")
    else:
        assert problem == f"r.yaml:4: generator.{text}"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("width: 32}\ncritic", "title: 3}\ncritic"), "r.yaml:6: generator.title: 3 is not text; put it in quotes: '3'"),
        (("width: 32}\ncritic", "title: 1.10}\ncritic"), "r.yaml:6: generator.title: 1.10 is not text; put it in quotes: '1.10'"),
        (("width: 32}\ncritic", "title: null}\ncritic"), "r.yaml:6: generator.title: null is not text; put it in quotes: 'null'"),
        (("width: 32}\ncritic", "title: [a]}\ncritic"), "r.yaml:6: generator.title: ['a'] is not text"),
        (("width: 32}\ncritic", "edge: rap}\ncritic"), "r.yaml:6: generator.edge: 'rap' is not one of zero, wrap"),
        (("lr: 5.0e-5", "betas: [0.5]"), "r.yaml:9: optimizer.betas: [0.5] is not a list of 2 numbers"),
        (("lr: 5.0e-5", "betas: [0.5, 0.9, 0.9]"), "r.yaml:9: optimizer.betas: [0.5, 0.9, 0.9] is not a list of 2 numbers"),
        (("lr: 5.0e-5", "betas: 0.5"), "r.yaml:9: optimizer.betas: 0.5 is not a list of 2 numbers"),
        (("lr: 5.0e-5", "betas: [0.5, '0.9']"), "r.yaml:9: optimizer.betas: [0.5, '0.9'] is not a list of 2 numbers"),
        (("  - ema", "  - {use: ema, tags: {a: x}}"), "r.yaml:12: modifiers[1].tags: {'a': 'x'} is not a mapping to integers"),
        (("  - ema", "  - {use: ema, tags: 3}"), "r.yaml:12: modifiers[1].tags: 3 is not a mapping to integers"),
        (("  - ema", "  - {use: ema, decay: 1}"), "r.yaml:12: modifiers[1].decay: 1 is not below 1"),
        (("n: 512", "n: 13"), "r.yaml:14: metrics[0]: thirteen brings bad luck"),
        (("n: 512", "n: 5, even: yes"), "r.yaml:14: metrics[0].n: 5 is odd"),
        (("use: digits, size: 32", "use: folder"), "r.yaml:4: missing key 'path' in data 'folder' (folder of images)"),
        (("seed: 0", "seed: -1"), "r.yaml:13: train.seed: -1 is below 0"),
        (("seed: 0", "device: gpu"), "r.yaml:13: train.device: 'gpu' is not a device; use auto, cpu, cuda, cuda:N or mps"),
        (("seed: 0", "device: cuda:01"), "r.yaml:13: train.device: 'cuda:01' is not a device; use auto, cpu, cuda, cuda:N or mps"),
        (("seed: 0", "accumulate: 3"), "r.yaml:13: train.accumulate: 3 micro-batches do not divide a batch_size of 64 evenly"),
        (("seed: 0", "precision: fp8"), "r.yaml:13: train.precision: 'fp8' is not one of fp32, bf16, fp64, auto"),
        (("seed: 0", "clip_grad: 0"), "r.yaml:13: train.clip_grad: 0 is not above 0"),
        (("seed: 0", "keep: 0"), "r.yaml:13: train.keep: 0 is below 1"),
        (("seed: 0", "use: fast"), "r.yaml:13: unknown key 'use' in train"),
        (("name: good", "name: no"), "r.yaml:3: name: no is not text; put it in quotes: 'no'"),
        (("name: good", "name: 2024"), "r.yaml:3: name: 2024 is not text; put it in quotes: '2024'"),
        (("name: good", "name: ../evil"), "r.yaml:3: name: '../evil' cannot name a folder; use up to 100 letters, digits, '.', '_' and '-', a letter or digit first"),
        (("name: good", f"name: {'a' * 101}"), f"r.yaml:3: name: '{'a' * 50}' cannot name a folder; use up to 100 letters, digits, '.', '_' and '-', a letter or digit first"),
        (("name: good", "name: [a]"), "r.yaml:3: name: ['a'] is not text"),
    ],
)  # fmt: skip
def test_mistakes_in_a_recipe(read, good, change, text):
    problem = read.problem(good.replace(*change))
    assert problem == text or (text.endswith("in train") and problem.startswith(text))


def test_bounds_are_told_beside_other_mistakes_of_a_section(read, good):
    assert read.problems(good, "train.rounds=lots", "train.seed=-1") == [
        "command line: train.rounds: 'lots' is not an integer",
        "command line: train.seed: -1 is below 0",
    ]


def test_conversions_that_are_welcome(read, good):
    recipe = read(good.replace("lr: 5.0e-5", "betas: [0, 0.9]").replace("width: 32}\ncritic", "edge: wrap, title: 017}\ncritic"))
    assert recipe.optimizers["critic"].settings.betas == (0.0, 0.9)
    assert recipe.generator.settings.edge.name == "wrap"
    assert recipe.generator.settings.title == "017"
    assert read(good.replace("- ema", "- {use: ema, tags: {a: 1, no: 2}}")).modifiers[1].settings.tags == {"a": 1, "no": 2}
    assert read(good.replace("seed: 0", "device: cuda:12, clip_grad: 1")).train.clip_grad == 1.0


def test_defaults_that_are_containers_are_not_shared(read, good):
    tags = [m.settings.tags for m in read(good.replace("- {use: clip, c: 0.01}", "- ema")).modifiers]
    assert tags[0] == tags[1] == {}
    assert tags[0] is not tags[1]


def test_names_from_files(read, good):
    nameless = good.replace("name: good\n", "")
    assert read(nameless, file="wgan_paper.yaml").name == "wgan_paper"
    (problem,) = read.problems(nameless, file="my recipe.yaml")
    assert problem.startswith("my recipe.yaml:3: name: 'my recipe' cannot name a folder")


def test_a_settings_class_that_fails_is_the_plugins_fault(read, good):
    with pytest.raises(PluginError, match=r"^metric 'std/frechet' .* failed on its keys: RuntimeError: broken$"):
        read(good.replace("n: 512", "n: 666"))


def test_a_key_of_a_type_that_no_recipe_can_hold(read, good):
    @settings
    class Odd:
        what: Any = None
        odd: set[int] = frozenset()  # type: ignore[assignment]

    read.catalogue = Catalogue([*read.catalogue.plugins, Plugin("odd", "gf_odd", "", "", None, (Component("critic", "odd", "odd", Odd),))])
    assert read(good.replace("critic: {use: dcgan, width: 32}", "critic: {use: odd, what: [1, a]}")).critic.settings.what == [1, "a"]
    with pytest.raises(PluginError, match=r"Odd: a recipe cannot hold the type of the key 'odd' \(set\[int\]\); use int"):
        read(good.replace("critic: {use: dcgan, width: 32}", "critic: {use: odd, odd: [1]}"))
