"""What other programs call things: every hint can be typed, and none leads astray."""

import shlex
from pathlib import Path

import pytest

from ganflow import synonyms
from ganflow.cli.main import COMMANDS
from ganflow.contract.settings import keys
from ganflow.plugins import load_catalogue
from ganflow.recipe import find_shipped, read_recipe
from ganflow.recipe.sections import MANY, SECTIONS, Track, Train, Tune

OWN = {"train": Train, "track": Track, "tune": Tune}


def exists(target):
    """Tell whether a section, a key, a value or a component of the tables is there."""
    if target in synonyms.OPTIONS:
        return True  # see tests/cli/test_hints_typed.py
    plain, _, value = target.partition("=")
    section, _, key = plain.removeprefix("+").partition(".")
    section = section.removesuffix("s") if section in MANY else section
    if not key:
        return load_catalogue().find(section, value).name == value if value else plain in SECTIONS
    if value:
        return read_recipe("wgan", [target]).lines[plain] == 0
    key = key.rpartition(".")[2]
    classes = [OWN[section]] if section in OWN else [c.settings for c in load_catalogue().components() if c.role == section]
    return any(key == each.name for cls in classes for each in keys(cls))


@pytest.mark.parametrize("word", synonyms.WORDS)
def test_every_word_means_something_that_is_there(word):
    assert synonyms.normal(word) == word
    assert all(exists(part) for target in synonyms.WORDS[word] for part in target.split())


def test_every_command_and_recipe_is_there():
    for word, targets in synonyms.COMMANDS.items():
        assert word not in COMMANDS
        assert all(target.partition(" ")[0] in (*COMMANDS, "--version") for target in targets)
    for targets in synonyms.RECIPES.values():
        assert all(find_shipped(target).name == target for target in targets)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("discriminator=dcgan", "unknown section 'discriminator'; did you mean 'critic'?"),
        ("optimizer.discriminator.lr=1", "there is no 'discriminator' in optimizer; did you mean 'critic'?"),
        ("epochs=3", "unknown section 'epochs'; that is train.rounds here"),
        ("train.epochs=3", "unknown key 'epochs' in train; did you mean 'rounds'?"),
        ("train.steps=3", "unknown key 'steps' in train; did you mean 'rounds'?"),
        ("iterations=3", "that is train.rounds here"),
        ("batch_size=3", "that is train.batch_size here"),
        ("train.batch=3", "did you mean 'batch_size'?"),
        ("lr=3", "that is optimizer.lr here"),
        ("train.lr=3", "unknown key 'lr' in train; that is optimizer.lr here"),
        ("optimizer.learning_rate=3", "did you mean 'lr'?"),
        ("optimizer.lr_d=3", "that is optimizer.critic.lr here"),
        ("prior.nz=3", "unknown key 'nz' in prior 'normal'; did you mean 'dim'?"),
        ("generator.z_dim=3", "that is prior.dim here"),
        ("generator.ngf=3", "did you mean 'width'?"),
        ("critic.ndf=3", "did you mean 'width'?"),
        ("train.gpu=true", "that is train.device=cuda here"),
        ("train.precision=fp16", "did you mean 'bf16'?"),
        ("loss=bce", "unknown loss 'bce'; did you mean 'non_saturating' or 'minimax'?"),
        ("loss=wgan-gp", "that is loss=wasserstein '~modifiers[0]' '+modifiers=gradient_penalty' here"),
        ("data=cifar10", "unknown data 'cifar10'; recipes with such data: hub_cifar10 (ganflow recipes show hub_cifar10) ("),
        ("data=lsun", "did you mean 'image_folder' or 'hub'?"),
        ("data.root=x", "unknown key 'root' in data 'digits'; that is data=image_folder here"),
        ("data={use: image_folder, root: x}", "did you mean 'path'?"),
        ("ema=0.99", "that is modifiers[1] here, which is there: set modifiers[1].decay"),
        ("train.ema=0.99", "that is modifiers[1] here, which is there: set modifiers[1].decay"),
        ("train.num_workers=3", "did you mean 'threads'?"),
        ("train.wandb=true", "that is '+trackers=wandb' here"),
        ("train.checkpoint=3", "did you mean 'checkpoint_every' or 'start_from'?"),
        ("loss=gradient_penalty", "that is the name of a modifier"),
        ("+modifiers=wgan-gp", "unknown modifier 'wgan-gp'; did you mean 'gradient_penalty'?"),
        ("+metrics=fid", "did you mean 'frechet'?"),
        ("data=images", "unknown data 'images'; did you mean 'image_folder'?"),
        ("generator=StyleGAN2", "did you mean 'style'?"),
    ],
)
def test_hints_in_recipes(command, arguments, hint):
    assert hint in command.refused("check", "wgan", arguments)


