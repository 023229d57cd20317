# ruff: noqa: E501 (the sentences that are expected stand on one line)
"""`${section.key}`: what it may refer to, and everything else that begins with `${`."""

from __future__ import annotations

import pytest


def test_values_are_taken_over_with_their_type(read, good):
    recipe = read(
        good.replace("size: 32", 'size: "${generator.width}"')
        .replace("name: good", "name: run-${train.seed}_${generator.use}")
        .replace("{use: dcgan, width: 32}\nloss", '{use: mlp, widths: "${critic.width}"}\nloss')
        .replace("use: frechet, n: 512", 'use: frechet, n: "${prior.dim}"')
    )
    assert recipe.data.settings.size == 32
    assert recipe.name == "run-0_dcgan"
    assert recipe.critic.settings.widths == 64  # the default of critic.width
    assert recipe.metrics[0].settings.n == 100


def test_lists_items_defaults_and_chains(read, good):
    text = good.replace("train:", "train: {keep: 2, accumulate: 4, threads: '${train.accumulate}', sample_every: '${train.threads}'} #")
    recipe = read(text)
    assert (recipe.train.threads, recipe.train.sample_every) == (4, 4)
    text = good.replace(
        "optimizer: {use: adam, lr: 5.0e-5}",
        "optimizer:\n  generator: {use: adam, betas: [0.1, '${modifiers[0].c}']}\n"
        "  critic: {use: '${optimizer.generator.use}', betas: '${optimizer.generator.betas}', lr: '${modifiers.1.decay}'}",
    )
    optimizer = read(text).optimizers["critic"].settings
    assert (optimizer.betas, optimizer.lr) == ((0.1, 0.01), 0.999)


def test_overrides_are_seen_and_may_refer(read, good):
    assert read(good.replace("size: 32", 'size: "${train.batch_size}"'), "train.batch_size=16").data.settings.size == 16
    assert read(good, "train.batch_size=${generator.width}").train.batch_size == 32


def test_within_a_text_a_number_is_as_it_was_written(read, good):
    text = good.replace("rounds: 1000", "rounds: 1e3").replace("width: 32}\ncritic", "width: '${train.rounds}', title: 'w${generator.width}'}\ncritic")
    settings = read(text).generator.settings
    assert (settings.width, settings.title) == (1000, "w1e3")


def test_quoted_numbers_stay_text(read, good):
    text = good.replace("width: 32}\ncritic", "title: '32', width: '${generator.title}'}\ncritic")
    assert read.problem(text) == "r.yaml:6: generator.width: '32' is not an integer; leave out the quotes"


def test_the_value_must_fit_its_new_place(read, good):
    assert read.problem(good.replace("seed: 0", "seed: '${optimizer.lr}'")) == "r.yaml:13: train.seed: 5.0e-5 is not an integer"
    assert read.problem(good.replace("seed: 0", "keep: '${train.seed}'")) == "r.yaml:13: train.keep: 0 is below 1"


