"""Scenes that are drawn on the spot: facades, streets, horses."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from ganflow_translation import data as offered
from ganflow_translation.data import Facades, Horses, Street
from ganflow_translation.scenes import facades, horses, street
from ganflow_translation.scenes.facades import CLASSES
from ganflow_translation.ways import PAIRED, UNPAIRED, ways_of

from ganflow.contract.data import TensorData

KINDS = (Facades, Street, Horses)
FEW = {"train": 6, "held_out": 3}


def rows(images):
    return {image.numpy().tobytes() for image in images}


def test_the_settings_import_nothing_heavy():
    code = "import sys, ganflow_translation.data; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_what_is_offered():
    assert [(role, name) for role, name, _ in offered.OFFERS] == [
        ("data", name) for name in ("facades", "street", "horses", "paired_folder", "unpaired_folder")
    ]


@pytest.mark.parametrize("size", [32, 48, 50, 64, 128])
@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_ranges(kind, size):
    data = kind(size=size, train=3, held_out=2).data()
    assert isinstance(data, TensorData)
    assert data.size == 3
    assert data.aligned
    for name, field in data.fields.items():
        assert field.shape == (10 if (kind, name) == (Facades, "source") else 3, size, size)
        assert (field.low, field.high) == (-1, 1)
        for part, count in ((data.train[name], 3), (data.held_out[name], 2)):
            assert part.shape == (count, *field.shape)
            assert part.dtype == torch.float32
            assert part.is_contiguous()
            assert part.min() >= -1
            assert part.max() <= 1
            assert part.flatten(1).std(1).min() > 0.1  # something is on it


def test_the_fields_say_which_way_to_translate():
    assert ways_of(Facades(**FEW).data().fields) == PAIRED
    assert ways_of(Street(**FEW, paired=True).data().fields) == PAIRED
    assert ways_of(Street(**FEW).data().fields) == UNPAIRED
    assert ways_of(Horses(**FEW).data().fields) == UNPAIRED


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_depends_on_the_seed_and_its_number_alone(kind):
    few, again, more = kind(**FEW).data(), kind(**FEW).data(), kind(train=9, held_out=5).data()
    other = kind(**FEW, seed=1).data()
    assert few.fingerprint() == again.fingerprint() != other.fingerprint()
    for name in few.fields:
        assert torch.equal(few.train[name], again.train[name])
        assert torch.equal(few.train[name], more.train[name][:6])
        assert torch.equal(few.held_out[name], more.held_out[name][:3])
        assert not rows(few.train[name]) & rows(other.train[name])


@pytest.mark.parametrize("kind", KINDS)
def test_no_scene_is_both_trained_on_and_held_out(kind):
    data = kind(train=60, held_out=30).data()
    for name in data.fields:
        assert not rows(data.train[name]) & rows(data.held_out[name])
        assert len(rows(data.train[name])) == 60


@pytest.mark.parametrize("kind", [Street, Horses])
def test_unpaired_training_never_shows_a_scene_in_both_domains(kind):
    unpaired, paired = kind(train=8, held_out=4).data(), kind(train=8, held_out=4, paired=True).data()
    assert not unpaired.paired
    assert paired.paired
    assert torch.equal(unpaired.train["a"], paired.train["source"])
    assert not rows(unpaired.train["b"]) & rows(paired.train["target"])
    assert torch.equal(unpaired.held_out["a"], paired.held_out["source"])  # held out, both of a scene are seen
    assert torch.equal(unpaired.held_out["b"], paired.held_out["target"])


@pytest.mark.parametrize(("kind", "to"), [(Street, "day"), (Horses, "horse")])
def test_the_other_direction(kind, to):
    usual, other = kind(**FEW, paired=True).data(), kind(**FEW, paired=True, to=to).data()
    assert torch.equal(usual.train["source"], other.train["target"])
    assert torch.equal(usual.train["target"], other.train["source"])
    with pytest.raises(ValueError, match=f"to: {to} .* needs paired: true"):
        kind(to=to)


# what is on them


def by_class(size=64, count=40):
    """Pixels of every class, (n, 3) in 0 … 255, away from the borders between classes."""
    found = {name: [] for name in CLASSES}
    for i in range(count):
        materials = facades.draw(np.random.default_rng([3, 0, i]), size)
        labels, picture = facades.label_map(materials), facades.picture(materials)
        assert labels.shape == (size, size)
        padded = np.pad(labels, 1, mode="edge")
        inner = np.ones_like(labels, bool)
        for dy in range(3):
            for dx in range(3):
                inner &= padded[dy : dy + size, dx : dx + size] == labels
        for number, name in enumerate(CLASSES):
            found[name].append(picture[inner & (labels == number)])
    return {name: np.concatenate(pixels).astype(int) for name, pixels in found.items()}


def test_labels_agree_with_what_is_drawn():
    pixels = by_class()
    assert all(len(of) > 30 for name, of in pixels.items() if name != "frame")  # a frame is a pixel wide
    for bluish in ("sky", "window"):
        assert (pixels[bluish][:, 2] >= pixels[bluish][:, 0]).mean() > 0.9
    for reddish in ("brick", "plaster", "door"):
        assert (pixels[reddish][:, 0] > pixels[reddish][:, 2]).all()
    mean = {name: of.mean() for name, of in pixels.items() if len(of)}
    assert mean["cornice"] > mean["plaster"] > mean["brick"] > mean["door"]
    assert mean["sky"] > mean["window"]
    assert np.ptp(pixels["pavement"], axis=1).max() < 15  # grey


def test_the_sun_stands_on_the_left():
    materials = np.full((96, 96), facades.PLASTER, np.uint8)
    columns = facades.picture(materials).astype(int).sum((0, 2))
    assert (np.diff(columns) <= 0).all()
    assert columns[0] > 1.3 * columns[-1]


def test_label_maps_are_one_hot_or_in_colours():
    hot, rgb = (Facades(**FEW, labels=labels).data() for labels in ("one_hot", "rgb"))
    source = hot.train["source"]
    assert set(source.unique().tolist()) == {-1, 1}
    assert ((source == 1).sum(1) == 1).all()
    assert set(source.argmax(1).unique().tolist()) <= set(range(10))
    colours = torch.tensor(facades.LABEL_COLOURS)[source.argmax(1)].permute(0, 3, 1, 2)
    assert torch.allclose(rgb.train["source"], colours / 127.5 - 1)
    assert torch.equal(rgb.train["target"], hot.train["target"])


def test_pictures_follow_from_their_labels():
    # The best guess that knows a pixel's class and place only: networks, which see its neighbours, come further.
    data = Facades(train=400, held_out=60).data()
    guess = torch.zeros_like(data.held_out["target"])
    for number in range(len(CLASSES)):
        here = data.train["source"][:, number : number + 1] > 0
        overall = (data.train["target"] * here).sum((0, 2, 3), keepdim=True) / here.sum()
        mean = ((data.train["target"] * here).sum(0, keepdim=True) + 4 * overall) / (here.sum(0, keepdim=True) + 4)
        guess += mean * (data.held_out["source"][:, number : number + 1] > 0)
    psnr = 10 * torch.log10(4 / (guess - data.held_out["target"]).square().mean((1, 2, 3)))
    assert psnr.mean() > 20


def test_night_is_dark_and_its_windows_shine():
    scene = street.draw(np.random.default_rng(0), 64)
    day, night = (view(scene).astype(int) for view in (street.day, street.night))
    assert night.mean() < 0.4 * day.mean()
    inside = (scene.materials == street.WINDOW).reshape(64, 3, 64, 3).all((1, 3))
    assert inside.sum() > 20
    assert night[inside].mean() > day[inside].mean() + 40


def test_wider_lamps_cover_more_of_the_same_scene():
    """By hand: a disc of twice the radius has four times the area, and covers what was there; nothing else changes."""
    scenes = {lamp: [street.draw(np.random.default_rng(i), 64, lamp=lamp) for i in range(20)] for lamp in (1, 2)}
    heads = {lamp: sum((scene.materials == street.LAMP).sum() for scene in drawn) for lamp, drawn in scenes.items()}
    assert heads[2] / heads[1] == pytest.approx(4, rel=0.15)
    for narrow, wide in zip(scenes[1], scenes[2], strict=True):
        assert (wide.lamps, wide.beams, wide.horizon) == (narrow.lamps, narrow.beams, narrow.horizon)
        changed = wide.materials != narrow.materials
        assert np.isin(wide.materials[changed], (street.LAMP, street.POLE)).all()


def test_walls_can_be_told_apart_at_night():
    walls = street.NIGHT[street.HOUSES : street.HOUSES + len(street.HOUSE_COLOURS)]
    apart = np.abs(walls[:, None] - walls[None]).max(2)
    assert apart[~np.eye(len(walls), dtype=bool)].min() > 8


def test_a_zebra_stands_as_its_horse_does():
    for i in range(10):
        meadow = horses.draw(np.random.default_rng(i), 64)
        animal = meadow.materials >= horses.BODY
        whole = animal.reshape(64, 3, 64, 3)
        differ = np.abs(horses.horse(meadow).astype(int) - horses.zebra(meadow)).sum(2)
        assert not differ[~whole.any((1, 3))].any()  # the meadow is the same
        assert (differ[whole.all((1, 3))] > 30).mean() > 0.6
        assert 0.08 < animal.mean() < 0.4
        assert not animal[:, [0, -1]].any()  # all of it is in the picture
