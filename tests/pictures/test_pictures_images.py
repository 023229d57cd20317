"""Grids of images, files that are whole or absent, animations."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ganflow.errors import GanflowError
from ganflow.pictures import captioned, gif, image_grid, replacing_file, save_png
from ganflow.pictures.files import read_image


def test_every_pixel_of_a_grid_is_where_it_belongs():
    images = torch.full((3, 1, 2, 2), -1.0)
    images[1] = 1.0
    images[2, 0, 1, 0] = 0.0  # mid-grey: 127.5 rounds to the even 128
    picture = np.asarray(image_grid(images, columns=2, scale=3))
    # two rows of two tiles, 6 pixels each, with gaps of 2 between and around
    assert picture.shape == (2 + 6 + 2 + 6 + 2, 2 + 6 + 2 + 6 + 2)
    assert (picture[2:8, 2:8] == 0).all()
    assert (picture[2:8, 10:16] == 255).all()
    assert (picture[13:16, 2:5] == 128).all()
    assert (picture[10:13, 2:8] == 0).all()
    assert (picture[13:16, 5:8] == 0).all()
    assert (picture[10:16, 10:16] == 255).all(), "the fourth place is empty"
    assert (picture[8:10] == 255).all(), "the gap"


def test_colours_keep_their_places():
    images = torch.full((1, 3, 4, 4), -1.0)
    images[0, 0], images[0, 2] = 1.0, 0.5
    picture = np.asarray(image_grid(images, scale=1))
    assert picture[3, 3].tolist() == [255, 0, 191]  # (0.5 + 1) · 127.5 = 191.25


@pytest.mark.parametrize(("side", "scale"), [(8, 8), (16, 4), (28, 2), (32, 2), (64, 1), (256, 1)])
def test_small_images_are_enlarged_by_a_whole_factor(side, scale):
    assert image_grid(torch.zeros(4, 1, side, side)).width == 2 * (side * scale + 2) + 2


@pytest.mark.parametrize(("channels", "mode", "tile"), [(1, "L", 8), (2, "L", 16), (3, "RGB", 8), (5, "RGB", 8)])
def test_any_number_of_channels(channels, mode, tile):
    picture = image_grid(torch.zeros(1, channels, 8, 8), scale=1)
    assert picture.mode == mode
    assert picture.size == (tile + 4, 12)


def test_values_out_of_range_are_clipped_and_no_number_is_grey():
    images = torch.tensor([-7.0, 7.0, float("nan"), float("inf")]).view(1, 1, 2, 2)
    picture = np.asarray(image_grid(images, scale=1))[2:4, 2:4]
    assert picture.tolist() == [[0, 255], [128, 255]]


@pytest.mark.parametrize(
    ("n", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (4, 2, 2), (7, 3, 3), (8, 4, 2), (10, 5, 2), (64, 8, 8), (97, 10, 10)]
)
def test_a_grid_is_about_as_wide_as_high_and_full_where_it_can_be(n, columns, rows):
    picture = image_grid(torch.zeros(n, 1, 8, 8), scale=1)
    assert ((picture.width - 2) / 10, (picture.height - 2) / 10) == (columns, rows)


def test_the_images_given_are_left_as_they_were():
    images = torch.rand(4, 1, 8, 8, requires_grad=True) * 4 - 2
    before = images.detach().clone()
    image_grid(images)
    assert torch.equal(images, before)


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match="shape"):
        image_grid(torch.zeros(4, 8, 8))
    with pytest.raises(ValueError, match="shape"):
        image_grid(torch.zeros(0, 1, 8, 8))


def test_a_picture_comes_back_as_it_was_saved_and_its_bytes_are_always_the_same(tmp_path):
    picture = image_grid(torch.rand(9, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    save_png(picture, tmp_path / "a.png")
    save_png(picture, tmp_path / "b.png")
    with Image.open(tmp_path / "a.png") as read:
        assert np.array_equal(np.asarray(read), np.asarray(picture))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"], "no scratch files"


def test_a_file_that_could_not_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with replacing_file(path) as scratch:
            scratch.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(GanflowError, match=r"cannot write .*a\.txt: No space left"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_one_sentence(tmp_path):
    with pytest.raises(GanflowError, match="No such file"):
        save_png(Image.new("L", (4, 4)), tmp_path / "nowhere" / "a.png")


def frames(tmp_path, shades, mode="L"):
    paths = []
    for i, shade in enumerate(shades):
        paths.append(tmp_path / f"round-{i:08}.png")
        save_png(Image.new(mode, (30, 20), shade if mode == "L" else (shade, 255 - shade, 0)), paths[-1])
    return paths


def gif_frames(path):
    """(pixel in the middle of the picture, milliseconds) of every frame."""
    with Image.open(path) as image:
        found = []
        for i in range(image.n_frames):
            image.seek(i)
            found.append((image.convert("RGB").getpixel((15, 10)), image.info["duration"]))
        return found, image.info.get("loop"), image.size


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_gif_shows_the_pictures_in_order_and_repeats(tmp_path, mode):
    out = tmp_path / "a.gif"
    gif(frames(tmp_path, [10, 120, 250], mode), out, fps=10)
    found, loop, size = gif_frames(out)
    expected = [(s, s, s) if mode == "L" else (s, 255 - s, 0) for s in (10, 120, 250)]
    assert [pixel for pixel, _ in found] == expected
    assert [ms for _, ms in found] == [100, 100, 1500], "the last one stays"
    assert (loop, size) == (0, (30, 20))


def test_a_gif_of_pictures_in_memory_without_a_stay(tmp_path):
    gif([Image.new("L", (30, 20), s) for s in (0, 200)], tmp_path / "a.gif", fps=20, hold=False)
    assert [ms for _, ms in gif_frames(tmp_path / "a.gif")[0]] == [50, 50]


def test_no_browser_is_asked_for_more_than_50_frames_a_second(tmp_path):
    gif([Image.new("L", (30, 20), s) for s in (0, 200)], tmp_path / "a.gif", fps=1000, hold=False)
    assert [ms for _, ms in gif_frames(tmp_path / "a.gif")[0]] == [20, 20]


def test_a_link_in_the_place_of_the_scratch_file_is_not_written_through(tmp_path):
    """A run's folder may come from a stranger."""
    target = tmp_path / "target"
    target.write_text("theirs")
    (tmp_path / f".a.png.{os.getpid()}").symlink_to(target)
    save_png(Image.new("L", (4, 4)), tmp_path / "a.png")
    assert target.read_text() == "theirs"
    assert not (tmp_path / "a.png").is_symlink()


