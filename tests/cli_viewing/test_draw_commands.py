"""ganflow sample, interpolate and animate."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganflow.engine.feed import keyed_generator
from ganflow.runs.folders import RunFolder


def tile(path, row, column, side=64):
    """The grey value in the middle of a grid's tile."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))[2 + row * (side + 2) + side // 2, 2 + column * (side + 2) + side // 2]


def latents(n, dim, seed):
    return torch.rand(n, dim, generator=keyed_generator("latents", seed))


def test_sample_draws_a_grid_of_the_checkpoint_asked_for(make_run, trained, ganflow, tidy):
    folder, asked = make_run(), trained((1, 1, 1))
    code, out = ganflow("sample", "latest", "-n", "4", "-o", "grid.png", "--seed", "7", "--checkpoint", "best")
    assert (code, out) == (0, f"wrote grid.png: 4 samples of wgan ({folder.id}), seed 7\n")
    assert asked == [(folder.id, "best")]
    for i, z in enumerate(latents(4, 1, 7)):
        grey = round((min(1.0, 2 * float(z)) + 1) * 127.5)
        assert tile("grid.png", i // 2, i % 2) == pytest.approx(grey, abs=1)


def test_sample_chooses_its_file_and_says_when_it_replaces_one(make_run, trained, ganflow, tidy):
    make_run()
    trained((1, 4, 4))
    assert ganflow("sample", "wgan")[1].startswith("wrote wgan-samples.png: 64 samples")
    assert ganflow("sample", "wgan", "-n", "1")[1].startswith("replaced wgan-samples.png: 1 sample of")


def test_sample_writes_arrays(make_run, trained, ganflow, tidy):
    make_run()
    trained((2, 3))
    assert ganflow("sample", "wgan", "-n", "5", "-o", "s.npz", "--seed", "1")[0] == 0
    with np.load("s.npz") as file:
        assert sorted(file) == ["samples", "z"]
        assert (file["samples"].shape, file["samples"].dtype) == ((5, 2, 3), np.float32)
        assert np.array_equal(file["z"], latents(5, 6, 1).numpy())
        assert np.allclose(file["samples"].reshape(5, 6), 2 * file["z"])
        samples = file["samples"]
    first = (tidy / "s.npz").read_bytes()
    ganflow("sample", "wgan", "-n", "5", "-o", "s.npz", "--seed", "1")
    assert (tidy / "s.npz").read_bytes() == first
    ganflow("sample", "wgan", "-n", "5", "-o", "s.npy", "--seed", "1")
    assert np.array_equal(np.load("s.npy"), samples)


def test_sample_writes_a_file_each(make_run, trained, ganflow, tidy):
    make_run()
    trained((4, 3, 2))
    code, out = ganflow("sample", "wgan", "-n", "3", "-o", "faces", "--seed", "1")
    assert code == 0
    assert out.startswith("wrote 3 files in faces/: 3 samples of wgan")
    ganflow("sample", "wgan", "-n", "3", "-o", "s.npy", "--seed", "1")
    for i, sample in enumerate(np.load("s.npy")):
        with Image.open(f"faces/{i:05}.png") as image:
            assert image.mode == "RGBA"
            expected = np.round((sample.clip(-1, 1) + 1) * 127.5).transpose(1, 2, 0)
            assert np.array_equal(np.array(image), expected)


def test_samples_of_classes_lie_in_their_folders(make_run, trained, ganflow, tidy):
    from ganflow_data import ImageFolder

    make_run()
    trained((3, 8, 8), condition=("label",))
    assert ganflow("sample", "wgan", "-n", "2", "--label", "no", "--label", "yes", "-o", "made")[0] == 0
    assert sorted(p.relative_to(tidy / "made").as_posix() for p in (tidy / "made").rglob("*.png")) == [
        "no/00000.png", "no/00001.png", "yes/00002.png", "yes/00003.png"
    ]  # fmt: skip
    data = ImageFolder(path="made", size=8, held_out=0).data()
    assert data.fields["label"].classes == ("no", "yes")


@pytest.mark.parametrize("condition", [(), ("label",)])
def test_samples_are_read_back(make_run, trained, ganflow, tidy, condition):
    from ganflow_data import TensorFile

    make_run()
    trained((1, 4, 4), condition=condition)
    assert ganflow("sample", "wgan", "-n", "6", "--balanced", "-o", "s.npz")[0] == 0
    with np.load("s.npz") as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file}
    if float(arrays["samples"].max()) > 1:  # this generator has no bounds
        np.savez("s.npz", **{**{name: t.numpy() for name, t in arrays.items()}, "samples": arrays["samples"].numpy() - 1})
        arrays["samples"] = arrays["samples"] - 1
    data = TensorFile(path="s.npz", held_out=0).data()
    assert list(data.fields) == ["real", *condition]
    assert torch.equal(data.train["real"], arrays["samples"])
    if condition:
        assert data.fields["label"].classes == ("0", "1")
        assert torch.equal(data.train["label"], arrays["label"])


