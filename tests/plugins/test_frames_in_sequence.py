"""Frames of one file: each costs the way from the one that was read before it, and not from the first."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ganflow_layers.frames import KEPT, opened
from PIL import GifImagePlugin, Image, ImageSequence

COUNT = 60


def written(file, seed=0):
    """A picture of COUNT frames, in each of which a square is somewhere else."""
    frames, rng = [], np.random.default_rng(seed)
    for i in range(COUNT):
        pixels = np.zeros((16, 16, 3), np.uint8)
        pixels[i % 13 : i % 13 + 3, (7 * i) % 13 :][:, :3] = rng.integers(60, 255, 3)
        frames.append(Image.fromarray(pixels))
    options = {"lossless": True} if file.suffix == ".webp" else {}
    frames[0].save(file, save_all=True, append_images=frames[1:], **options)
    return file


def pixels_of(file, frame):
    with opened(file, frame) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def steps(monkeypatch):
    """One entry for each frame of a GIF that is decoded."""
    seen, seek = [], GifImagePlugin.GifImageFile._seek

    def counted(self, frame, update_image=True):
        if update_image:
            seen.append(frame)
        return seek(self, frame, update_image)

    monkeypatch.setattr(GifImagePlugin.GifImageFile, "_seek", counted)
    return seen


@pytest.mark.parametrize("ending", [".gif", ".tiff", ".webp"])
@pytest.mark.parametrize("threads", [1, 4])
def test_frames_are_those_of_a_file_that_is_opened_for_each(tmp_path, ending, threads):
    files = [written(tmp_path / f"{i}{ending}", i) for i in range(2)]
    expected = {}
    for file in files:
        with Image.open(file) as image:
            expected |= {(file, i): np.asarray(each.convert("RGB")) for i, each in enumerate(ImageSequence.Iterator(image))}
    wanted = [*expected, *random.Random(0).sample(list(expected), len(expected))]
    with ThreadPoolExecutor(threads) as pool:
        for (file, i), found in zip(wanted, pool.map(lambda each: pixels_of(*each), wanted), strict=True):
            assert np.array_equal(found, expected[file, i])


def test_frames_in_sequence_are_decoded_once(tmp_path, steps):
    file = written(tmp_path / "a.gif")
    for i in range(COUNT):
        pixels_of(file, i)
    assert len(steps) <= 2 * COUNT  # from the first one on for each, they would be 1,800


def test_frames_in_any_sequence_cost_a_part_of_the_way_from_the_first(tmp_path, steps):
    file = written(tmp_path / "a.gif")
    sequence = [random.Random(0).randrange(COUNT) for _ in range(4)] + random.Random(1).sample(range(COUNT), COUNT)
    for i in sequence:
        pixels_of(file, i)
    assert len(steps) < sum(sequence) / 3


def test_a_file_that_was_replaced_is_read_anew_and_few_stay_open(tmp_path):
    file = written(tmp_path / "a.gif")
    before = pixels_of(file, 5)
    written(tmp_path / "b.gif", 1).replace(file)
    assert not np.array_equal(pixels_of(file, 6), before)
    with Image.open(file) as image:
        image.seek(7)
        assert np.array_equal(pixels_of(file, 7), np.asarray(image.convert("RGB")))
    others = [written(tmp_path / f"{i}.gif") for i in range(KEPT + 4)]
    for each in others:
        pixels_of(each, 1)
    for each in others:
        assert pixels_of(each, 2).shape == (16, 16, 3)


def test_a_frame_that_is_damaged_leaves_the_others(tmp_path):
    file = written(tmp_path / "a.gif")
    pixels_of(file, 3)
    with pytest.raises(EOFError):
        pixels_of(file, COUNT)
    assert pixels_of(file, 4).any()
