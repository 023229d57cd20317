"""Hints that work when they are typed: each recipe's mistake, what is advised, and that `check` and `run --help` take it."""

import shlex

import pytest

from ganflow import synonyms
from ganflow.cli.main import COMMANDS, main

SPECTRAL = "'+modifiers=spectral_norm'"
ITSELF = "; that is the section itself, which names one of these (installed: "
NOTHING = "which run? give a path, an id or its beginning, a name, or 'latest', e.g. ganflow runs show latest"


@pytest.mark.parametrize(
    ("recipe", "typed", "hint", "advised"),
    [
        ("gan", "critic.spectral_norm=true", f"; that is {SPECTRAL} here", ["+modifiers=spectral_norm"]),
        ("gan", "train.spectral_norm=true", f"; that is {SPECTRAL} here", ["+modifiers=spectral_norm"]),
        ("gan", "spectral_norm=true", f"; that is {SPECTRAL} here", ["+modifiers=spectral_norm"]),
        ("gan", "critic.norm=spectral", f"; that is {SPECTRAL} here", ["+modifiers=spectral_norm"]),
        ("gan", "critic.norm=sn", f"; that is {SPECTRAL} here", ["+modifiers=spectral_norm"]),
        ("gan", "critic.batch_norm=true", "; that is critic.norm=batch or generator.norm=batch here", ["critic.norm=batch"]),
        ("gan", "generator.batch_norm=true", "; that is generator.norm=batch or critic.norm", ["generator.norm=batch"]),
        ("gan", "critic=discriminator", ITSELF, ["critic=mlp"]),
        ("gan", "generator=generator", ITSELF, ["generator=mlp"]),
        ("gan", "loss=criterion", ITSELF, ["loss=hinge"]),
        ("gan", "+modifiers=clip_grad", "; that is train.clip_grad here", ["train.clip_grad=1"]),
        ("gan", "+modifiers=grad_clip", "; that is train.clip_grad here", ["train.clip_grad=1"]),
        ("gan", "eval=fid", "; that is metrics here: to append it, write +metrics=frechet; to have it alone, 'metrics=[frechet]'",
         ["+metrics=frechet"]),
        ("gan", "metric=fid", "; that is metrics here: to append it, write +metrics=frechet; ", ["metrics=[frechet]"]),
        ("gan", "metrics=fid", "write +metrics=frechet; to have it alone, 'metrics=[frechet]'", ["metrics=[frechet]"]),
        ("wgan_paper", "modifier=ema", "; that is modifiers here: to append it, write +modifiers=ema;", ["+modifiers=ema"]),
        ("gan", "modifier=ema", "; that is modifiers[1] here, which is there: set ", ["modifiers[1].decay=0.9"]),
        ("gan", "logger=wandb", "; that is trackers here: to append it, write +trackers=wandb;", ["+trackers=wandb"]),
        ("wgan_paper", "ema=0.9", "; that is '+modifiers=ema' here", ["+modifiers=ema"]),
        ("wgan_gp", "ema=0.9", "; that is modifiers[1] here, which is there: set modifiers[1].decay or modifiers[1].start",
         ["modifiers[1].decay=0.9"]),
        ("wgan_gp", "train.ema=0.9", "; that is modifiers[1] here, which is there: set", ["modifiers[1].start=5"]),
        ("wgan_gp", "+modifiers=ema", "modifier 'ema' is there twice, first as modifiers[1]; set modifiers[1].decay or "
         "modifiers[1].start in place of this, or take that out: '~modifiers[1]'", ["~modifiers[1]", "+modifiers=ema"]),
        ("gan", "train.gpus=2", "; that is train.device=cuda or the option --workers of ganflow run (in Python workers=) here",
         ["train.device=cuda"]),
        ("gan", "train.gpu=1", "; that is train.device=cuda here", ["train.device=cuda"]),
    ],
)  # fmt: skip
def test_what_is_advised_can_be_typed(command, recipe, typed, hint, advised):
    assert hint in command.refused("check", recipe, typed)
    code, out, err = command("check", recipe, *advised)
    assert (code, out) == (0, f"{recipe}: ok\n"), err


@pytest.mark.parametrize("word", [word for word, targets in synonyms.WORDS.items() if "--workers" in targets])
def test_several_gpus_are_an_option(command, word, capsys):
    assert "the option --workers of ganflow run (in Python workers=) here" in command.refused("check", "gan", f"train.{word}=2")
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "--workers N" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("version", "'--version'"),
        ("info", "'plugins' or 'runs show latest'"),
        ("env", "'plugins'"),
        ("doctor", "'plugins'"),
        ("serve", "'export latest --to mlflow'"),
        ("convert", "'export latest --to onnx'"),
        ("web", "'ui' or 'report latest'"),
        ("log", "'runs show latest'"),
        ("list", "'runs'"),
        ("eval", "'evaluate'"),
        ("generate", "'sample'"),
    ],
)
def test_commands_of_other_programs(command, word, meant):
    assert f"unknown command '{word}'; did you mean {meant}? (commands: " in command.refused(word)


@pytest.mark.parametrize("typed", sorted({each for meant in synonyms.COMMANDS.values() for each in meant}))
def test_every_command_that_is_meant_takes_its_arguments(command, typed):
    """What lacks a run says so; none is an argument that a command does not know."""
    name, *rest = shlex.split(typed)
    assert name in (*COMMANDS, "--version")
    if rest:
        err = command(name, *rest, *([] if "latest" in rest else ["latest"]))[2]
        assert err
        assert "--help)" not in err


@pytest.mark.parametrize(("word", "name"), [("frechet", "frechet"), ("fid", "frechet"), ("emd", "emd")])
def test_a_metric_in_the_place_of_a_run(command, word, name):
    said = f"no run '{word}': that is a metric; name it so: ganflow evaluate"
    assert f"{said} latest --metric {name}" in command.refused("evaluate", word)
    assert f"{said} wgan --metric {name}" in command.refused("evaluate", word, "wgan")
    assert "metric" not in command.refused("evaluate", "frechett")


@pytest.mark.parametrize(
    ("typed", "example"),
    [("reconstruct", "ganflow reconstruct latest"), ("sample", "ganflow sample latest -n 64 -o grid.png"),
     ("export latest", "ganflow export latest --to pt2"), ("evaluate", "ganflow evaluate latest"),
     ("new-plugin", "ganflow new-plugin acme --roles loss,critic")],
)  # fmt: skip
def test_what_lacks_an_argument_names_the_command(command, typed, example):
    assert " are required: " in (said := command.refused(*typed.split()))
    assert f"; e.g. {example} (ganflow " in said


@pytest.mark.parametrize("typed", ["sample", "evaluate", "runs show", "report", "run --resume", "interpolate"])
def test_a_run_that_is_called_nothing(command, typed):
    assert NOTHING in command.refused(*typed.split(), "")


def test_a_sweep_that_is_called_nothing(command):
    advice = "which sweep? give a path, a name, or 'latest', e.g. ganflow sweeps show latest"
    assert advice in command.refused("tune", "--resume", "")
