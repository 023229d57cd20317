"""ganflow translate: files as people have them, what it writes, and pictures in tiles."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from ganflow_translation.tiling import fade, spans, tiled
from PIL import Image

from ganflow.cli.main import main
from ganflow.recipe import read_recipe
from ganflow.runs.finding import find_run
from ganflow.runs.loading import load_game
from ganflow.runs.start import start

RECIPE = """
name: NAME
data: {use: unpaired_folder, path: PATH, size: 16, in_memory: always, crop: centre, flip: false, DATA}
generator: {use: resnet_translator, width: 4, blocks: 1, downs: 1, norm: batch}
critic: {use: patch, receptive_field: 7, width: 4}
loss: {use: cycle, identity: 0}
optimizer: {use: adam, lr: 1.0e-3}
train: {rounds: 1, batch_size: 2, compile: never, sample_every: 1}
track: {mlflow: false}
"""


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of colour pictures, one from four channels to two."""
    root = tmp_path_factory.mktemp("files")
    for side in "AB":
        (root / f"train{side}").mkdir()
        for i in range(4):
            Image.fromarray(noise(16, 16, 4, seed=i)).save(root / f"train{side}" / f"{i}.png")
    for name, data in (("colour", "range: [0, 100]"), ("clear", "a_channels: 4, b_channels: 2")):
        (root / "r.yaml").write_text(RECIPE.replace("NAME", name).replace("PATH", str(root)).replace("DATA", data))
        start(read_recipe(root / "r.yaml"), root / "runs", quiet=True)
    return root / "runs"


@pytest.fixture
def translate(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["translate", *map(str, arguments), "--runs", str(runs)])
        return (code, *capsys.readouterr())

    return run


def save(path, *shape, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(*shape, seed=seed)).save(path)


def made(runs, name, x):
    return load_game(find_run(name, runs)).call("to_b", x=torch.from_numpy(x))


def test_folders_below_and_twins(translate, tmp_path):
    for file in ("in/a.png", "in/a.jpg", "in/day/b.png", "in/day/c.PPM", "in/.hidden/d.png"):
        save(tmp_path / file, 16, 16, 3)
    code, out, err = translate("colour", "in", "-o", "out")
    assert (code, out) == (0, "wrote 3 images: out\n")
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")) == [
        "a.jpg.png", "a.png.png", "day/b.png"
    ]  # fmt: skip
    assert "left out of in: 1 .ppm; named one by one, what Pillow reads of these is taken" in err
    code, out, _ = translate("colour", "in/day/c.PPM")
    assert (code, out) == (0, "wrote 1 image: colour-to-b/c.png\n")


def test_what_is_broken_is_counted_and_the_rest_is_made(translate, tmp_path):
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", 16, 16, 3)
    (tmp_path / "in" / "1.png").write_bytes(b"junk")
    np.save(tmp_path / "in" / "3.npy", np.zeros((5, 5, 5), np.float32))
    code, out, err = translate("colour", "in", "-o", "out")
    assert (code, out) == (1, "wrote 2 images: out\n")
    assert "2 of 4 images cannot be translated: in/1.png: not an image; in/3.npy has shape (5, 5, 5); the run takes" in err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.png", "2.png"]


def test_what_the_network_cannot_take_is_counted_and_no_folder_is_made_for_it(translate, tmp_path):
    save(tmp_path / "in" / "a" / "small.png", 2, 40, 3)
    code, out, err = translate("colour", "in/a/small.png", "-o", "out")
    assert (code, out) == (2, "")
    assert "in/a/small.png is 40 × 2, too small for the network, which takes" in err
    np.save(tmp_path / "in" / "two.npy", noise(2, 3, 16, 16))
    code, out, err = translate("colour", "in", "-o", "out", "--format", "png")
    assert (code, out) == (1, "")
    assert "2 of 2 images cannot be translated: in/a/small.png is 40 × 2, too small" in err
    assert "in/two.npy holds 2 images, which no .png does: --format npy" in err
    assert not (tmp_path / "out").exists()
    save(tmp_path / "in" / "b" / "fine.png", 16, 16, 3)
    code, out, err = translate("colour", "in", "-o", "out")
    assert (code, out) == (1, "wrote 3 images in 2 files: out\n")
    save(tmp_path / "in" / "b" / "new.png", 16, 16, 3)
    assert translate("colour", "in", "-o", "out")[1] == "wrote 1 image, replaced 3 images in 2 files: out\n"
    (tmp_path / "out" / "b" / "new.png").unlink()
    made = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*"))
    assert made == ["b", "b/fine.png", "two.npy"]