def test_sample_writes_a_jpeg(make_run, trained, ganflow, tidy):
    make_run()
    trained((3, 8, 8))
    assert ganflow("sample", "wgan", "-n", "4", "-o", "s.jpg")[0] == 0
    ganflow("sample", "wgan", "-n", "4", "-o", "s.png")
    with Image.open("s.jpg") as lossy, Image.open("s.png") as exact:
        assert lossy.format == "JPEG"
        assert np.abs(np.asarray(lossy, float) - np.asarray(exact.convert("RGB"), float)).mean() < 4


def test_points_have_no_file_each(make_run, trained, ganflow, tidy):
    make_run()
    trained((2,))
    code, err = ganflow("sample", "wgan", "-o", "points")
    assert code == 2
    assert "have no picture each; write them as numbers: -o points.npz" in err
    assert not (tidy / "points").exists()


def test_points_in_a_folder_are_numbers(make_run, trained, ganflow, tidy):
    make_run()
    trained((2,))
    for folder, file in ((".", "wgan-samples.npz"), ("..", "../wgan-samples.npz"), ("new", "new.npz")):
        code, err = ganflow("sample", "wgan", "-o", folder)
        assert (code, err.count("\n")) == (2, 1)
        assert f"have no picture each; write them as numbers: -o {file}" in err
        assert ganflow("sample", "wgan", "-n", "2", "-o", file)[0] == 0
        Path(file).unlink()


def test_sample_of_points_draws_two_thousand_of_them_beside_the_truth(make_run, trained, ganflow, tidy):
    make_run()
    trained((2,))
    code, out = ganflow("sample", "wgan")
    assert code == 0
    assert "2000 samples" in out
    with Image.open("wgan-samples.png") as image:
        assert image.width > 800


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "s.csv"], "what should s.csv be? end its name in .png or .jpg or .jpeg or .npz or .npy"),
        (["-o", ".png"], "what should .png be? put a name before .png"),
        (["-o", ""], "argument -o/--output: a path is empty; leave it out, or write . for this folder"),
        (["--runs", ""], "argument --runs: a path is empty"),
        (["-o", "nowhere/s.png"], "there is no folder nowhere/"),
        (["-n", "0"], "-n: 0 is not 1 or more"),
        (["-n", "many"], "'many' is not a whole number"),
        (["-n", "20000"], "a picture holds at most 10000 samples, not 20000; write them as numbers: -o wgan-samples.npz"),
        (["--seed", "-1"], "--seed: -1 is not 0 or more"),
        (["--seed", str(2**63)], "is not at most"),
    ],
)
def test_sample_refuses_what_it_cannot_do(make_run, trained, ganflow, tidy, arguments, says):
    make_run()
    trained((1, 4, 4))
    code, err = ganflow("sample", "latest", *arguments)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
    assert sorted(p.name for p in tidy.iterdir()) == ["runs"], "nothing is written"


def test_what_has_no_picture_is_said_with_the_way_out(make_run, trained, ganflow):
    make_run()
    trained((3, 5))
    code, err = ganflow("sample", "wgan", "-o", "s.png")
    assert code == 2
    assert "samples of shape (3, 5) have no picture; write them as numbers: -o s.npz" in err


@pytest.mark.parametrize("command", ["sample", "interpolate"])
def test_a_run_without_a_prior_is_said_to_be_one(make_run, trained, ganflow, command):
    make_run()
    trained((1, 4, 4), prior=False)
    code, err = ganflow(command, "wgan")
    assert code == 2
    assert "has no prior: its generator translates" in err


@pytest.mark.parametrize("command", ["sample", "interpolate", "animate"])
def test_a_run_that_is_not_there(make_run, ganflow, command):
    make_run()
    code, err = ganflow(command, "vae")
    assert code == 2
    assert "no run 'vae' in runs/" in err


