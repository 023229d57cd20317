"""`ganflow data`: what a folder's images, or a recipe's data, are."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """Twenty photographs of which two are the same, in two folders; and a broken one."""
    rng = np.random.default_rng(0)
    for i in range(20):
        folder = tmp_path / "photos" / ("cats" if i % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    again = tmp_path / "photos" / "cats" / "99.png"
    again.write_bytes((folder / "19.png").read_bytes())
    (folder / "broken.png").write_bytes(b"junk")


def test_a_folder(command, tmp_path, photos):
    code, out, err = command("data", "photos", "data.held_out=0", "data.size=32")
    assert code == 0
    assert "left out photos/cats/broken.png: not an image" in err
    lines = out.splitlines()
    assert lines[:5] == [
        "images (photos) (photos)", "  to train on 21", "  held out    0", "  looked at   21", "  left out    cats/broken.png"
    ]  # fmt: skip
    (real,) = [line.split("  ") for line in lines if line.startswith("real")]
    assert "".join(real).split() == ["real", "image", "3×32×32", "-1", "…", "1", "256", "0", "1"] or "3×32×32" in real
    assert "cats 11, dogs 10" in out
    with Image.open(tmp_path / "photos-data.png") as picture:
        assert min(picture.size) > 100


def test_a_recipe_as_json(command, tmp_path):
    code, out, _ = command("data", "ring", "--json", "--examine", "50")
    assert code == 0
    about = json.loads(out)
    assert (about["size"], about["held_out"], about["left_out"], about["doubts"]) == (100_000, 10_000, [], [])
    assert [(field["field"], field["kind"], field["shape"]) for field in about["fields"]] == [("real", "points", "2")]
    assert not list(tmp_path.glob("*.png"))


def test_what_is_doubtful(command, tmp_path):
    (tmp_path / "grey").mkdir()
    Image.new("L", (20, 20), 77).save(tmp_path / "grey" / "a.png")
    code, out, _ = command("data", "grey", "--json", "-o", "seen.png")
    assert code == 0
    assert [doubt["certain"] for doubt in json.loads(out[: out.rindex("}") + 1])["doubts"]] == [True, False]
    assert (tmp_path / "seen.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "no recipe 'nowhere'"),
        (["empty"], "no images in empty or below, there are no files"),
        (["ring", "-o", "x.jpg"], "x.jpg"),
        (["ring", "data.nothing=1"], "unknown key 'nothing' in data"),
    ],
)
def test_refused(command, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    assert said in command.refused("data", *words)
