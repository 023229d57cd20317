"""Rows with names, pairs, label maps, latent planes; and what comes out of image files."""

import colorsys
import math

import numpy as np
import pytest
import torch
from PIL import Image

from ganflow.contract.data import TensorData
from ganflow.pictures import density, image_grid, image_pairs, image_sheet, latent_map, sample_picture
from ganflow.pictures.files import image_tensor, label_map, one_hot, read_image, to_eight_bits
from ganflow.pictures.images import HEADING, coloured_images

TILE = 64 + 2  # a tile of images of 64 pixels with the gap before it


def shade(picture, x, y):
    """Grey in the middle of a tile of a sheet of 64-pixel images."""
    strip = HEADING + TILE + 2
    return picture.convert("L").getpixel((x * TILE + 2 + 32, y * strip + HEADING + 2 + 32))


def greys(*values):
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 64, 64)


def test_a_sheet_has_a_row_per_entry_under_its_name():
    picture = image_sheet({"first": greys(-1.0, 1.0), "second": greys(1.0, -1.0, -1.0)})
    assert picture.size == (3 * TILE + 2, 2 * (HEADING + TILE + 2))
    assert [[shade(picture, x, y) for x in range(2)] for y in range(2)] == [[0, 255], [255, 0]]
    headings = [np.asarray(picture.convert("L"))[y : y + HEADING, :60] for y in (0, HEADING + TILE + 2)]
    assert all((heading < 128).any() for heading in headings)  # there is ink


def test_a_label_map_has_the_colour_of_its_greatest_channel():
    maps = torch.full((1, 5, 2, 2), -1.0)
    maps[0, 3, 0, 0] = maps[0, 1, 0, 1] = maps[0, 0, 1] = 1.0
    made = coloured_images(maps)
    assert made.shape == (1, 3, 2, 2)
    expected = [torch.tensor(colorsys.hsv_to_rgb(0.58 + i * 0.618034, 0.65, 0.95 if i % 2 else 0.6)) * 2 - 1 for i in (3, 1, 0)]
    for place, colour in zip(((0, 0), (0, 1), (1, 1)), expected, strict=True):
        assert torch.allclose(made[0, :, *place], colour, atol=1e-6)
    plain = torch.rand(2, 3, 4, 4)
    assert coloured_images(plain) is plain


def test_pairs_stand_below_each_other_eight_in_a_row():
    picture = image_pairs("held-out", greys(*[1.0] * 9), greys(*[-1.0] * 9))
    assert picture.height == 4 * (HEADING + TILE + 2)
    assert [shade(picture, 0, row) for row in range(4)] == [255, 0, 255, 0]
    assert shade(picture, 7, 1) == 0
    named = image_sheet({"held-out 1 to 8": greys(*[1.0] * 8), "reconstructed 1 to 8": greys(*[-1.0] * 8),
                         "held-out 9 to 9": greys(1.0), "reconstructed 9 to 9": greys(-1.0)})  # fmt: skip
    assert np.array_equal(np.asarray(picture), np.asarray(named))
    assert image_pairs("x", torch.zeros(2, 5), torch.zeros(2, 5)) is None


def test_a_latent_plane_is_the_right_way_round():
    """To the right the first number grows, upwards the second; examples lie at their places."""
    asked = []

    def decode(places):
        asked.append(places)
        return (places[:, :1, None, None] * 2 - 1).expand(-1, 1, 32, 32)  # lighter to the right

    examples = torch.stack([torch.full((1, 32, 32), -1.0), torch.zeros(1, 32, 32)])
    picture = np.asarray(latent_map(decode, examples, torch.tensor([[0.0, 1.0], [1.0, 0.0]])).convert("L")).astype(int)
    (places,) = asked
    assert places[0, 0] < places[1, 0]
    assert places[0, 1] == places[1, 1] > places[-1, 1]
    half = (picture.shape[1] - 16) // 2
    decoded, scattered = picture[:, :half], picture[:, half + 16 :]
    assert decoded[20, 20] < decoded[20, half - 20]
    assert decoded[20, 20] == decoded[-20, 20]
    assert scattered[5, 5] == 0  # the black one above on the left
    assert scattered[-5, -5] == 128
    assert (scattered[5, -5], scattered[-5, 5]) == (255, 255)


# Places in a picture.


def test_two_channels_stand_beside_each_other_in_their_order():
    images = torch.stack((torch.full((8, 8), -1.0), torch.full((8, 8), 1.0)))[None]
    tile = np.asarray(image_grid(images, scale=1))[2:10, 2:18]
    assert (tile[:, :8].max(), tile[:, 8:].min()) == (0, 255)


