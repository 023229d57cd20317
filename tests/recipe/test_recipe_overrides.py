# ruff: noqa: E501 (the sentences that are expected stand on one line)
"""What the command line changes."""

from __future__ import annotations

import pytest

from ganflow.errors import RecipeError
from ganflow.recipe.overrides import assignments, is_override, split
from ganflow.recipe.sections import Train
from ganflow.recipe.source import draft
from ganflow.recipe.values import steps

PLAYERS = ("optimizer: {use: adam, lr: 5.0e-5}", "optimizer:\n  generator: {use: adam, lr: 5.0e-5}\n  critic: {use: sgd, lr: 1}")


def lr(recipe):
    return {player: (o.component.name, o.settings.lr) for player, o in recipe.optimizers.items()}


def test_keys_are_set(read, good):
    recipe = read(
        good, "train.rounds=7", "optimizer.lr=1e-4", "modifiers[0].c=0.5", "modifiers.1.decay=0.9", "name=other", "optimizer.betas=[0, 0.9]",
        "generator.title='a=b'", "train.clip_grad=null", "track.mlflow=no", "generator.width=8", "generator.width=9",
    )  # fmt: skip
    assert (recipe.train.rounds, recipe.name, recipe.train.clip_grad, recipe.track.mlflow) == (7, "other", None, False)
    assert recipe.generator.settings.width == 9
    assert recipe.generator.settings.title == "a=b"
    assert lr(recipe) == {"generator": ("adam", 1e-4), "critic": ("adam", 1e-4)}
    assert recipe.optimizers["critic"].settings.betas == (0.0, 0.9)
    assert [recipe.modifiers[0].settings.c, recipe.modifiers[1].settings.decay] == [0.5, 0.9]


def test_null_gives_a_key_its_default_again_where_it_can_be_no_null(read, good, catalogue):
    recipe = read(good, "train.rounds=null", "generator.width=null", "train.clip_grad=null", "critic=null", "train.keep=null")
    assert (recipe.train.rounds, recipe.generator.settings.width) == (Train().rounds, read(good, "~generator.width").generator.settings.width)
    assert (recipe.train.clip_grad, recipe.critic, recipe.train.keep) == (None, None, Train().keep)
    assert "rounds" not in draft("r.yaml", ["train.rounds=null"], catalogue).to_yaml(catalogue)


def test_a_switched_component_keeps_the_command_lines_keys_only(read, good):
    for switch in ("critic.use=mlp", "critic=mlp"):
        assert read(good, switch).critic.settings.width == 64
        assert read(good, switch, "critic.width=8").critic.settings.width == 8
        assert read(good, "critic.width=8", switch).critic.settings.width == 8
    assert read(good, "critic={use: mlp, bias: no}").critic.settings.bias is False
    assert read(good, "critic.use=dcgan").critic.settings.width == 32  # no switch at all
    assert read(good, "critic.use=std/dcgan").critic.settings.width == 32
    assert read(good, "critic=dcgan").critic.settings.width == 32
    assert read(good, "modifiers[0]=ema").modifiers[0].settings.decay == 0.999
    assert read(good, "modifiers[0].use=ema").modifiers[0].component.name == "ema"
    assert read(good, "critic.use=mlp", "critic.use=patch").critic.component.name == "patch"


def test_a_mapping_without_a_component_changes_its_keys_and_no_others(read, good):
    recipe = read(
        good, "train.batch_size=8", "train.rounds=4", "train={rounds: 3, clip_grad: 0.5}", "critic={width: 5}", "optimizer={lr: 0.25}",
        "modifiers[0]={c: 0.75}", "track={mlflow: no}",
    )  # fmt: skip
    assert (recipe.train.batch_size, recipe.train.rounds, recipe.train.clip_grad) == (8, 3, 0.5)
    assert (recipe.critic.component.name, recipe.critic.settings.width) == ("dcgan", 5)
    assert lr(recipe) == {"generator": ("adam", 0.25), "critic": ("adam", 0.25)}
    assert (recipe.modifiers[0].component.name, recipe.modifiers[0].settings.c) == ("clip", 0.75)
    assert lr(read(good.replace(*PLAYERS), "optimizer={lr: 0.25}")) == {"generator": ("adam", 0.25), "critic": ("sgd", 0.25)}
    parts = read(good, "optimizer={generator: {use: adam, lr: 1}, critic: {use: sgd, lr: 2}}")
    assert lr(parts) == {"generator": ("adam", 1), "critic": ("sgd", 2)}


