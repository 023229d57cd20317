"""`ganflow check` of recipes with a search: what `ganflow run` trains is accepted, and what `ganflow tune` refuses of it is a
note, whose advice works when it is typed."""

import re
import shlex

import pytest

CASES = [
    (["~modifiers"], "tune.space.modifiers[0].c: there is no modifiers[0]; the changes"),
    (["modifiers=[spectral_norm]"], "tune.space.modifiers[0].c: unknown key 'c' in modifier 'spectral_norm' (keys: "),
    (["modifiers=[ema]"], "tune.space.modifiers[0].c: unknown key 'c' in modifier 'ema'"),
]


@pytest.mark.parametrize(("changes", "why"), CASES)
def test_what_changes_leave_of_the_space(command, changes, why):
    code, out, err = command("check", "wgan", *changes)
    assert (code, out) == (0, "wgan: ok\n")
    assert f"wgan: ganflow tune refuses this, and ganflow run does not: {why}" in err
    assert "add '~tune.space.modifiers[0].c' (or leave the search out: ~tune)" in err
    code, _, err = command("check", "wgan", *changes, "~tune")
    assert (code, "tune" in err) == (0, False)


@pytest.mark.parametrize(("changes", "why"), CASES)
def test_the_advice_of_tune_works(command, changes, why):
    text = command.refused("tune", "wgan", *changes, "--dry-run")
    assert why in text
    [advice] = re.findall(r"to search the rest, add (.*)$", text)
    code, out, _ = command("check", "wgan", *changes, *shlex.split(advice))
    assert (code, out) == (0, "wgan: ok\n")
    code, out, _ = command("tune", "wgan", *changes, *shlex.split(advice), "--dry-run")
    assert (code, "modifiers" in out) == (0, False)


def test_a_search_that_is_changed_too(command):
    code, _, err = command("check", "wgan", "~modifiers", "tune.trials=4")
    assert (code, "add '~tune.space.modifiers[0].c'\n" in err) == (0, True)


def test_nothing_left_to_search(command):
    text = command.refused("tune", "wgan", "~modifiers", "optimizer.lr=0.1", "--dry-run")
    assert text.endswith("leave nothing to search: train it with: ganflow run wgan '~modifiers' optimizer.lr=0.1")
    code, _, err = command("check", "wgan", "optimizer.lr=0.1", "modifiers[0].c=.1")
    assert code == 0
    assert "and nothing else is searched; train it with: ganflow run wgan optimizer.lr=0.1 'modifiers[0].c=.1'" in err


@pytest.mark.parametrize("change", ["tune.space.foo={choice: [1, 2]}", "tune.space.optimizer.lr=3"])
def test_mistakes_of_the_space_itself(command, change):
    assert "tune.space." in command.refused("check", "wgan", change)
    assert "tune.space." in command.refused("check", "wgan", change, "~modifiers")
