# ruff: noqa: E501 (the sentences that are expected stand on one line)
"""YAML as recipes understand it: lines, traps, syntax errors, and files that are no recipes."""

from __future__ import annotations

import random

import pytest

from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe, source
from ganflow.recipe.yaml import scalar


def test_a_good_recipe(read, good):
    recipe = read(good)
    assert (recipe.name, recipe.file) == ("good", "r.yaml")
    assert recipe.data.component.qualified == "std/digits"
    assert recipe.data.settings.size == 32
    assert recipe.prior.settings.dim == 100
    assert recipe.generator.settings.width == recipe.critic.settings.width == 32
    assert {p: o.settings.lr for p, o in recipe.optimizers.items()} == {"generator": 5e-5, "critic": 5e-5}
    assert recipe.optimizers["generator"].settings is not recipe.optimizers["critic"].settings
    assert recipe.schedules == {}
    assert [m.component.name for m in recipe.modifiers] == ["clip", "ema"]
    assert recipe.modifiers[1].settings.decay == 0.999
    assert recipe.metrics[0].settings.n == 512
    assert (recipe.train.rounds, recipe.train.n_critic, recipe.train.precision) == (1000, 5, "fp32")
    assert recipe.track.mlflow is True
    assert recipe.tune is None


def test_lines_of_what_was_given(read, good):
    recipe = read(good, "train.rounds=3", "+modifiers={use: clip, c: 2}")
    assert recipe.lines["data.size"] == 4
    assert recipe.lines["modifiers[0].c"] == 11
    assert recipe.lines["modifiers[1]"] == 12
    assert recipe.lines["modifiers[2].c"] == 0
    assert recipe.lines["train.rounds"] == 0
    assert recipe.lines["train.seed"] == 13
    assert "train.keep" not in recipe.lines