def test_pixels_mean_what_they_meant_in_training(runs, translate, tmp_path):
    save(tmp_path / "a.png", 16, 16, 3)
    translate("colour", "a.png", "-o", "b.npy")
    levels = (np.clip(noise(16, 16, 3) / 100, 0, 1) * 255 + 1e-6).astype(np.uint8).astype(np.float32) / 127.5 - 1
    assert np.allclose(np.load("b.npy"), made(runs, "colour", levels.transpose(2, 0, 1)[None])[0], atol=1e-6)


@pytest.mark.parametrize("stored", ["chw", "hwc", "bytes", "unit", "several"])
def test_numbers(runs, translate, tmp_path, stored):
    x = np.random.default_rng(0).random((2, 3, 12, 10), np.float32) * 2 - 1
    x = x if stored == "several" else x[:1]
    if stored == "bytes":
        x = noise(1, 3, 12, 10)
        array, x = x[0], x.astype(np.float32) / 127.5 - 1
    else:
        array = {"chw": x[0], "hwc": x[0].transpose(1, 2, 0), "unit": (x[0] + 1) / 2, "several": x}[stored]
    np.save("a.npy", array)
    assert translate("colour", "a.npy", "-o", "out")[0] == 0
    written = np.load("out/a.npy")
    assert np.allclose(written if stored == "several" else written[None], made(runs, "colour", x), atol=1e-5)


def test_several_images_of_numbers_are_no_picture(translate):
    np.save("a.npy", noise(2, 3, 12, 12))
    code, _, err = translate("colour", "a.npy", "--format", "png")
    assert code == 2
    assert "a.npy holds 2 images, which no .png does: --format npy" in err


@pytest.mark.parametrize("array", [np.full((3, 8, 8), np.nan, np.float32), np.full((3, 8, 8), 7.0), np.zeros((3, 8, 8), int),
                                   np.zeros((3, 0, 8)), np.array([{}])])  # fmt: skip
def test_numbers_that_are_no_image(translate, array):
    np.save("a.npy", array, allow_pickle=True)
    code, _, err = translate("colour", "a.npy")
    assert code == 2
    assert "a.npy" in err
    assert "Traceback" not in err


