"""Folders of images that cannot be used, or not wholly."""

import os
import shlex
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

SMALL = (
    "wgan_paper", "-q", "data.path=images", "data.size=16", "prior.dim=4", "generator.width=4", "critic.width=4",
    "train.rounds=2", "train.batch_size=4", "train.compile=never", "track.mlflow=false",
)  # fmt: skip
STREAMED = ("data.in_memory=never", "data.held_out=0")


@pytest.fixture
def images(tmp_path):
    """Twelve pictures in images/."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(folder / f"{i:02}.png")
    return folder


def truncate(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def bomb():
    """A PNG whose header says 60,000 × 60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\0IDAT"


def no_run(tmp_path):
    return not (tmp_path / "runs").exists()


def test_good_images_train(command, images):
    assert command("run", *SMALL)[0] == 0
    assert command("run", *SMALL, *STREAMED)[0] == 0


def test_no_folder(command, tmp_path):
    assert command.refused("run", *SMALL) == "ganflow: data.path: there is no folder images; name yours: data.path=FOLDER"
    assert no_run(tmp_path)


def test_an_empty_folder(command, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "notes.txt").write_text("none yet")
    said = command.refused("run", *SMALL)
    assert said.startswith("ganflow: data.path: no images in images or below, there are 1 .txt; files that count: .avif, ")
    assert no_run(tmp_path)


def test_a_folder_that_cannot_be_asked_for(command, tmp_path):
    said = command.refused("run", *SMALL, f"data.path={'x' * 300}")
    assert said == f"ganflow: data.path: '{'x' * 50}' … (300 characters) cannot be a path: File name too long"
    assert no_run(tmp_path)


def test_a_file_in_place_of_a_folder(command, tmp_path):
    (tmp_path / "images").write_text("")
    assert command.refused("run", *SMALL) == "ganflow: data.path: images is a file; name the folder of the images"
    assert no_run(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read(command, images, tmp_path):
    images.chmod(0)
    try:
        assert command.refused("run", *SMALL) == "ganflow: data.path: cannot read the folder images: Permission denied"
    finally:
        images.chmod(0o755)
    assert no_run(tmp_path)


def test_a_truncated_image_is_named_and_refused(command, images, tmp_path):
    truncate(images / "05.png")
    said = command.refused("run", *SMALL)
    assert said == (
        "ganflow: data.path: cannot read 1 image in images: 05.png (image file is truncated); "
        "mend or remove them, or leave such files out: data.on_error=skip"
    )
    assert no_run(tmp_path)
    assert said == command.refused("run", *SMALL, *STREAMED)


def test_all_that_is_broken_is_named_before_a_run_begins(command, images, tmp_path):
    """Of files that are decoded when they are drawn, too: the survey before a run sees 32 of the 112."""
    for i in range(100):
        shutil.copy(images / "01.png", images / f"2{i:02}.png")
    (images / "30.png").write_text("no picture")
    (images / "31.png").write_bytes(bomb())
    os.mkfifo(images / "32.png")
    (images / "33.png").symlink_to("nowhere")
    assert command.refused("run", *SMALL, *STREAMED) == (
        "ganflow: data.path: cannot read 4 images in images: 30.png (not an image), 31.png (more than 178,956,970 pixels), "
        "32.png (not a regular file), 33.png (No such file or directory); mend or remove them, or leave such files out: "
        "data.on_error=skip"
    )
    assert no_run(tmp_path)


def test_a_run_that_meets_a_broken_file_goes_on_without_it(command, images, tmp_path):
    """A file that was cut off shows when it is decoded; what is then advised can be typed beside --resume."""
    for i in range(100):
        shutil.copy(images / "01.png", images / f"2{i:02}.png")
    truncate(images / "203.png")
    recipe = [*SMALL, *STREAMED, "train.rounds=40"]
    refused = command.refused("run", *recipe)
    text, _, again = refused.partition("; go on from the last checkpoint with: ganflow ")
    assert "203.png (image file is truncated); mend or remove them, or leave such files out: data.on_error=skip" in text
    assert again.endswith(" data.on_error=skip")
    code, out, err = command(*shlex.split(again))
    assert (code, "40 rounds" in out) == (0, True)
    assert "left out images/203.png: image file is truncated" in err


@pytest.mark.parametrize("streamed", [(), STREAMED], ids=["in memory", "streamed"])
def test_a_truncated_image_is_named_and_skipped(command, images, streamed):
    truncate(images / "05.png")
    code, out, err = command("run", *SMALL, *streamed, "data.on_error=skip")
    assert code == 0
    assert "2 rounds; look at runs/wgan_paper/" in out
    assert err.splitlines()[0] == "ganflow: left out images/05.png: image file is truncated"


@pytest.mark.parametrize("streamed", [(), STREAMED], ids=["in memory", "streamed"])
def test_not_one_image_can_be_read(command, images, streamed):
    for path in images.iterdir():
        path.write_text("no picture at all")
    said = command.refused("run", *SMALL, *streamed, "data.on_error=skip").splitlines()
    assert said[0].startswith("ganflow: left out images/")
    assert said[0].endswith(".png: not an image")
    assert said[-1].startswith("ganflow: none of the 1")
    assert said[10] == "ganflow: left out 12 by now"
    assert len(set(said)) == len(said) == 10 + 1 + 1


def test_all_held_out(command, images, tmp_path):
    said = command.refused("run", *SMALL, "data.held_out=12")
    leaves = "data.held_out: 12 leaves nothing of the 12 examples of images for training"
    assert said == f"ganflow: {leaves}; keep fewer: data.held_out=1"
    assert no_run(tmp_path)


def test_a_picture_or_another_file_in_place_of_a_folder(command, images, tmp_path):
    said = command.refused("run", *SMALL, "data.path=images/00.png")
    assert said == "ganflow: data.path: images/00.png is a file; name the folder of the images: data.path=images"
    np.save("x.npy", np.zeros((2, 3, 16, 16), np.float32))
    said = command.refused("run", *SMALL, "data.path=x.npy")
    assert said.endswith("""name the folder of the images; 'data={use: tensor_file, path: "x.npy"}' reads arrays""")
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars" / "0.tar").write_bytes(b"")
    assert command.refused("run", *SMALL, "data.path=tars").endswith("""; 'data={use: shards, path: "tars"}' streams .tar""")


def test_pictures_that_are_all_the_same_though_they_are_mirrored(command, images, tmp_path):
    for file in images.iterdir():
        file.write_bytes((images / "00.png").read_bytes())
    said = command.refused("run", *SMALL, "data.flip=true", "data.held_out=0")
    assert said.endswith("all 12 images that were looked at are the same one: there is nothing to learn; "
                         "take away the copies, and put a few dozen others in their place")
    assert no_run(tmp_path)


def test_blank_pictures_are_counted_and_so_is_what_a_range_clips(command, images):
    for i in range(0, 12, 2):
        Image.new("RGB", (24, 20), "red").save(images / f"{i:02}.png")
    code, _, err = command("run", *SMALL, "data.flip=true", "data.held_out=0", "data.range=[0, 100]")
    assert code == 0
    assert "6 of 12 images are of one colour" in err
    assert "lie outside data.range, and become black or white; 'data.range=[0, 255]' holds all of them" in err
