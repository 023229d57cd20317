"""Images as people have them: the range of their numbers, transparency, pages, and files that are left out."""

import os
import threading

import numpy as np
import pytest
import torch
from ganflow_data import ImageFolder
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from ganflow.errors import GanflowError

SLOPE = np.linspace(0, 1, 16)[None, :].repeat(16, 0)  # from black on the left to white on the right
EIGHT = torch.from_numpy((SLOPE * 255 + 1e-6).astype(np.uint8) / 127.5 - 1).float()
"""The slope in 8 bits, in [-1, 1]."""


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def built(folder, **keys):
    return ImageFolder(path=str(folder), size=16, held_out=0, **keys).data()


def only(folder, **keys):
    (image,) = built(folder, channels=1, **keys).train["real"]
    return image[0]


@pytest.mark.parametrize(
    ("pixels", "name", "keys"),
    [
        (SLOPE * 65535, "whole.png", {}),  # 16 bits that are all used
        (SLOPE * 4095, "twelve.png", {"range": [0, 4095]}),
        (SLOPE * 255, "eight.tif", {"range": [0, 255]}),  # in files of 32 bits
        (SLOPE * 2.5 - 1, "float.tif", {"range": [-1, 1.5]}),
        (SLOPE * 15, "four.bmp", {"range": [0, 15]}),  # 4 bits in files of 8
        ((1 - SLOPE) * 100, "negative.bmp", {"range": [100, 0]}),
    ],
)
def test_black_and_white(folder, pixels, name, keys):
    kind = {".png": np.uint16, ".bmp": np.uint8}.get(name[-4:], np.float32 if "float" in name else np.int32)
    stored = pixels if kind is np.float32 else (pixels + 1e-9).astype(kind)
    Image.fromarray(np.asarray(stored, kind)).save(folder / name)
    low, high = keys.get("range", [0, 65535])
    expected = ((np.asarray(stored, kind).astype(float) - low) / (high - low) * 255 + 1e-6).astype(np.uint8) / 127.5 - 1
    assert torch.allclose(only(folder, **keys), torch.from_numpy(expected).float(), atol=1e-6)
    assert torch.allclose(only(folder, **keys), EIGHT, atol=2 / 15 if "four" in name else 0.03)


@pytest.mark.parametrize(("kind", "high"), [(np.int32, 255), (np.float32, 0.5)])
def test_what_has_no_known_range_is_refused(folder, kind, high):
    Image.fromarray((SLOPE * high).astype(kind)).save(folder / "a.tif")
    with pytest.raises(GanflowError, match=rf"a.tif has pixels of 32 bits between 0 and {high}.*'data.range=\[0, {high}\]'"):
        built(folder)


def test_a_range_of_one_number(folder):
    for wrong in ([1.0], [2.0, 2.0], [0.0, 1.0, 2.0]):
        with pytest.raises(ValueError, match="two different numbers"):
            ImageFolder(path="x", range=wrong)


@pytest.mark.parametrize(
    ("background", "level"), [("white", 1.0), ("black", -1.0), ("grey", 128 / 127.5 - 1), ("#ff8000", None)]
)
def test_what_transparent_pixels_lie_over(folder, background, level):
    pixels = np.full((16, 16, 4), 255, np.uint8)
    pixels[:, :8] = (0, 0, 0, 0)  # black and transparent on the left, white on the right
    Image.fromarray(pixels).save(folder / "a.png")
    (image,) = built(folder, background=background).train["real"]
    left = [level] * 3 if level is not None else [1.0, 128 / 127.5 - 1, -1.0]
    assert torch.allclose(image[:, 0, 0], torch.tensor(left), atol=1e-6)
    assert torch.equal(image[:, 0, 15], torch.ones(3))


def test_a_background_that_is_no_colour():
    with pytest.raises(ValueError, match="white, black, grey, or red, green and blue as '#8080ff'"):
        ImageFolder(path="x", background="nowhere")


def pages(folder, count):
    r = np.random.default_rng(0)
    images = [Image.fromarray(r.integers(0, 255, (16, 16), dtype=np.uint8)) for _ in range(count)]
    images[0].save(folder / "a.tif", save_all=True, append_images=images[1:])
    images[0].save(folder / "b.png")
    return torch.stack([torch.from_numpy(np.array(image)).float() / 127.5 - 1 for image in images])[:, None]


def test_pages_are_counted_or_used(folder, capsys):
    every = pages(folder, 5)
    assert torch.equal(built(folder, channels=1).train["real"], every[[0, 0]])
    left = "4 pages or frames after the first are left out; data.frames=all uses them"
    assert f"1 file has several: {left}" in capsys.readouterr().err
    for memory in ("always", "never"):
        data = built(folder, channels=1, frames="all", in_memory=memory)
        assert data.size == 6
        rows = data.train["real"] if memory == "always" else torch.stack([data.load(i, None)["real"] for i in range(6)])
        assert torch.equal(rows, every[[0, 1, 2, 3, 4, 0]])
    assert not capsys.readouterr().err
    assert data.fingerprint() != built(folder, channels=1, in_memory="never").fingerprint()


