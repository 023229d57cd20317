"""Folders of images that cannot be used, or not wholly."""

import os

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
        "ganflow: data.path: cannot read the image images/05.png: image file is truncated; "
        "mend or remove it, or leave such files out with on_error: skip"
    )
    assert no_run(tmp_path)
    assert said == command.refused("run", *SMALL, *STREAMED)


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
    assert len(set(said)) == len(said) == (12 if streamed else 11) + 1  # in memory the held-out one is not looked at


def test_all_held_out(command, images, tmp_path):
    said = command.refused("run", *SMALL, "data.held_out=12")
    assert said == "ganflow: held_out: 12 leaves nothing of the 12 examples of images for training"
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
    assert said.endswith("all 12 images that were looked at are the same one: there is nothing to learn")
    assert no_run(tmp_path)


def test_blank_pictures_are_counted_and_so_is_what_a_range_clips(command, images):
    for i in range(0, 12, 2):
        Image.new("RGB", (24, 20), "red").save(images / f"{i:02}.png")
    code, _, err = command("run", *SMALL, "data.flip=true", "data.held_out=0", "data.range=[0, 100]")
    assert code == 0
    assert "6 of 12 images are of one colour" in err
    assert "lie outside data.range, and become black or white; 'data.range=[0, 255]' holds all of them" in err