def test_interpolate_walks_from_one_latent_point_to_another(make_run, trained, ganflow, tidy):
    make_run()
    trained((1, 1, 1))
    code, out = ganflow("interpolate", "wgan", "--rows", "2", "--steps", "3", "--seed", "5")
    assert code == 0
    assert out.startswith("wrote wgan-interpolation.png: 2 ways between latent points of wgan")
    z = latents(4, 1, 5).flatten().tolist()
    for row in range(2):
        for column, t in enumerate((0, 0.5, 1)):
            value = 2 * ((1 - t) * z[row] + t * z[row + 2])
            grey = round((min(1.0, value) + 1) * 127.5)
            assert tile("wgan-interpolation.png", row, column) == pytest.approx(grey, abs=1)


def test_interpolate_as_a_gif_goes_there_and_back(make_run, trained, ganflow, tidy):
    make_run()
    trained((1, 1, 1))
    assert ganflow("interpolate", "wgan", "--rows", "1", "--steps", "8", "-o", "way.gif", "--seed", "1", "--fps", "20")[0] == 0
    a, b = latents(2, 1, 1).flatten().tolist()
    with Image.open("way.gif") as image:
        found = []
        for i in range(image.n_frames):
            image.seek(i)
            found.append(image.convert("L").getpixel((32, 32)))
            assert image.info["duration"] == 50
    t = [(1 - np.cos(2 * np.pi * i / 8)) / 2 for i in range(8)]
    assert found == pytest.approx([(min(1, 2 * (a + s * (b - a))) + 1) * 127.5 for s in t], abs=1)


def test_interpolate_points_in_the_plane(make_run, trained, ganflow, tidy):
    make_run()
    trained((2,))
    assert ganflow("interpolate", "wgan", "-o", "ways.png")[0] == 0
    code, err = ganflow("interpolate", "wgan", "-o", "ways.gif")
    assert code == 2
    assert "a .gif draws images" in err


def test_interpolate_refuses_what_it_cannot_do(make_run, trained, ganflow):
    make_run()
    trained((7,))
    code, err = ganflow("interpolate", "wgan")
    assert code == 2
    assert "generates examples of shape (7,); interpolate draws images or points of the plane" in err
    code, err = ganflow("interpolate", "wgan", "--rows", "5000", "--steps", "10")
    assert code == 2
    assert "5000 rows of 10 steps are more than 10000" in err
    code, err = ganflow("interpolate", "wgan", "--steps", "1")
    assert code == 2
    assert "1 is not 2 or more" in err


def test_animate_shows_every_round_with_its_number(make_run, ganflow, tidy):
    folder = make_run(pictures=3)
    code, out = ganflow("animate", "latest", "--fps", "4")
    assert (code, out) == (0, f"wrote wgan.gif: 3 pictures of wgan ({folder.id})\n")
    with Image.open("wgan.gif") as image:
        assert image.n_frames == 3
        assert image.size[0] == 40
        assert image.size[1] > 40, "a caption below"
        greys = []
        for i in range(3):
            image.seek(i)
            greys.append(image.convert("L").getpixel((20, 20)))
            assert image.info["duration"] == (250 if i < 2 else 1500)
    assert greys == [0, 80, 160]


def test_pictures_of_points_have_their_own_titles(make_run, ganflow, tidy):
    make_run(fields={"real": [2]})
    assert ganflow("animate", "latest", "-o", "a.gif")[0] == 0
    with Image.open("a.gif") as image:
        assert image.size == (40, 40)


@pytest.mark.parametrize(("pictures", "has"), [(0, "no picture of samples"), (1, "one picture of samples")])
def test_animate_needs_two_pictures(make_run, ganflow, tidy, pictures, has):
    make_run(pictures=pictures)
    code, err = ganflow("animate", "latest")
    assert code == 2
    assert has in err
    assert "train.sample_every" in err
    assert not (tidy / "wgan.gif").exists()


def test_why_the_data_of_a_run_cannot_be_had_is_said(tmp_path, caplog):
    """A moved folder and a damaged recipe are told apart."""
    from ganflow.api.drawing import data_of_run

    folder = RunFolder(tmp_path / "digits" / "1234")
    folder.path.mkdir(parents=True)
    folder.recipe.write_text("name: [")
    assert data_of_run(folder) is None
    (record,) = caplog.records
    assert record.getMessage().startswith("the data of run digits 1234 cannot be had: ")
    assert "recipe.yaml" in record.getMessage()
