"""Every kind of image file with every number of channels."""

import io

import numpy as np
import pytest
import torch
from ganflow_data import ImageFolder
from ganflow_translation.data import UnpairedFolder
from PIL import Image

from ganflow.pictures.files import to_eight_bits
from ganflow.pictures.images import image_grid, picture_of

OPAQUE, CLEAR = (200, 100, 50, 255), (200, 100, 50, 0)
GREY = 124  # of that colour, by Rec. 601


def kinds():
    """Images of 8 × 8 pixels, the left half of each with alpha clear."""
    clear = Image.new("RGBA", (8, 8), OPAQUE)
    clear.paste(CLEAR, (0, 0, 4, 8))
    colour = Image.new("RGB", (8, 8), OPAQUE[:3])
    turned = Image.Exif()
    turned[0x0112] = 3
    yield "RGB", colour, False, {}
    yield "RGBA", clear, True, {}
    yield "LA", clear.convert("LA"), True, {}
    yield "L", colour.convert("L"), False, {}
    yield "palette", colour.quantize(4), False, {}
    palette = clear.convert("RGB").quantize(2)
    pixels = np.array(palette)
    pixels[:, :4] = 1 - pixels[0, 7]
    with_alpha = Image.fromarray(pixels, "P")
    with_alpha.putpalette([200, 100, 50] * 2)
    yield "palette with alpha", with_alpha, True, {"transparency": int(pixels[0, 0])}
    yield "CMYK", colour.convert("CMYK"), False, {}
    yield "one bit", Image.new("1", (8, 8), 1), False, {}


def stored(image, name, keys):
    file = io.BytesIO()
    image.save(file, "TIFF" if name == "CMYK" else "PNG", **keys)
    return Image.open(file)


@pytest.mark.parametrize(("name", "image", "clear", "keys"), list(kinds()), ids=[kind[0] for kind in kinds()])
def test_every_kind(name, image, clear, keys):
    opened = stored(image, name, keys)
    colour = {"L": (GREY,) * 3, "LA": (GREY,) * 3, "one bit": (255,) * 3}.get(name, OPAQUE[:3])
    grey = {"one bit": 255}.get(name, GREY)
    near = {"atol": 1.5}
    for channels, right, left in ((1, (grey,), (255,)), (2, (grey, 255), (grey, 0)), (3, colour, (255,) * 3),
                                  (4, (*colour, 255), (*colour, 0))):  # fmt: skip
        made = np.array(to_eight_bits(opened, channels)).reshape(8, 8, channels)
        assert np.allclose(made[4, 6], right, **near), channels
        assert np.allclose(made[4, 1], left if clear else right, **near), channels


def test_alpha_is_not_stretched():
    image = Image.new("LA", (4, 4), (10, 128))
    assert to_eight_bits(image, 2, (0, 20)).getpixel((0, 0)) == (127, 128)
    assert to_eight_bits(image, 4, (0, 20)).getpixel((0, 0)) == (127, 127, 127, 128)


def test_more_channels_are_in_no_image():
    with pytest.raises(ValueError, match=r"5 channels, which no image file has: such are read from \.npy"):
        to_eight_bits(Image.new("RGB", (2, 2)), 5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_folders_have_the_channels_asked_for(tmp_path, channels):
    for folder in ("trainA", "trainB"):
        (tmp_path / folder).mkdir()
        for i in range(2):
            Image.fromarray(np.full((8, 8, 4), 60 * i, np.uint8)).save(tmp_path / folder / f"{i}.png")
    data = ImageFolder(path=str(tmp_path / "trainA"), size=8, channels=channels, held_out=0).data()
    assert data.train["real"].shape == (2, channels, 8, 8)
    apart = UnpairedFolder(path=str(tmp_path), size=8, crop="centre", flip=False, a_channels=channels, held_out=0).data()
    assert torch.equal(apart.train["a"], data.train["real"])
    assert apart.fields["b"].shape == (3, 8, 8)


def test_no_background_under_alpha():
    for make in (lambda: ImageFolder(path="x", channels=4, background="black"),
                 lambda: UnpairedFolder(path="x", a_channels=2, b_channels=4, background="black")):  # fmt: skip
        with pytest.raises(ValueError, match="with 2 or 4 channels transparency is one of them"):
            make()
    UnpairedFolder(path="x", a_channels=2, background="black")  # b has none


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_and_its_numbers(channels):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, channels), dtype=np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1
    assert np.array_equal(np.array(picture_of(image)).reshape(5, 7, channels), pixels)


def test_four_channels_are_drawn_over_white():
    image = torch.full((1, 4, 1, 2), -1.0)
    image[:, 3, 0, 1] = 0.0  # clear on the left, half black on the right
    grid = np.array(image_grid(image, scale=1, gap=0))
    assert grid[0].tolist() == [[255] * 3, [128] * 3]
