"""Relative paths in a recipe that is read in another folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganflow import key, settings
from ganflow.plugins import Catalogue, Component, Plugin
from ganflow.recipe.recipe import anchored

RECIPE = """\
data: {use: files, path: photos, table: points.npz, title: photos, note: photos/birds}
generator: mlp
loss: {use: cycle, adversarial: {use: stored, weights_file: weights}}
optimizer: adam
modifiers: [clip, {use: stored, weights_file: weights}]
metrics: [{use: stored, weights_file: weights}]
"""


@settings
class Files:
    path: str = key("")
    table: str = key("")
    title: str = key("")
    note: str = key("")


@settings
class Stored:
    weights_file: str = key("")


@pytest.fixture
def anchors(read, tmp_path):
    """anchors(text, *overrides): {key: path} of what is anchored in a folder that has photos/birds, points.npz and weights."""
    (tmp_path / "photos" / "birds").mkdir(parents=True)
    for name in ("points.npz", "weights"):
        (tmp_path / name).touch()
    stored = [Component(role, "stored", "f", Stored) for role in ("loss", "modifier", "metric")]
    offered = (Component("data", "files", "f", Files), *stored)
    read.catalogue = Catalogue([*read.catalogue.plugins, Plugin("f", "f", "", "", None, offered)])

    def found(*overrides):
        recipe = read(RECIPE, *overrides)
        changes = anchored(recipe, tmp_path)
        assert {*read(RECIPE, *overrides, *changes).resolved()} == {*recipe.resolved()}  # they are overrides
        return {text.partition("=")[0]: Path(text.partition("=")[2]) for text in changes}

    return found


def test_what_names_something_that_is_there(anchors, tmp_path):
    assert anchors() == {
        "data.path": tmp_path / "photos",  # by the key's name
        "data.table": tmp_path / "points.npz",  # by its ending
        "data.note": tmp_path / "photos" / "birds",  # by a separator; the title is just a word
        "loss.adversarial.weights_file": tmp_path / "weights",
        "modifiers[1].weights_file": tmp_path / "weights",
        "metrics[0].weights_file": tmp_path / "weights",
    }


@pytest.mark.parametrize("text", ["nowhere", "~/photos", "'~'", "/", "''"])
def test_what_stays_as_it_is(anchors, text, tmp_path):
    for odd in ("~", "~/photos"):
        (tmp_path / odd).mkdir(parents=True, exist_ok=True)  # which a shell would not mean
    assert "data.path" not in anchors(f"data.path={text}")


def test_a_run_to_start_from(anchors, tmp_path):
    (tmp_path / "earlier").mkdir()  # no run, whatever it is called
    assert "train.start_from" not in anchors("train.start_from=earlier")
    (tmp_path / "earlier" / "run.json").touch()
    assert anchors("train.start_from=earlier")["train.start_from"] == tmp_path / "earlier"
    assert "train.start_from" not in anchors("train.start_from=latest")