@pytest.mark.parametrize(
    "arguments", ["+modifiers=r3", "critic=discriminator", "train.precision=fp8", "generator={use: affine, ngf: 3}"]
)
def test_nothing_that_leads_astray(command, arguments):
    said = command.refused("check", "wgan", arguments)
    assert "did you mean" not in said
    assert " here" not in said


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("train wgan", "unknown command 'train'; did you mean 'run'?"),
        ("trian wgan", "unknown command 'trian'; did you mean 'run'?"),
        ("rm latest", "did you mean 'runs rm'?"),
        ("sweep", "did you mean 'tune' or 'sweeps'?"),
        ("wgan", "unknown command 'wgan'; did you mean 'run wgan'?"),
        ("'my net.yaml'", "did you mean 'run 'my net.yaml''?"),
        ("run wgan --epochs 3", "unrecognized arguments: --epochs 3; that is train.rounds=… here, without dashes"),
        ("run wgan --batch-size=3", "that is train.batch_size=… here"),
        ("run wgan --gpu", "that is train.device=cuda here"),
        ("run wgan --ruins there", "did you mean --runs?"),
        ("run wgan-gp", "no recipe 'wgan-gp'; did you mean 'wgan_gp'?"),
        ("run horse2zebra", "did you mean 'cyclegan_horses' or 'hub_horse2zebra'?"),
        ("recipes wgan", "did you mean 'recipes show wgan'?"),
        ("recipes shwo wgan", "did you mean show?"),
        ("plugins wgan", "did you mean 'plugins show wgan'?"),
        ("plugins critic/mlp", "did you mean 'plugins show critic/mlp'?"),
        ("plugins show fid", "no component or plugin 'fid'; did you mean 'frechet'?"),
    ],
)
def test_hints_on_the_command_line(command, arguments, hint):
    assert hint in command.refused(*shlex.split(arguments))


@pytest.mark.parametrize("arguments", ["recipes delete", "plugins fidd", "runs latest", "sweeps latest"])
def test_nothing_that_is_not_there_to_be_shown(command, arguments):
    assert "did you mean" not in command.refused(*arguments.split())


def test_runs_that_are_there_to_be_shown(command):
    run = Path("runs/tiny/20261201-093000-abcd")
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"id": "20261201-093000-abcd", "name": "tiny"}')
    assert "did you mean 'runs show latest'?" in command.refused("runs", "latest")


@pytest.mark.parametrize(
    ("recipe", "advice"),
    [
        ("wgan", ["loss=wasserstein", "~modifiers[0]", "+modifiers=gradient_penalty"]),
        ("gan", ["loss=wasserstein", "+modifiers=gradient_penalty"]),
        ("wgan_gp", ["loss=wasserstein"]),
    ],
)
def test_what_wgan_gp_is_beside_other_modifiers(command, recipe, advice):
    typed = " ".join(change if change[0].isalpha() else f"'{change}'" for change in advice)
    assert f"; that is {typed} here (installed" in command.refused("check", recipe, "loss=wgan-gp")
    code, out, err = command("check", recipe, *advice)
    assert (code, out, "warning" in err) == (0, f"{recipe}: ok\n", False)


def test_two_modifiers_one_of_which_is_in_place_of_the_other(command):
    code, _, err = command("check", "wgan", "+modifiers=gradient_penalty")
    both = "is meant in place of modifier 'weight_clip', and the recipe has both; to take that out: '~modifiers[0]'"
    assert (code, f"warning: modifier 'gradient_penalty' {both}" in err) == (0, True)


def test_numbers_are_no_slips():
    assert synonyms.near("fp16", ["fp32", "fp64"]) == []
    assert synonyms.near("fp46", ["fp46x"]) == ["fp46x"]
    assert synonyms.near("dcgan64", ["dcgan"]) == ["dcgan"]
    assert synonyms.near("labels", ["real", "label"]) == ["label"]
    assert synonyms.near("images", ["real", "label"]) == ["real"]


def test_networks_of_lines_are_no_advice_for_large_images():
    import torch
    from ganflow_layers.blocks import image_shape

    from ganflow import GanflowError, TensorData

    for side, advice in ((600, "600 × 600: change the data's size, to 512 or less"), (12, "or use generator mlp")):
        data = TensorData("photos", {"real": torch.zeros(2, 1, side, side)})
        with pytest.raises(GanflowError, match=f"{advice}$"):
            image_shape(data, "generator", "dcgan")