def test_files_that_look_like_images_are_named(folder, capsys):
    Image.fromarray((SLOPE * 255).astype(np.uint8)).save(folder / "a.jfif", format="JPEG")
    for name in ("b.psd", "c.psd", "d.svg", "notes.txt"):
        (folder / name).write_text("x")
    assert built(folder).size == 1
    said = capsys.readouterr().err
    assert f"left out of {folder}: 2 .psd, 1 .svg; 'data.extensions=[.jfif, .psd]' takes .psd, too, if Pillow reads it\n" in said
    assert "txt" not in said


def test_a_folder_without_images_says_what_is_in_it(folder):
    (folder / "a.txt").write_text("x")
    with pytest.raises(GanflowError, match=r"no images in .* or below, there are 1 \.txt; files that count: \.avif"):
        built(folder)


def test_heif_is_read_by_its_own_package(folder, monkeypatch, capsys):
    import ganflow_layers.files as module
    from pillow_heif import register_heif_opener

    register_heif_opener()
    Image.fromarray((SLOPE * 255).astype(np.uint8)).convert("RGB").save(folder / "a.heic", quality=100)
    assert torch.allclose(only(folder), EIGHT, atol=0.05)
    Image.fromarray((SLOPE * 255).astype(np.uint8)).save(folder / "b.png")
    monkeypatch.setattr(module, "_reads_heif", lambda: False)
    assert built(folder).size == 1
    assert "1 .heic; pip install 'ganflow[heif]' reads .heic" in capsys.readouterr().err


def test_a_named_pipe_is_not_waited_for(folder, capsys):
    os.mkfifo(folder / "a.png")
    Image.fromarray((SLOPE * 255).astype(np.uint8)).save(folder / "b.png")
    found = []

    def build():
        for memory in ("always", "never"):
            found.append(built(folder, on_error="skip", in_memory=memory))
            found[-1].fingerprint()

    thread = threading.Thread(target=build, daemon=True)
    thread.start()
    thread.join(20)
    assert len(found) == 2
    assert found[0].skipped == ["a.png"]
    assert "a.png: " in capsys.readouterr().err


def test_links_that_lead_in_a_circle(folder, capsys):
    Image.fromarray((SLOPE * 255).astype(np.uint8)).save(folder / "x.png")
    os.symlink("b.png", folder / "a.png")
    os.symlink("a.png", folder / "b.png")
    os.symlink(".", folder / "here")
    with pytest.raises(GanflowError, match=r"cannot read 2 images in .*: a.png \(Too many levels of symbolic links\), b.png"):
        built(folder)
    data = built(folder, on_error="skip")
    assert (data.size, data.skipped) == (1, ["a.png", "b.png"])  # x.png once, though it lies in here/, too


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as the program does, which pytest undoes
def test_huge_pictures(folder, monkeypatch):
    Image.fromarray((SLOPE * 255).astype(np.uint8)).save(folder / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    assert torch.allclose(only(folder), EIGHT)  # 256 pixels: above the limit, below twice that
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(GanflowError, match=r"a.png \(more than 200 pixels\); mend or remove them"):
        built(folder)


def test_tiny_and_very_long_pictures(folder):
    Image.new("L", (1, 1), 51).save(folder / "a.png")
    assert torch.allclose(only(folder), torch.tensor(51 / 127.5 - 1))
    long = np.zeros((2, 60_000), np.uint8)
    long[:, 29_999:30_001] = 255  # scaled as a whole it would have 7.7 million pixels
    Image.fromarray(long).save(folder / "a.png")
    around = Image.fromarray(long[:, 29_990:30_010]).resize((160, 16), Image.Resampling.BICUBIC).crop((72, 0, 88, 16))
    assert torch.allclose(only(folder), torch.from_numpy(np.array(around)).float() / 127.5 - 1, atol=0.01)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(40, 50), (130, 120)])
def test_scaled_as_pillow_scales(folder, channels, size):
    """Smaller, antialiased, and larger: to a level or two of 256."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (90, 100, channels), dtype=np.uint8)
    picture = Image.fromarray(pixels.squeeze())
    picture.save(folder / "a.png")
    found = ImageFolder(path=str(folder), size=size, crop="none", channels=channels, held_out=0).data().train["real"][0]
    pillows = np.asarray(picture.resize(size[::-1], Image.Resampling.BICUBIC)).reshape(*size, channels)
    levels = (found.permute(1, 2, 0) + 1) * 127.5
    assert (levels - torch.tensor(pillows)).abs().max() <= 2.01


@pytest.mark.parametrize("turned", [False, True])
def test_a_large_photo_is_decoded_small(folder, monkeypatch, turned):
    """A JPEG of 800 × 600 pixels at a fourth, which is three times what it is scaled to; the same picture but for a level."""
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8))
    photo, exif = coarse.resize((800, 600), Image.Resampling.BICUBIC), Image.Exif()
    exif[0x0112] = 6 if turned else 1
    photo.save(folder / "a.jpg", quality=95, exif=exif)
    decoded = []
    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda self: (load(self), decoded.append(self.size))[0])
    found = ImageFolder(path=str(folder), size=48, held_out=0).data().train["real"][0]
    assert set(decoded) == {(200, 150)}
    upright = photo.rotate(270, expand=True) if turned else photo
    scaled = upright.resize((48, 64) if turned else (64, 48), Image.Resampling.BICUBIC)
    square = scaled.crop((0, 8, 48, 56) if turned else (8, 0, 56, 48))
    off = ((found.permute(1, 2, 0) + 1) * 127.5 - torch.tensor(np.asarray(square))).abs()
    assert off.mean() < 1
    assert off.max() < 8