def test_a_value_that_is_wrong_is_so_where_it_is_written(read, good):
    """Whatever refers to it, by another reference and within a list, too."""
    text = (
        good.replace("size: 32", "size: '${train.rounds}'")
        .replace("width: 32}\ncritic", "width: '${data.size}'}\ncritic")
        .replace("adam, lr: 5.0e-5", "adam, betas: [0.5, '${train.rounds}']")
    )
    assert read.problem(text, "train.rounds=five") == "command line: train.rounds: 'five' is not an integer"
    assert read.problem(text, "train.rounds=-5") == "command line: train.rounds: -5 is below 1"
    assert read.problem(text, "train.rounds=[5") == "command line: train.rounds: not valid YAML: expected ',' or ']', but got '<stream end>'"
    assert read.problem(text, "train.rounds=7") == "r.yaml:4: data.size: 7 is below 8"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("${oc.env:HOME}", "'${oc.env:HOME}': after '${' only a reference like ${train.rounds} is understood"),
        ("${oc.env.HOME}", "${oc.env.HOME}: there is no 'oc' in the recipe"),
        ("${}", "'${}': after '${' only a reference like ${train.rounds} is understood"),
        ("${ train.seed }", "'${ train.seed }': after '${' only a reference like ${train.rounds} is understood"),
        ("${.seed}", "'${.seed}': after '${' only a reference like ${train.rounds} is understood"),
        ("${train.seed", "'${train.seed': after '${' only a reference like ${train.rounds} is understood"),
        ("${train.${name}}", "'${train.${name}}': after '${' only a reference like ${train.rounds} is understood"),
        ("\\${train.seed}", "'\\\\${train.seed}': a reference cannot be escaped; a value cannot contain '${' as plain text"),
        ("\\\\${train.seed}", "'\\\\\\\\${train.seed}': a reference cannot be escaped; a value cannot contain '${' as plain text"),
        ("${train.sed}", "${train.sed}: there is no 'train.sed' in the recipe; did you mean 'seed'?"),
        ("${schedule.start}", "${schedule.start}: there is no 'schedule' in the recipe"),
        ("${train..seed}", "${train..seed}: there is no 'train..seed' in the recipe; did you mean 'train'?"),
        ("${modifiers[7].c}", "${modifiers[7].c}: there is no 'modifiers[7]' in the recipe"),
        ("${train.seed.x}", "${train.seed.x}: there is no 'train.seed.x' in the recipe"),
        ("${critic}", "${critic} is more than a value; refer to one of its keys"),
        ("${modifiers}", "${modifiers} is more than a value; refer to one of its keys"),
        ("a${optimizer.betas}", "${optimizer.betas} is a list and cannot be part of a text"),
        ("a${train.clip_grad}", "${train.clip_grad} is null and cannot be part of a text"),
        ("${generator.title}", "references go round in a circle: generator.title → generator.title"),
        ("x${train.device}", "references go round in a circle: generator.title → train.device → generator.title"),
    ],
)  # fmt: skip
def test_mistakes_in_references(read, good, value, problem):
    text = good.replace("width: 32}\ncritic", f"title: '{value}'}}\ncritic").replace("seed: 0", "device: '${generator.title}'")
    expected = [f"r.yaml:6: generator.title: {problem}"]
    assert read.problems(text) == expected


def test_references_cannot_be_put_together(read, good):
    text = good.replace("width: 32}\ncritic", "title: '$'}\ncritic").replace("seed: 0", "device: '${generator.title}{oc.env:HOME}'")
    assert read.problem(text) == "r.yaml:13: train.device: '${oc.env:HOME}': references cannot be put together from pieces"


def test_endless_growth_is_refused(read, good):
    above = "tune:\n  space:\n"
    keys = "".join(f"    k{i}: '${{tune.space.k{i - 1}}}${{tune.space.k{i - 1}}}'\n" for i in range(1, 40))
    problem = read.problem(good + above + "    k0: abcdefgh\n" + keys)
    assert problem == "r.yaml:24: tune.space.k7: with its references filled in, the text is longer than 1000 characters"
    keys = "".join(f"    k{i}: '${{tune.space.k{i + 1}}}'\n" for i in range(2000))
    assert "a chain of more than 50 references" in read.problems(good + above + keys + "    k2000: 1\n")[0]
    nested = above + "    a: [1, 2]\n    b: ['${tune.space.a}', '${tune.space.a}']\n    c: '${tune.space.b}'\n"
    assert read(good + nested.replace("    c: '${tune.space.b}'\n", "")).tune.space["b"] == [[1, 2], [1, 2]]
    assert read.problem(good + nested) == "r.yaml:19: tune.space.c: ${tune.space.b} is more than a value; refer to one of its keys"


def test_an_unknown_components_keys_are_not_missed(read, good):
    text = good.replace("critic: {use: dcgan", "critic: {use: dcgn").replace("seed: 0", "keep: '${critic.edge}'")
    assert read.problem(text) == "r.yaml:7: unknown critic 'dcgn'; did you mean 'dcgan'? (installed: dcgan, mlp, patch, vast)"


def test_a_mistake_that_is_referred_to_is_told_once(read, good):
    text = good.replace("lr: 5.0e-5", "lr: .nan").replace("c: 0.01", "c: '${optimizer.lr}'")
    assert read.problem(text) == "r.yaml:9: optimizer.lr: .nan is not a finite number"


def test_dollars_without_braces_are_text(read, good):
    assert read(good.replace("width: 32}\ncritic", "title: '$5 {a}'}\ncritic")).generator.settings.title == "$5 {a}"
