"""Runs of the examples that keep most, killed by SIGKILL in the middle, go on to what undisturbed ones come to, bit for bit."""

import pytest
from proof_helpers import PACKAGES, recipe_of
from runner_helpers import Process, assert_same_state, last, last_round, numbers

from ganflow.runs.start import resume, start

KEEP = ("began", "henon", "learnt", "mapping", "pathlength")
"""A number of a loss, a chain of data, parameters of a loss, of a part, an average in a term. The first whenever tests run."""


@pytest.mark.parametrize("name", [KEEP[0], *(pytest.param(name, marks=pytest.mark.slow) for name in KEEP[1:])])
def test_a_kill_changes_nothing(name, tmp_path):
    changes = ["train.rounds=400", "train.checkpoint_every=7"]
    with Process(tmp_path, "run", PACKAGES / f"gf_{name}" / "recipe.yaml", *changes, "-q") as process:
        assert process.until(lambda: process.reached(30)), process.err.read_text()
        assert process.kill()
    run = process.run
    played, kept = last_round(run), last(run).round
    assert 0 < kept <= played < 400
    assert kept % 7 == 0
    resume(run, quiet=True, overrides=[f"train.rounds={played + 20}"])
    alone = start(recipe_of(name, *changes, f"train.rounds={played + 20}"), tmp_path / "alone", quiet=True).folder
    assert last(run).round == last(alone).round == played + 20
    assert_same_state(run, alone)
    assert numbers(run) == numbers(alone)
