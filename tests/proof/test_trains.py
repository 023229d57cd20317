"""Every example trains to the end of its recipe, and everything it reports is a number."""

import math

import pytest
from proof_helpers import NAMES, recipe_of
from runner_helpers import numbers

from ganflow.runs.start import start


def test_there_are_twelve():
    assert len(NAMES) == 12


@pytest.mark.parametrize("name", NAMES)
def test_it_trains(name, tmp_path):
    outcome = start(recipe_of(name), tmp_path / "runs", quiet=True)
    assert (outcome.status, outcome.round) == ("finished", 12)
    lines = numbers(outcome.folder)
    assert len(lines) == 12
    assert all(math.isfinite(value) for _, values in lines for value in values.values())
    assert f"gf-{name}" in {plugin["distribution"] for plugin in outcome.folder.read().plugins.values()}