def test_bare_names_take_keys(read, good):
    text = good.replace("{use: normal, dim: 100}", "normal")
    assert read(text, "prior.dim=3").prior.settings.dim == 3
    assert read(good.replace("prior: {use: normal, dim: 100}\n", ""), "prior=normal", "prior.dim=3").prior.settings.dim == 3


def test_parts_are_set(read, good):
    text = good.replace("{use: wasserstein}", "cycle")
    recipe = read(text, "loss.adversarial.use=hinge", "loss.adversarial.margin=3", "loss.extra=wasserstein")
    assert (recipe.loss.settings.adversarial.margin, recipe.loss.settings.extra.weight) == (3.0, 1.0)


def test_lists_are_changed(read, good):
    def names(*overrides):
        return [m.component.name for m in read(good, *overrides).modifiers]

    assert names("+modifiers={use: ema, decay: 0.5}") == ["clip", "ema", "ema"]
    assert names("+modifiers=clip", "+modifiers=ema") == ["clip", "ema", "clip", "ema"]
    assert names("+modifiers=[clip, {use: ema}]") == ["clip", "ema", "clip", "ema"]
    assert names("modifiers=[ema]") == ["ema"]
    assert names("modifiers=[]") == names("~modifiers") == names("modifiers=null") == []
    assert names("~modifiers[0]") == ["ema"]
    assert names("~modifiers[0]", "~modifiers[1]") == []
    assert names("~modifiers[0]", "modifiers[1].decay=0.7") == ["ema"]
    recipe = read(good, "modifiers[2].c=3", "+modifiers=clip")
    assert recipe.modifiers[2].settings.c == 3.0
    assert len(read(good.replace("metrics:", "#"), "+metrics=frechet").metrics) == 1


def test_sections_and_keys_are_removed(read, good):
    for override in ("~critic", "critic=null", "critic="):
        recipe = read(good.replace(*PLAYERS) + "schedule: {critic: linear}\n", override)
        assert recipe.critic is None
        assert lr(recipe) == {"generator": ("adam", 5e-5)}
        assert recipe.schedules == {}
    assert read(good, "~prior").prior is None
    assert read(good, "~generator.width").generator.settings.width == 64
    assert read(good, "~train").train.rounds == 1000