def test_every_problem_at_once_by_line(read):
    text = """\
name: no
data: {use: digits, size: 4}
generator: {use: dcgan, widht: 32}
critic: {use: patc}
loss:
  use: hinge
  margin: 0
optimizer: {use: adam, lr: fast}
modifiers: {use: clip}
train: {n_critc: 5}
trian: {}
"""
    assert read.problems(text, "train.rounds=lots") == [
        "command line: train.rounds: 'lots' is not an integer",
        "r.yaml:1: name: no is not text; put it in quotes: 'no'",
        "r.yaml:2: data.size: 4 is below 8",
        "r.yaml:3: unknown key 'widht' in generator 'dcgan'; did you mean 'width'? (keys: width, edge, title)",
        "r.yaml:4: unknown critic 'patc'; did you mean 'patch'? (installed: dcgan, mlp, patch, vast)",
        "r.yaml:7: loss.margin: 0 is not above 0",
        "r.yaml:8: optimizer.lr: 'fast' is not a number",
        "r.yaml:9: modifiers: {'use': 'clip'} is not a list; begin each modifier with '- '",
        "r.yaml:10: unknown key 'n_critc' in train; did you mean 'n_critic'?",
        "r.yaml:11: unknown section 'trian'; did you mean 'train'? (sections: name, recipe_version, condition, data, prior, generator, "
        "critic, loss, optimizer, schedule, modifiers, metrics, trackers, train, track, tune)",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-5", 5e-5), ("1e3", 1000.0), ("1E+3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-0.5", -0.5), ("+3", 3), ("1_000", 1000),
        ("0", 0), ("-7", -7), ("true", True), ("False", False), ("yes", True), ("OFF", False), ("~", None), ("", None), ("NULL", None),
        ("12:30:00", "12:30:00"), ("1:30", "1:30"), ("017", "017"), ("0o17", "0o17"), ("0x1F", "0x1F"), ("0b11", "0b11"),
        ("2024-01-01", "2024-01-01"), ("nan", "nan"), ("inf", "inf"), ("1.2.3", "1.2.3"), ("e5", "e5"), ("1e", "1e"), ("٣", "٣"), ("-", "-"),
        ("1_", "1_"), (".", "."), ("y", "y"), ("=", "="), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_what_plain_values_mean(text, value):
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("data: {use: digits\nloss: x\n", "r.yaml:2: not valid YAML"),
        ("data:\n\tuse: digits\n", "r.yaml:2: a tab cannot indent YAML; use spaces"),
        ("data: [1, 2\n", "not valid YAML"),
        ("data: {use: digits, size: ${train.seed}}\n", 'r.yaml:1: not valid YAML: expected \',\' or \'}\', but got \'{\'; inside { } or [ ] a reference needs quotes: "${section.key}"'),
        ("name: 'x\n", "not valid YAML"),
        ("name: a\nname: @b\n", "r.yaml:2: not valid YAML"),
        ("name: \x00\n", "r.yaml:1: not valid YAML: the character '\\x00' cannot be in it"),
        ("a: b\nname: \"\\UFFFFFFFF\"\n", "not valid YAML: an escape"),
        ("name: \"\\ud800\"\n", "r.yaml:1: '\\ud800' holds a character that cannot be written"),
        ("a: 1\n---\nb: 2\n", "r.yaml:2: a second document ('---') begins here; a recipe is a single one"),
        ("", "r.yaml:1: the recipe is empty; `ganflow recipes copy wgan` gives one to start from"),
        ("# only a comment\n\n", "the recipe is empty"),
        ("---\n...\n", "the recipe is empty"),
        ("- a\n- b\n", "r.yaml:1: a recipe is a mapping of sections (data: …, generator: …), not a list"),
        ("hello\n", "a recipe is a mapping of sections (data: …, generator: …), not the single value 'hello'"),
        ("[" * 100000, "nested more than 20 deep"),
        ("a: " + "{b: " * 10000, "nested more than 20 deep"),
    ],
)  # fmt: skip
def test_texts_that_are_no_recipe(read, text, problem):
    assert problem in read.problem(text)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("{use: digits, size: 32}", "{use: digits, size: 32, size: 64}"), "r.yaml:4: duplicate key 'data.size' (first in line 4)"),
        (("loss:", "name: again\nloss:"), "r.yaml:8: duplicate key 'name' (first in line 3)"),
        (("width: 32}\nloss", "width: *w}\nloss"), "r.yaml:7: the alias *w is not allowed in a recipe; write the value out, or refer to it as ${section.key}"),
        (("{use: wasserstein}", "{use: wasserstein, <<: {weight: 2}}"), "r.yaml:8: merge keys (<<) are not allowed in a recipe; write the keys out"),
        (("size: 32", "size: !!int 32"), "r.yaml:4: the tag tag:yaml.org,2002:int is not allowed in a recipe; leave it out"),
        (("{use: wasserstein}", "!!python/object/apply:os.system [ls]"), "r.yaml:8: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed in a recipe; leave it out"),
        (("{use: wasserstein}", "{use: wasserstein, [1]: 2}"), "r.yaml:8: a key must be a plain word"),
        (("lr: 5.0e-5", "lr: .nan"), "r.yaml:9: optimizer.lr: .nan is not a finite number"),
        (("lr: 5.0e-5", "lr: -.inf"), "r.yaml:9: optimizer.lr: -.inf is not a finite number"),
        (("lr: 5.0e-5", "lr: 1e999"), "r.yaml:9: optimizer.lr: 1e999 is not a finite number"),
        (("lr: 5.0e-5", "betas: [.nan, 0.9]"), "r.yaml:9: optimizer.betas[0]: .nan is not a finite number"),
        (("lr: 5.0e-5", "lr: nan"), "r.yaml:9: optimizer.lr: 'nan' is not a number"),
        (("seed: 0", "seed: 9223372036854775808"), "r.yaml:13: train.seed: 9223372036854775808 does not fit into 64 bits"),
        (("seed: 0", f"seed: {'9' * 4500}"), f"r.yaml:13: train.seed: '{'9' * 49} … {'9' * 9}' is not an integer"),
        (("seed: 0", "seed: '???'"), "r.yaml:13: train.seed: '???' is not a value"),
        (("name: good", "name: ???"), "r.yaml:3: name: '???' is not a value"),
        (("modifiers:", "modifiers: !x"), "r.yaml:10: the tag !x is not allowed in a recipe; leave it out"),
    ],
)  # fmt: skip
def test_yaml_that_recipes_do_not_take(read, good, change, problem):
    assert read.problem(good.replace(*change)) == problem