def test_captions_go_below_the_picture(tmp_path):
    picture = Image.new("RGB", (200, 40), (250, 0, 0))
    whole = np.asarray(captioned(picture, "round 500"))
    assert (whole[:40] == (250, 0, 0)).all(), "nothing of the picture is covered"
    assert (whole[40:].min(axis=2) < 128).any(), "there is ink"
    assert not np.array_equal(whole, np.asarray(captioned(picture, "round 600")))
    gif(frames(tmp_path, [0, 50]), tmp_path / "a.gif", captions=["round 0", "round 1"])
    assert gif_frames(tmp_path / "a.gif")[2][1] > 20


def test_a_damaged_or_different_picture_is_named(tmp_path):
    paths = frames(tmp_path, [0, 50, 100])
    paths[1].write_bytes(paths[1].read_bytes()[:30])
    with pytest.raises(GanflowError, match=r"round-00000001\.png"):
        gif(paths, tmp_path / "a.gif")
    save_png(Image.new("L", (31, 20)), paths[1])
    with pytest.raises(GanflowError, match=r"round-00000001\.png is 31×20"):
        gif(paths, tmp_path / "a.gif")
    with pytest.raises(GanflowError, match="two pictures"):
        gif(paths[:1], tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()


def test_drawing_images_imports_neither_matplotlib_nor_torch():
    code = "import sys, ganflow.pictures; assert not {'matplotlib', 'torch'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_picture_of_numbers_that_are_none_is_not_taken_for_a_black_one(tmp_path, number):
    values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    values[1, 1] = number
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(GanflowError, match=r"^cannot read the image .*a\.tif: it holds NaN or infinite numbers$"):
        read_image(tmp_path / "a.tif", 1, (0.0, 1.0))
