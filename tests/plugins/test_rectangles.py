"""Rectangles from folders of images, by `size: [height, width]`; squares are cut as they always were."""

import itertools

import ganflow_data
import ganflow_translation.data as translation
import numpy as np
import pytest
import torch
from ganflow_layers.framing import Framing, Transform
from ganflow_text.data import CaptionedFolder
from ganflow_text.encoders import BagOfWords, Matched
from ganflow_text.encoding.matched import Matched as Learner
from PIL import Image

SIZES = [(32, 32), (33, 80), (64, 48), (100, 101), (640, 427), (37, 37)]


@pytest.fixture
def photos(tmp_path):
    """A dozen pictures that are red on the left half and green on the right one, 60 × 40 and 30 × 80 pixels."""
    for i in range(12):
        width, height = (60, 40) if i % 2 else (30, 80)
        pixels = np.zeros((height, width, 3), dtype=np.uint8)
        pixels[:, : width // 2, 0], pixels[:, width // 2 :, 1] = 255, 255
        for folder in ("photos", "unpaired/trainA", "unpaired/trainB", "two/A", "two/B"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{i:02}.png")
    return tmp_path


def test_squares_are_cut_as_they_were_before_there_were_rectangles():
    """To the last pixel, and with the same fingerprint."""
    for (width, height), (size, resize) in itertools.product(SIZES, [(16, 16), (16, 20), (256, 286), (24, 27)]):
        shorter = min(width, height)
        scaled = (round(width * resize / shorter), round(height * resize / shorter))
        cut = Framing(size, resize, "centre", False).cut(width, height)
        left, top = ((s - size) // 2 for s in scaled)
        assert (cut.scaled, cut.box) == (scaled, (left, top, left + size, top + size))
    assert repr(Transform(64, 64, "centre", False, 3)) == (
        "Transform(size=64, resize=64, crop='centre', flip=False, channels=3)"
    )
    assert Transform([64, 64], [64, 64], "centre", False, 3) == Transform(64, 64, "centre", False, 3)


@pytest.mark.parametrize("crop", ["centre", "random", "none"])
@pytest.mark.parametrize("size", [(24, 40), (40, 24), (16, 64)])
def test_a_rectangle_has_its_size_and_lies_within_the_picture(size, crop):
    height, width = size
    for (across, down), factor in itertools.product(SIZES, [1, 1.25]):
        framing = Framing(size, round(factor * min(size)), crop, False)
        for rng in (None, torch.Generator().manual_seed(0)):
            cut = framing.cut(across, down, rng)
            left, top, right, bottom = cut.box
            assert (right - left, bottom - top) == (width, height)
            assert min(left, top) >= 0
            assert right <= cut.scaled[0]
            assert bottom <= cut.scaled[1]
        if crop == "none":
            assert cut.scaled == (width, height)
        else:  # scaled alike both ways, and no more than it takes
            assert cut.scaled[0] / across == pytest.approx(cut.scaled[1] / down, rel=0.05)
            least = max(width / across, height / down) * round(factor * min(size)) / min(size)
            assert cut.scaled[0] / across == pytest.approx(least, rel=0.05)


def test_every_folder_of_images_gives_rectangles(photos):
    keys = {"size": [24, 40], "flip": False, "crop": "centre"}
    alone = ganflow_data.ImageFolder(path=str(photos / "photos"), **keys).data()
    unpaired = translation.UnpairedFolder(path=str(photos / "unpaired"), **keys).data()
    paired = translation.PairedFolder(path=str(photos / "two"), **keys).data()
    for data in (alone, unpaired, paired):
        assert {field.shape for field in data.fields.values()} == {(3, 24, 40)}
        assert {tuple(t.shape[1:]) for t in data.held_out.values()} == {(3, 24, 40)}
    picture = alone.train["real"][0]
    assert (picture[0, :, :19] > 0.9).all()  # nothing is turned: red is on the left, green on the right
    assert (picture[1, :, 21:] > 0.9).all()


def test_a_folder_with_captions_gives_rectangles(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path / "cache"))
    for i in range(12):
        (photos / f"photos/{i:02}.txt").write_text("a picture that is red and green\n")
    keys = {"path": str(photos / "photos"), "size": [24, 40], "flip": False, "held_out": 2}
    for crop, budget in (("centre", 256), ("centre", 0), ("random", 256), ("none", 256)):
        data = CaptionedFolder(crop=crop, budget=budget, encoder=BagOfWords(), **keys).data()
        picture = data.load(0, torch.Generator().manual_seed(0))["real"]
        assert data.fields["real"].shape == picture.shape == (3, 24, 40)
        assert data.held_out["real"][:].shape == (2, 3, 24, 40)
        if crop != "random":
            assert (picture[0, :, :19] > 0.9).all()
            assert (picture[1, :, 21:] > 0.9).all()
    with pytest.raises(ValueError, match="resize: needs a crop, and at least the size"):
        CaptionedFolder(encoder=BagOfWords(), **{**keys, "resize": 20})


def test_an_encoder_of_pictures_knows_any_size(tmp_path, monkeypatch):
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path / "cache"))
    (tmp_path / "edge").mkdir()
    edge = Image.new("L", (48, 20))
    edge.paste(255, (0, 0, 9, 20))
    for i in range(12):
        edge.save(tmp_path / f"edge/{i}.png")
        (tmp_path / f"edge/{i}.txt").write_text(f"number {i} has a white edge\n")
    encoder, seen, learn = Matched(steps=2, batch=4, dim=8, side=16), [], Learner.learn

    def learnt(self, captions, pictures):
        seen.append(pictures(16))
        learn(self, captions, pictures)

    monkeypatch.setattr(Learner, "learn", learnt)
    data = CaptionedFolder(path=str(tmp_path / "edge"), size=[20, 48], crop="centre", held_out=0, encoder=encoder).data()
    assert seen[0].shape == (12, 3, 16, 16)
    assert (seen[0][..., :2] > 0.9).all()  # it learns from all of the piece, squeezed: white is at its edge
    assert (seen[0][..., 4:] < -0.9).all()
    for size, learns in (([40, 96], 1), ([48, 20], 2), (48, 3), (20, 3)):  # again for other proportions
        CaptionedFolder(path=str(tmp_path / "edge"), size=size, crop="centre", held_out=0, encoder=encoder).data()
        assert len(seen) == learns
    text = data.encoder.encode([several[0] for several in data.sentences])
    for height, width in ((16, 16), (16, 40), (40, 16), (8, 8), (8, 40), (100, 30)):
        pictures = torch.zeros(12, 3, height, width, requires_grad=True)
        data.encoder.match(pictures, text).backward()
        assert pictures.grad.abs().sum() > 0


@pytest.mark.parametrize("component", [ganflow_data.ImageFolder, translation.PairedFolder, translation.UnpairedFolder])
def test_what_is_no_size_is_refused(component):
    with pytest.raises(ValueError, match=r"size: \[1\d, 16, 16\] has 3 numbers; write one for squares, or \[height, width\]"):
        component(path="photos", size=[16, 16, 16])
    with pytest.raises(ValueError, match="resize: needs a crop, and at least the size"):
        component(path="photos", size=[48, 24], resize=20, crop="random")
    component(path="photos", size=[48, 24], resize=30, crop="random")  # of the shorter side