def test_alpha_is_a_channel(runs, translate, tmp_path):
    save(tmp_path / "a.png", 16, 16, 4)
    assert translate("clear", "a.png", "-o", "b.png")[0] == 0
    x = noise(16, 16, 4).transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
    expected = ((made(runs, "clear", x)[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    with Image.open("b.png") as image:
        assert image.mode == "LA"
        assert np.array_equal(np.array(image), expected)
    assert translate("clear", "b.png", "--to", "a", "-o", "c.png")[0] == 0
    with Image.open("c.png") as image:
        assert image.mode == "RGBA"
    code, _, _ = translate("clear", "a.png", "--compare", "-o", "sheet.png")
    assert code == 0


def test_frames(translate, tmp_path):
    frames = [Image.fromarray(noise(16, 16, 3, seed=i)) for i in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    _, out, err = translate("colour", "a.tif", "-o", "first")
    assert "1 file has several: 2 pages or frames after the first are left out; --frames all uses them" in err
    code, out, err = translate("colour", "a.tif", "--frames", "all", "-o", "all")
    assert (code, out, err) == (0, "wrote 3 images: all\n", "")
    frames[2].save(tmp_path / "c.png")
    translate("colour", "c.png", "-o", "c")
    assert (tmp_path / "all" / "a-002.png").read_bytes() == (tmp_path / "c" / "c.png").read_bytes()


def test_truth_below_and_under_another_ending(translate, tmp_path):
    save(tmp_path / "in" / "day" / "a.png", 16, 16, 3)
    save(tmp_path / "true" / "day" / "a.JPG", 16, 16, 3)
    assert translate("colour", "in", "--compare", "--truth", "true", "-o", "out")[0] == 0
    code, _, err = translate("colour", "in/day", "--compare", "--truth", "true", "-o", "out")
    assert code == 2
    assert "--truth: there is no a in true" in err


def test_tiles_make_what_the_whole_picture_makes(runs, translate, tmp_path):
    """The network sees 20 pixels far; a tile of 160 throws 22 away at each of its seams."""
    save(tmp_path / "a.png", 331, 245, 3)
    translate("colour", "a.png", "-o", "whole.npy")
    assert translate("colour", "a.png", "--tile", "160", "-o", "tiles.npy")[0] == 0
    whole, tiles = np.load("whole.npy"), np.load("tiles.npy")
    assert np.abs(whole - tiles).max() < 1e-5
    assert translate("colour", "a.png", "--tile", "400", "-o", "one.npy")[0] == 0
    assert np.array_equal(np.load("one.npy"), whole)


def test_tiles_fade_into_each_other():
    """Where a network makes of each tile another level, there is no step but from pixel to pixel of a ramp."""
    levels = iter(range(100))
    made = tiled(lambda x: torch.full_like(x[:, :1], float(next(levels))), torch.zeros(1, 3, 64, 300), 64)
    assert made.shape == (1, 1, 64, 300)
    assert made.diff(dim=3).max() <= 1 / 6 + 1e-6
    assert made[0, 0, 0, 0] == 0


@pytest.mark.parametrize("length", [64, 65, 100, 127, 128, 129, 500])
@pytest.mark.parametrize("multiple", [1, 4, 32])
def test_spans_cover_and_weights_add_up(length, multiple):
    found = list(spans(length, 64, multiple))
    assert (found[0][0], found[-1][1]) == (0, length)
    assert all(first % multiple == 0 for first, _ in found)
    assert all(64 <= end - first < 64 + multiple for first, end in found)  # a network may have a least size
    weights = torch.zeros(length)
    for first, end in found:
        weights[first:end] += fade(first, end, length, 64)
    assert (weights > 0).all()


def test_what_does_not_fit(runs, translate, tmp_path, monkeypatch):
    from ganflow.engine.game import Game

    def call(self, name, x, **rest):
        raise RuntimeError("[enforce fail] not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(Game, "call", call)
    save(tmp_path / "a.png", 16, 24, 3)
    code, _, err = translate("colour", "a.png")
    assert code == 2
    assert "a picture of 24 × 16 does not fit in memory at once: --tile 512" in err


def test_a_picture_too_large_for_the_memory_is_refused_before_it_is_translated(translate, tmp_path, monkeypatch):
    """The kernel would end the process: it promises more memory than there is."""
    save(tmp_path / "in" / "large.png", 800, 800, 3)
    monkeypatch.setattr("ganflow.engine.allocation.LARGE", 2**20)
    monkeypatch.setattr("ganflow.machine.available", lambda: 2**25)
    code, _, err = translate("colour", "in/large.png", "-o", "out")
    assert (code, err) == (2, "ganflow: a picture of 800 × 800 does not fit in memory at once: --tile 512\n")
    assert translate("colour", "in/large.png", "-o", "out", "--tile", "64")[0] == 0


def npy(header):
    """A .npy file of nothing but a header."""
    return b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header.encode() + b"\n"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 3, 16000, 16000), }"), "mmap length"),
        (npy("(" * 60_000), "Header info length (60001) is large"),
        (npy("(" * 5_000), "EOF in multi-line statement"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (3, 4, 4), }"), "Python objects in dtype"),
        (b"", "No data left in file"),
    ],
)
def test_a_file_of_numbers_from_a_stranger(translate, tmp_path, data, why):
    """One line, which does not say how the file is trusted; nor is it memory that is short."""
    (tmp_path / "x.npy").write_bytes(data)
    code, _, err = translate("colour", "x.npy")
    assert code == 2
    assert err.startswith("ganflow: cannot read the image x.npy: ")
    assert err.count("\n") == 1
    assert "pickle" not in err
    assert why in err


def test_damaged_metadata_is_no_warning_of_a_librarys(tmp_path):
    (tmp_path / "x.tif").write_bytes(b"II*\0\x08\0\0\0" + b"\xff" * 100)
    code = "import sys, pathlib; from ganflow import read_image; read_image(pathlib.Path(sys.argv[1]), 3)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.tif")], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith("x.tif: not an image")
    assert "Warning" not in done.stderr
