"""The benchmark's scores of lamps in translated nights, where they are known."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ganflow_layers.drawing.tensors import signed
from ganflow_translation.data import Street
from ganflow_translation.scenes import street

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from lamps import Lamps, held_out_streets

COUNT = 12


@pytest.fixture(scope="module")
def lamps():
    return Lamps(size=32, held_out=COUNT)


@pytest.fixture(scope="module")
def scenes():
    return held_out_streets(size=32, held_out=COUNT)


def pictures(scenes):
    return signed(torch.from_numpy(np.stack([street.night(scene) for scene in scenes])))


@pytest.mark.parametrize("lamp", [1, 2])
def test_the_scenes_are_those_of_the_data(lamp):
    data = Street(train=1, held_out=COUNT, seed=3, lamp=lamp).data()
    assert torch.equal(pictures(held_out_streets(32, COUNT, 3, lamp)), data.held_out["b"])


def test_the_true_night_has_every_lamp_lit_and_no_stray_glow(lamps, scenes):
    assert lamps.scores(pictures(scenes)) == {"lit": 1, "stray": 0, "at lamps": 1}
    assert len(lamps.each) == sum(len(scene.lamps) for scene in scenes)
    wide = Lamps(size=32, held_out=COUNT, lamp=1.75)
    assert wide.scores(pictures(held_out_streets(32, COUNT, lamp=1.75))) == {"lit": 1, "stray": 0, "at lamps": 1}
    assert len(wide.each) == len(lamps.each)


def test_a_night_without_its_lamps_has_none_lit(lamps, scenes):
    assert lamps.scores(pictures([replace(scene, lamps=()) for scene in scenes])) == {"lit": 0, "stray": 0, "at lamps": 0}


def test_glow_on_every_front_is_stray_but_where_a_lamp_is(lamps, scenes):
    """By hand: a night in which every front shines as a lamp at its strongest."""
    shining = torch.from_numpy((lamps.dark + lamps.fronts[..., None] * street.GLOW).clip(0, 255).astype(np.float32))
    scores = lamps.scores(shining.permute(0, 3, 1, 2) / 127.5 - 1)
    near = (lamps.fronts & (lamps.of_lamps > 0.1)).sum() / lamps.fronts.sum()
    assert scores["stray"] == 1
    assert scores["at lamps"] == pytest.approx(near)


def test_one_lamp_put_out_is_counted(lamps, scenes):
    """The lamps of the first scene go out, all others are lit."""
    out = [replace(scenes[0], lamps=()), *scenes[1:]]
    expected = 1 - len(scenes[0].lamps) / sum(len(scene.lamps) for scene in scenes)
    assert lamps.scores(pictures(out))["lit"] == pytest.approx(expected)
