"""Recipes that extend another."""

import copy
import pickle

import pytest

from ganflow.errors import GanflowError, RecipeError
from ganflow.recipe import read_recipe
from ganflow.recipe.sections import SECTIONS
from ganflow.recipe.stages import read_stages
from ganflow.recipe.yaml import Line


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes recipes, by their names, in an empty folder that is the one of now."""
    monkeypatch.chdir(tmp_path)

    def write(**texts):
        for name, text in texts.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return write


def problems(file):
    with pytest.raises(RecipeError) as refused:
        read_recipe(file)
    return str(refused.value).splitlines()


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("", []),
        ("train: {rounds: 77}", ["train.rounds=77"]),
        ("critic: mlp", ["critic=mlp"]),
        ("critic: {use: mlp, width: 32}", ["critic.use=mlp", "critic.width=32"]),
        ("critic: {use: dcgan, norm: batch}", ["critic.norm=batch"]),
        ("optimizer: {lr: 0.5}", ["optimizer.lr=0.5"]),
        ("optimizer: {critic: {lr: 0.5}}", ["optimizer.critic.lr=0.5"]),
        ("optimizer: {generator.model: {use: sgd, lr: 1.0}}", ["optimizer.generator.model={use: sgd, lr: 1.0}"]),
        ("schedule: null", ["schedule=null"]),
        (
            "critic: null\nloss: elbo\nmodifiers: []\ngenerator: mlp_autoencoder",
            ["~critic", "loss=elbo", "modifiers=[]", "generator=mlp_autoencoder"],
        ),
        ("modifiers: []", ["modifiers=[]"]),
        ("+modifiers: [r1, {use: r2, weight: 0.5}]", ["+modifiers=r1", "+modifiers={use: r2, weight: 0.5}"]),
        ("+metrics: modes", ["+metrics=modes"]),
        ("tune: {space: {optimizer.lr: {uniform: [0.1, 0.2]}}}", ["tune.space.optimizer.lr={uniform: [0.1, 0.2]}"]),
        ("tune: {space: {optimizer.lr: null}, resources: {gpus: 1}}", ["tune.space.optimizer.lr=null", "tune.resources.gpus=1"]),
        ("train: {batch_size: '${train.rounds}'}", ["train.batch_size=${train.rounds}"]),
        ("loss: {use: minimax, label_smoothing: 0.1}", ["loss={use: minimax, label_smoothing: 0.1}"]),
    ],
)
def test_each_key_is_an_override(files, text, overrides):
    files(mine=f"extends: wgan\n{text}\n")
    assert read_recipe("mine.yaml") == read_recipe("wgan", [*overrides, "name=mine"])


def test_a_chain_of_files_and_the_command_line_last(files):
    files(below__first="extends: wgan\ntrain: {rounds: 5, seed: 1}\n", below__second="extends: first.yaml\ntrain: {seed: 2}\n")
    files(mine="extends: below/second.yaml\nname: other\ntrain: {keep: 9}\n")
    recipe = read_recipe("mine.yaml", ["train.keep=7"])
    assert (recipe.name, recipe.train.rounds, recipe.train.seed, recipe.train.keep) == ("other", 5, 2, 7)
    assert "extends" not in recipe.resolved()
    files(whole=recipe.to_yaml())
    assert read_recipe("whole.yaml") == recipe


def test_a_recipe_of_the_same_name_as_one_that_comes_with_ganflow(files):
    files(wgan="extends: wgan\ntrain: {rounds: 3}\n")
    assert read_recipe("wgan.yaml").train.rounds == 3


def test_sections_and_stages_extend_too(files):
    assert read_recipe({"extends": "wgan", "train": {"rounds": 3}}).train.rounds == 3
    files(both="stages:\n- {extends: wgan, name: a}\n- {extends: wgan, name: b, train: {seed: 4}}\n")
    assert [(recipe.name, recipe.train.seed) for recipe in read_stages("both.yaml").recipes] == [("a", 0), ("b", 4)]


def test_mistakes_are_where_they_were_made(files):
    files(base="extends: wgan\ntrain:\n  rounds: 0\n", mine="\nextends: base.yaml\ntrain: {epochs: 3}\n~critic: x\n+train: 3\n")
    assert problems("mine.yaml") == [
        "base.yaml:3: train.rounds: 0 is below 1",
        "mine.yaml:3: unknown key 'epochs' in train; did you mean 'rounds'?",
        f"mine.yaml:4: unknown section '~critic'; did you mean 'critic'? (sections: {', '.join(SECTIONS)})",
        "mine.yaml:5: +train: only modifiers, metrics, trackers can be appended to",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("extends: mine.yaml", "mine.yaml:1: extends: mine.yaml → mine.yaml is a circle"),
        ("a: 1\nextends: other.yaml", "other.yaml:2: extends: mine.yaml → other.yaml → mine.yaml is a circle"),
        ("extends: wgna", "mine.yaml:1: extends: no recipe 'wgna'; did you mean 'wgan'? (`ganflow recipes` lists"),
        ("extends: none.yaml", "mine.yaml:1: extends: no recipe 'none.yaml' ("),
        ("extends: ../stranger.yaml", "mine.yaml:1: extends: '../stranger.yaml' is not in the recipe's folder or below it"),
        ("extends: link.yaml", "mine.yaml:1: extends: 'link.yaml' is not in the recipe's folder or below it"),
        ("extends: linked/recipe.yaml", "mine.yaml:1: extends: 'linked/recipe.yaml' is not in the recipe's folder or below it"),
        ("extends: {root}/elsewhere/recipe.yaml", "is not in the recipe's folder or below it; put a copy there"),
        ("extends: [wgan]", "mine.yaml:1: extends: ['wgan'] is not a recipe; name one"),
        ("extends:", "mine.yaml:1: extends: null is not a recipe"),
        ("extends: stackgan_birds", "mine.yaml:1: extends: a recipe with stages neither extends another nor is extended"),
        ("extends: list.yaml", "list.yaml:1: a recipe is a mapping of sections"),
        ('extends: "a\\0b"', "mine.yaml:1: extends: no recipe 'a\\x00b'"),
        (f"extends: {'x' * 5000}", "mine.yaml:1: extends: no recipe 'xxx"),
        ("extends: wgan\nextends: gan", "mine.yaml:2: duplicate key 'extends' (first in line 1)"),
    ],
)
def test_what_cannot_be_extended_is_a_sentence(files, tmp_path, monkeypatch, text, problem):
    files(home__mine=text.replace("{root}", str(tmp_path)), elsewhere__recipe="extends: wgan", stranger="extends: wgan")
    files(home__other="\nextends: mine.yaml", home__list="- 1")
    (tmp_path / "home" / "link.yaml").symlink_to(tmp_path / "stranger.yaml")
    (tmp_path / "home" / "linked").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "home")
    assert any(problem in said for said in problems("mine.yaml"))


def test_a_long_chain_ends(files):
    files(**{f"r{n}": f"extends: r{n + 1}.yaml" for n in range(30)}, r30="extends: wgan")
    assert problems("r0.yaml") == ["r19.yaml:1: extends: a chain of more than 20 recipes"]


def test_not_on_the_command_line():
    with pytest.raises(GanflowError, match="unknown section 'extends'; it goes into a file, and is no change"):
        read_recipe("wgan", ["extends=gan"])


def test_lines_of_other_files_are_copied_with_them():
    line = Line(3, "other.yaml")
    assert [(each, each.file) for each in (copy.deepcopy(line), pickle.loads(pickle.dumps(line)))] == [(3, "other.yaml")] * 2