def test_an_anchor_alone_is_harmless(read, good):
    assert read(good.replace("size: 32", "size: &s 32")) == read(good)


def test_byte_order_mark_and_windows_lines(read, good):
    assert read(b"\xef\xbb\xbf" + good.replace("\n", "\r\n").encode()) == read(good)


def test_not_utf8(read, good):
    data = good.replace("Something", "Stra\xdfe").encode("latin-1")
    assert read.problem(data) == "r.yaml:2: not UTF-8 text (byte 0xdf); save the file as UTF-8"


def test_files_that_cannot_be_read(read, tmp_path, catalogue, monkeypatch):
    with pytest.raises(GanflowError, match=f"^{tmp_path} is a folder, not a recipe; name a file in it$"):
        read_recipe(tmp_path, (), catalogue)
    with pytest.raises(GanflowError, match=r"^no recipe 'recipes/wgam.yaml'; did you mean 'wgan'.*ganflow recipes"):
        read_recipe("recipes/wgam.yaml", (), catalogue)
    with pytest.raises(GanflowError, match=r"^no recipe 'zzzzzzzz' "):
        read_recipe("zzzzzzzz", (), catalogue)
    with pytest.raises(GanflowError, match=r"no recipe 'a\\x00b'|'a\\x00b' cannot be a recipe's path"):
        read_recipe("a\0b", (), catalogue)
    with pytest.raises(GanflowError, match=r"^'xx.* cannot be a recipe's path: File name too long$"):
        read_recipe("x" * 5000, (), catalogue)
    (tmp_path / "big.yaml").write_text("#" * 300_000)
    with pytest.raises(GanflowError, match=r"^big.yaml is larger than 256 KiB"):
        read_recipe("big.yaml", (), catalogue)
    (tmp_path / "secret.yaml").write_text("")

    def closed(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(source, "open_regular", closed)  # root may read everything
    with pytest.raises(GanflowError, match=r"^cannot read secret.yaml: Permission denied$"):
        read_recipe("secret.yaml", (), catalogue)


def test_absolute_paths_are_shown_from_here(read, good, tmp_path, catalogue):
    (tmp_path / "b.yaml").write_text(good)
    assert read_recipe(tmp_path / "b.yaml", (), catalogue).file == "b.yaml"


def test_damaged_recipes_raise_nothing_but_our_errors(read, good):
    chance = random.Random(0)
    text = good.replace("seed: 0", 'seed: "${train.n_critic}"').encode()
    pieces = [b"${", b"}", b"{", b"[", b"*a", b"&a", b"!!", b"\t", b"\xff", b"'", b'"', b"\\U", b"- ", b": ", b"\n", b"?", b"%", b"|", b">-", b"0x", b"\x00", b"---\n"]
    refused = []
    for _ in range(250):
        data = bytearray(text)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            kind = chance.randrange(4)
            if kind == 0:
                data[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                data[at:at] = chance.choice(pieces)
            elif kind == 2:
                del data[at : at + chance.randint(1, 8)]
            else:
                data[at:at] = data[chance.randrange(len(data)) :][: chance.randint(1, 20)]
        try:
            recipe = read(bytes(data))
        except GanflowError as error:
            refused.append(str(error))
        else:
            assert read(recipe.to_yaml()) == recipe
    assert 100 < len(refused) < 250
    assert all(text.strip() and text.encode() for text in refused)