def test_players_optimizers(read, good):
    both = good.replace(*PLAYERS)
    assert lr(read(both, "optimizer.lr=2")) == {"generator": ("adam", 2.0), "critic": ("sgd", 2.0)}
    assert lr(read(both, "optimizer.critic.lr=2")) == {"generator": ("adam", 5e-5), "critic": ("sgd", 2.0)}
    assert lr(read(both, "optimizer.use=adam")) == {"generator": ("adam", 5e-5), "critic": ("adam", 2e-4)}
    assert lr(read(both, "optimizer=sgd")) == {"generator": ("sgd", 0.1), "critic": ("sgd", 0.1)}
    assert lr(read(good, "optimizer.critic.lr=2")) == {"generator": ("adam", 5e-5), "critic": ("adam", 2.0)}
    assert lr(read(good, "optimizer.critic=sgd")) == {"generator": ("adam", 5e-5), "critic": ("sgd", 0.1)}
    assert lr(read(good, "optimizer.lr=3", "optimizer.critic.lr=2")) == {"generator": ("adam", 3.0), "critic": ("adam", 2.0)}
    assert list(read(good, "schedule.critic=linear").schedules) == ["critic"]
    assert lr(read(good, "~critic", "optimizer.generator.lr=2")) == {"generator": ("adam", 2.0)}


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("train.rounds=lots", "train.rounds: 'lots' is not an integer"),
        ("train.n_critc=1", "unknown key 'n_critc' in train; did you mean 'n_critic'?"),
        ("critic.use=patc", "unknown critic 'patc'; did you mean 'patch'? (installed: dcgan, mlp, patch, vast)"),
        ("critic.height=1", "unknown key 'height' in critic 'dcgan' (keys: width, edge, title)"),
        ("train.device=", "train.device: null is not text"),
        ("name=???", "name: '???' is not a value"),
        ("data={use: folder, path: no}", "data.path: no is not text; put it in quotes: 'no'"),
        ("train.rounds=5 # five", "train.rounds: '5 # five' is not an integer"),
        ("train.rounds=[5", "train.rounds: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("train={rounds: 5, rounds: 6}", "duplicate key 'train.rounds'"),
        ("+metrics=[frechet", "metrics: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("condition=[label", "condition: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("modifiers[1].tags={a: 1, a: 2}", "duplicate key 'modifiers[1].tags.a'"),
        ("optimizer.lr='1", "optimizer.lr: not valid YAML: found unexpected end of stream"),
        ('name="\\ud800"', "name: '\\ud800' holds a character that cannot be written"),
        ("name=a\udcff", r"name: not valid YAML: the character '\udcff' cannot be in it"),
        ("optimizer.lr=nan", "optimizer.lr: 'nan' is not a number"),
        ("optimizer.lr=.nan", "optimizer.lr: .nan is not a finite number"),
        ("optimizer.lr=-1", "optimizer.lr: -1 is not above 0"),
        ("data=folder", "missing key 'path' in data 'folder' (folder of images)"),
        ("prior={use: normal, dim: 1, dim: 2}", "duplicate key 'prior.dim'"),
        ("prior={use: normal", "prior: not valid YAML: expected ',' or '}', but got '<stream end>'"),
        ("prior=*x", "the alias *x is not allowed in a recipe; write the value out, or refer to it as ${section.key}"),
        ("train.rounds", "'train.rounds' has no value; write train.rounds=VALUE"),
        ("=3", "'=3' is not an override; write key=value, +list=item or ~key"),
        ("train..rounds=3", "'train..rounds=3' is not an override; write key=value, +list=item or ~key"),
        ("modifiers[x].c=3", "'modifiers[x].c=3' is not an override; write key=value, +list=item or ~key"),
        ("modifiers[-1].c=3", "'modifiers[-1].c=3' is not an override; write key=value, +list=item or ~key"),
        ("~critic=3", "'~critic=3' is not an override; write key=value, +list=item or ~key"),
        ("~data", "~data: every recipe needs data"),
        ("data=null", "data: the section is empty; every recipe needs data"),
        ("~schedule", "~schedule: the recipe has no such key"),
        ("~train.keep", "~train.keep: the recipe has no such key"),
        ("~optimizer.critic", "~optimizer.critic: the recipe has no such key"),
        ("modifiers[2].c=3", "there is no modifiers[2] (items: 2); to append, write +modifiers=…"),
        ("~modifiers[5]", "there is no modifiers[5] (items: 2); to append, write +modifiers=…"),
        ("modifiers.c=3", "modifiers is a list; write modifiers[0].c for its first item"),
        ("modifiers.use=ema", "modifiers is a list; write modifiers[0].use for its first item"),
        ("+train=3", "+train: train is not a list"),
        ("+modifiers=3", "modifiers[2]: 3 is not a section; write {use: name} (installed: clip, ema)"),
        ("train.rounds.x=3", "train.rounds.x: train.rounds is a single value and has no keys"),
        ("train.device.x=3", None),
        ("optimizer.lr.x=3", "optimizer.lr.x: optimizer.lr is a single value and has no keys"),
        ("use=3", None),
        ("trian.rounds=3", "unknown section 'trian'; did you mean 'train'? (sections: name, recipe_version, condition, data, prior, generator, "
         "critic, loss, optimizer, schedule, modifiers, metrics, trackers, train, track, tune)"),
        ("schedule.start=0.5", "missing key 'use' in schedule: which schedule? (installed: linear)"),
        ("schedule[0].c=1", "there is no schedule[0]; to begin a list, write +schedule=…"),
    ],
)  # fmt: skip
def test_mistakes_on_the_command_line(read, good, override, problem):
    printed = read.problem(good, override)
    assert printed.startswith("command line: ")
    if problem is not None:
        assert printed == f"command line: {problem}"


TEXTS = {
    "photos #1": "photos #1", "2024": "2024", "1e-4": "1e-4", "007": "007", "20240101123456789012": "20240101123456789012",
    "no": "no", "null": "null", "~": "~", "~nobody/x": "~nobody/x", ".nan": ".nan", "#1": "#1", " a ": " a ",
    "a: b": "a: b", "- a": "- a", "[2024] trip": "[2024] trip", "[2024]": "[2024]", "{a}": "{a}", "{a": "{a", "*x": "*x", "!x": "!x", "&x": "&x",
    "it's": "it's", "'tis": "'tis", "'a' and 'b'": "'a' and 'b'", "'a' #b": "'a' #b", "a=b": "a=b", "a, b": "a, b", "%x": "%x", "@x": "@x", "`x`": "`x`",
    "|": "|", "a\tb": "a\tb", "a\nb": "a\nb", "a\u2028b": "a\u2028b", "C:\\new": "C:\\new", "---": "---",
    "'2024'": "2024", '"photos #1"': "photos #1", '"a\\tb"': "a\tb", "'it''s'": "it's", "''": "", "${train.seed}-a": "0-a", "${train.seed}": "0",
}  # fmt: skip
"""What is typed for a key of text, and the text that it means."""


@pytest.mark.parametrize("typed", TEXTS)
def test_a_key_of_text_takes_what_was_typed(read, good, typed):
    recipe = read(good, "data=folder", f"data.path={typed}")
    assert recipe.data.settings.path == TEXTS[typed]
    assert read(recipe.to_yaml()) == recipe


@pytest.mark.parametrize("typed", TEXTS)
def test_it_stays_what_it_was_where_a_sweep_writes_its_recipe(read, good, typed, catalogue):
    read(good)
    text = draft("r.yaml", ["data=folder", f"data.path={typed}", "train.rounds=2"], catalogue).to_yaml(catalogue)
    again = read(text)
    assert (again.data.settings.path, again.train.rounds) == (TEXTS[typed], 2)


def test_other_keys_take_yaml(read, good):
    recipe = read(good, "critic=mlp", "critic.dropout=1e-1", "critic.bias=no", "critic.widths=[1, 2]", "critic.norm=on", "generator=use: mlp",
                  "generator.dropout= null", "modifiers[1].tags={a: 1}", "train.best=2024", "train.start_from=null")  # fmt: skip
    critic = recipe.critic.settings
    assert (critic.dropout, critic.bias, critic.widths, critic.norm) == (0.1, False, [1, 2], "on")
    assert (recipe.generator.component.name, recipe.generator.settings.dropout) == ("mlp", None)
    assert recipe.modifiers[1].settings.tags == {"a": 1}
    assert (recipe.train.best, recipe.train.start_from) == ("2024", None)


def test_a_reference_to_what_was_typed(read, good):
    recipe = read(good.replace("{use: dcgan, width: 32}", '{use: dcgan, width: 32, title: "${data.path}"}', 1), "data=folder", "data.path=2024")
    assert recipe.generator.settings.title == recipe.data.settings.path == "2024"
    recipe = read(good, "train.seed=7", "name=${train.seed}", "generator.title=${train.seed}")
    assert (recipe.train.seed, recipe.name, recipe.generator.settings.title) == (7, "7", "7")


def test_a_reference_in_a_sweeps_recipe(read, good, catalogue):
    read(good)
    text = draft("r.yaml", ["train.seed=7", "generator.title=${train.seed}"], catalogue).to_yaml(catalogue)
    assert (read(text).train.seed, "${train.seed}" in text) == (7, True)


def test_values_without_a_recipe():
    assert assignments(["a.b=photos #1", "c=1e-4", "d={use: x}", "e='2'"]) == {
        "a.b": "photos #1", "c": 1e-4, "d": {"use": "x"}, "e": "2"}  # fmt: skip
    with pytest.raises(RecipeError, match="arguments: f: not valid YAML"):
        assignments(["f=[1"])


def test_the_optimizer_of_a_removed_critic(read, good):
    assert read.problem(good, "~critic", "optimizer.critic.lr=1") == "command line: optimizer.critic: the recipe has no critic; remove this"


def test_which_arguments_are_overrides():
    recipes = ["wgan", "recipes/a=b.yaml", "./x=y.yaml", "~/recipes/wgan.yaml", "wgan.yaml", "~user/x=1"]
    overrides = ["train.start_from=runs/a/b", "+modifiers=ema", "~critic", "data.path=/x=y"]
    assert split([*recipes, *overrides]) == (recipes, overrides)
    assert not is_override("+x")


def test_paths():
    assert steps("modifiers[0].c") == steps("modifiers.0.c") == ["modifiers", 0, "c"]
    assert steps("train") == ["train"]
    for bad in ("", ".", "a.", "a..b", "0.a", "a[b]", "a[0", "a b", "a[-1]", "ä", "a" * 600):
        assert steps(bad) is None
