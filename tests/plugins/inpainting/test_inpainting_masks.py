"""Masks: where the holes are."""

import pytest
import torch
from ganflow_inpainting.masks import HALVES, make_mask
from PIL import Image

from ganflow.errors import GanflowError


def test_the_centre_is_the_middle_half():
    known = make_mask("centre", 8, 12)
    assert known.dtype == torch.bool
    hole = torch.zeros(8, 12, dtype=torch.bool)
    hole[2:6, 3:9] = True
    assert torch.equal(~known, hole)
    odd = ~make_mask("centre", 5, 7)
    assert (int(odd.sum()), odd[1:4, 1:5].all()) == (3 * 4, True)


def test_halves():
    side = {name: ~make_mask(name, 4, 6) for name in HALVES}
    assert side["left"][:, :3].all()
    assert side["right"][:, 3:].all()
    assert side["top"][:2].all()
    assert side["bottom"][2:].all()
    assert {int(hole.sum()) for hole in side.values()} == {12}
    assert [int((~make_mask(name, 5, 5)).sum()) for name in HALVES] == [10] * 4, "of an odd side the middle stays"


@pytest.mark.parametrize(("text", "missing"), [("random:0.8", 80), ("random:0.2", 20), ("random:.015", 2)])
def test_random_pixels_are_a_share_by_seed(text, missing):
    known = make_mask(text, 10, 10, seed=3)
    assert int((~known).sum()) == missing
    assert torch.equal(known, make_mask(text, 10, 10, seed=3))
    assert not torch.equal(known, make_mask(text, 10, 10, seed=4))


def test_a_picture_is_white_where_the_hole_is(tmp_path):
    picture = Image.new("RGB", (6, 4))
    picture.putpixel((5, 1), (255, 255, 255))
    picture.save(tmp_path / "mask.png")
    known = make_mask(str(tmp_path / "mask.png"), 4, 6)
    assert (~known).nonzero().tolist() == [[1, 5]]


def test_what_is_no_mask_is_said(tmp_path):
    Image.new("L", (6, 4), 255).save(tmp_path / "all.png")
    (tmp_path / "text.png").write_text("no picture")
    for text, says in {
        "middle": "there is no such file, and masks are centre, random:SHARE, left, right, top, bottom, or a picture",
        "random": "--mask random: write the share",
        "random:80": "between 0 and 1, as in random:0.8",
        "random:nan": "between 0 and 1",
        "random:0.001": "nothing is missing of 6 × 4 pixels",
        str(tmp_path / "all.png"): "everything is missing of 6 × 4 pixels",
        str(tmp_path / "text.png"): "not an image",
    }.items():
        with pytest.raises(GanflowError) as error:
            make_mask(text, 4, 6)
        assert says in str(error.value)
    with pytest.raises(GanflowError, match=r"all.png is 6 × 4 pixels, and the run's images are 8 × 8"):
        make_mask(str(tmp_path / "all.png"), 8, 8)


def test_a_mask_drawn_on_the_photo_is_cut_as_the_photo_is(tmp_path):
    """Where the photo's cut shows any of what the hole covers, the mask has a hole; and nowhere else but at its edge."""
    hole = torch.full((40, 100), False)
    hole[10:21, 40:60] = True
    hole[:, :20] = True  # beside the middle, which alone is used
    Image.fromarray(hole.numpy().astype("uint8") * 255).save(tmp_path / "mask.png")
    known = make_mask(str(tmp_path / "mask.png"), 8, 8, photos={"a": (40, 100), "b": (40, 100)})
    expected = torch.full((8, 8), True)
    expected[2:5, 2:6] = False  # rows 10 to 20 and columns 10 to 29 of the middle, by fives
    inner = ~expected
    assert not known[inner].any()
    assert known[[0, 7], :].all()
    assert known[:, [0, 7]].all()
    same = make_mask(str(tmp_path / "mask.png"), 40, 100, photos={"a": (80, 200)})  # of the run's size
    assert torch.equal(~same, hole)
    says = "is 100 × 40 pixels, and b is 90 × 40; a mask has the photo's size, or the run's, 8 × 8"
    with pytest.raises(GanflowError, match=says):
        make_mask(str(tmp_path / "mask.png"), 8, 8, photos={"a": (40, 100), "b": (40, 90)})