def test_wide_images_are_tiled_by_their_own_sides():
    images = torch.full((4, 1, 16, 32), -1.0)
    picture = np.asarray(image_grid(images, columns=2))
    assert picture.shape == (2 * (32 + 2) + 2, 2 * (64 + 2) + 2)  # twice as large: the longer side becomes 64
    assert (picture[2:34, 2:66] == 0).all()
    assert (picture[36:68, 68:132] == 0).all()
    assert (picture[34:36] == 255).all()


class Line(TensorData):
    """Examples on a line along the first axis; what is known of their density, too, where it is asked for."""

    def __init__(self, known):
        super().__init__("line", {"real": torch.stack((torch.linspace(-2, 2, 400), torch.zeros(400)), 1)})
        self.known = known

    @property
    def knows_density(self):
        return self.known

    def log_density(self, x):
        return -((x[:, 1] / 0.1) ** 2)


@pytest.mark.parametrize("known", [True, False])
def test_the_truth_lies_as_the_examples_do(known):
    panel = np.asarray(density(Line(known), torch.zeros(1, 2))).astype(int)[48:444, 48:444].sum(2)
    rows, columns = np.nonzero(panel < 600)
    assert np.ptp(columns) > 200
    assert np.ptp(rows) < 80


def test_points_outside_are_counted():
    from ganflow.pictures import samples

    data = Line(False)
    _, axes = samples._panels(data, "t", np.array([[0, 0], [0, 0.1], [90, 0]], np.float32))
    assert axes.get_title("right") == "3 points, 1 of them outside"


def test_of_many_vectors_64_are_drawn():
    data = TensorData("v", {"real": torch.zeros(10, 5)})
    many = torch.zeros(80, 5)
    alike = sample_picture(data, many)
    many[64:] = 1000.0
    assert np.array_equal(np.asarray(sample_picture(data, many)), np.asarray(alike))


# Files.


def save(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_pixels_become_numbers_from_minus_one_to_one(tmp_path):
    image = Image.new("RGB", (3, 2), (0, 51, 255))
    made = read_image(save(tmp_path, image), 3)
    assert made.shape == (3, 2, 3)
    assert torch.allclose(made[:, 0, 0], torch.tensor([-1.0, -0.6, 1.0]))
    assert torch.equal(image_tensor(Image.new("L", (3, 2), 255)), torch.ones(1, 2, 3))


def test_a_photo_is_turned_as_its_camera_was_held(tmp_path):
    image, exif = Image.new("L", (4, 2)), Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    assert read_image(save(tmp_path, image, exif=exif), 1).shape == (1, 4, 2)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257, 1), (65535, 255), (32896, 128), (256, 0)])
def test_sixteen_bits_of_grey_become_eight(value, expected):
    image = Image.fromarray(np.full((2, 2), value, np.uint16))
    assert np.asarray(to_eight_bits(image, 1))[0, 0] == expected
    assert to_eight_bits(image, 3).mode == "RGB"


def test_what_is_transparent_is_white():
    image = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert to_eight_bits(image, 3).getpixel((0, 0)) == (255, 255, 255)
    assert to_eight_bits(Image.new("RGBA", (2, 2), (0, 0, 0, 255)), 1).getpixel((0, 0)) == 0
    with pytest.raises(ValueError, match="range is not known"):
        to_eight_bits(Image.new("F", (2, 2)), 1)


def test_label_maps(tmp_path):
    made = label_map(Image.fromarray(np.array([[0, 4], [1, 1]], np.uint8)), 5)
    assert torch.equal(made.argmax(0), torch.tensor([[0, 4], [1, 1]]))
    assert made.unique().tolist() == [-1, 1]
    assert one_hot(torch.zeros(2, 3, 4, dtype=torch.uint8), 5).shape == (2, 5, 3, 4)
    with pytest.raises(ValueError, match="label 5 is none of the classes 0 … 4"):
        label_map(Image.fromarray(np.full((2, 2), 5, np.uint8)), 5)


# Curves.


def test_numbers_of_about_one_size_share_a_panel_and_others_do_not():
    from ganflow.pictures.curves import _alike

    sizes = {"a": 1.0, "b": 4.0, "c": 80.0, "d": 0.1, "e": 90.0}
    curves = {name: (np.arange(3.0), np.full(3, size)) for name, size in sizes.items()}
    assert [sorted(group) for group in _alike(curves)] == [["a", "b"], ["c", "e"], ["d"]]


def test_the_terms_sums_are_not_drawn():
    from types import SimpleNamespace

    from ganflow.contract.loss import SUMS
    from ganflow.pictures.curves import panels_of

    values = {"critic/w": 1.0, "w_estimate": 2.0, "rounds_per_second": 3.0, **dict.fromkeys(SUMS, 4.0), "bad": math.nan}
    panels = panels_of([SimpleNamespace(round=1, values=values)])
    assert [(title, list(curves)) for title, curves in panels] == [("critic's terms", ["w"]), ("estimates", ["w_estimate"])]
