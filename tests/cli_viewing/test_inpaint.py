"""ganflow inpaint, on a small game and on a run that was really trained."""

import ganflow_inpainting.command
import numpy as np
import pytest
import torch
from ganflow_inpainting.masks import make_mask
from PIL import Image

from ganflow.contract.data import TensorData

QUICK = ("--starts", "2", "--candidates", "2", "--iterations", "3")


@pytest.fixture
def digits(make_run, trained, monkeypatch):
    """A run whose generator makes 4 × 4 images of 2 z; some examples are held out."""
    folder = make_run()
    trained((1, 4, 4))
    kept = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    data = TensorData("toy", {"real": torch.zeros(5, 1, 4, 4)}, {"real": kept})
    monkeypatch.setattr(ganflow_inpainting.command, "data_of_run", lambda folder: data)
    return folder, kept


def picture(path, side=4, seed=0, mode="L"):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3) if mode == "RGB" else (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return torch.from_numpy(pixels).float() / 127.5 - 1


def test_a_sheet_with_the_hole_the_results_and_the_image(digits, ganflow, tidy):
    folder, _ = digits
    picture("a.png", seed=1)
    picture("b.png", seed=2)
    code, out = ganflow("inpaint", "latest", "a.png", "b.png", "-n", "2", "--seed", "4", *QUICK)
    assert (code, out) == (0, f"wrote wgan-inpainted.png: 2 images inpainted by wgan ({folder.id}), 2 times each, seed 4\n")
    with Image.open("wgan-inpainted.png") as image:
        assert image.size == (2 * 66 + 2, 4 * (14 + 68)), "a column for each image; hole, two results, as given"
        grey = np.asarray(image.convert("L"))
    assert grey[14 + 2 + 32, 2 + 32] == 128, "the hole"
    first = (tidy / "wgan-inpainted.png").read_bytes()
    assert ganflow("inpaint", "latest", "a.png", "b.png", "-n", "2", "--seed", "4", *QUICK)[1].startswith("replaced")
    assert (tidy / "wgan-inpainted.png").read_bytes() == first


@pytest.mark.parametrize("blend", ["poisson", "paste"])
def test_numbers_best_first_with_the_known_pixels_untouched(digits, ganflow, tidy, blend):
    _, kept = digits
    assert ganflow("inpaint", "wgan", "--held-out", "4", "--mask", "left", "--blend", blend, "-o", "o.npz", *QUICK)[0] == 0
    known = make_mask("left", 4, 4)
    with np.load("o.npz") as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file if name != "names"}
        assert file["names"].tolist() == [f"held-out-{i:04}" for i in range(4)]
    assert torch.equal(arrays["images"], kept[:4])
    assert torch.equal(arrays["known"], known)
    assert (arrays["z"].shape, arrays["results"].shape) == ((4, 2, 16), (4, 2, 1, 4, 4))
    assert (arrays["loss"].diff(dim=1) >= 0).all()
    torch.testing.assert_close(arrays["made"], 2 * arrays["z"].reshape(4, 2, 1, 4, 4))
    assert torch.equal(arrays["results"][..., known], kept[:4, None][..., known].expand(-1, 2, -1, -1))
    assert arrays["results"].abs().max() <= 1
    if blend == "paste":
        assert torch.equal(arrays["results"][..., ~known], arrays["made"][..., ~known].clamp(-1, 1))


def test_a_folder_gets_a_file_for_each_result(digits, ganflow, tidy):
    given = picture("a.png", seed=1)
    code, out = ganflow("inpaint", "wgan", "a.png", "-o", "out/filled", "-n", "9", *QUICK)
    assert (code, out.split(":")[0]) == (0, "wrote out/filled/")
    assert sorted(p.name for p in (tidy / "out" / "filled").iterdir()) == ["a-1.png", "a-2.png"], "as many as there are starts"
    with Image.open("out/filled/a-1.png") as image:
        made = torch.from_numpy(np.array(image)).float() / 127.5 - 1
    known = make_mask("centre", 4, 4)
    assert torch.equal(made[known], given[known])


def test_an_images_result_is_its_own(digits, ganflow, tidy):
    for i in range(3):
        picture(f"{i}.png", seed=i)
    ganflow("inpaint", "wgan", "0.png", "1.png", "2.png", "-o", "all.npz", *QUICK)
    ganflow("inpaint", "wgan", "1.png", "-o", "one.npz", *QUICK)
    with np.load("all.npz") as several, np.load("one.npz") as one:
        np.testing.assert_allclose(several["results"][1], one["results"][0], atol=1e-6)


def test_an_image_of_another_size_is_cut_and_scaled_and_that_is_said(digits, tidy, capsys):
    from ganflow.cli.main import main

    wide = Image.new("RGB", (40, 8), "white")
    wide.paste("black", (16, 0, 24, 8))
    wide.save("wide.png")
    assert main(["inpaint", "wgan", "wide.png", "-o", "o.npz", *QUICK]) == 0
    assert capsys.readouterr().err == "ganflow: wide.png is 40 × 8 pixels; its middle is taken, at the run's 4 × 4\n"
    with np.load("o.npz") as file:
        assert file["images"].shape == (1, 1, 4, 4)
        assert file["images"].max() < 0, "black, the middle"


def test_a_mask_of_the_photos_size(digits, ganflow, tidy):
    picture("photo.png", side=16)
    hole = Image.new("L", (16, 16))
    hole.paste(255, (5, 5, 7, 7))
    hole.save("hole.png")
    assert ganflow("inpaint", "wgan", "photo.png", "--mask", "hole.png", "-o", "o.npz", *QUICK)[0] == 0
    with np.load("o.npz") as file:
        assert not file["known"][1, 1]
        assert file["known"][3, 3]


def test_a_mask_file_and_a_random_one(digits, ganflow, tidy):
    hole = Image.new("L", (4, 4))
    hole.putpixel((2, 0), 255)
    hole.save("hole.png")
    for mask, missing in (("hole.png", 1), ("random:0.5", 8)):
        assert ganflow("inpaint", "wgan", "--mask", mask, "-o", "o.npz", *QUICK)[0] == 0
        with np.load("o.npz") as file:
            assert int((~file["known"]).sum()) == missing
            assert len(file["images"]) == 5, "all that are held out, at most 8"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.png", "--held-out", "2"], "give IMAGE files or --held-out, not both"),
        (["--held-out", "6"], "the run's data keep 5 examples from training, not 6"),
        (["nowhere.png"], "there is no image nowhere.png"),
        (["text.png"], "cannot read the image text.png: not an image"),
        (["a.png", "other/a.png"], "several images are called a"),
        (["--mask", "middle"], "--mask middle: there is no such file"),
        (["--mask", "big.png"], "--mask big.png is 9 × 9 pixels, and the run's images are 4 × 4"),
        (["--mask", "random:1"], "between 0 and 1"),
        (["-o", "out.jpg"], "what should out.jpg be? end its name in .png or .npz"),
        (["-o", "nowhere/out.png"], "there is no folder nowhere/"),
        (["--prior-loss", "critic"], "loss does not judge examples by a critic's scores; take --prior-loss norm or none"),
        (["--lr", "0"], "--lr: 0 is not above 0"),
        (["--prior-weight", "-1"], "--prior-weight: -1 is not 0 or more"),
        (["--limit", "inf"], "--limit: inf is not"),
        (["--blend", "soft"], "--blend"),
    ],
)
def test_what_it_cannot_do_is_one_sentence(digits, ganflow, tidy, arguments, says):
    picture("a.png")
    picture("big.png", side=9)
    (tidy / "text.png").write_text("no image")
    before = sorted(tidy.iterdir())
    code, err = ganflow("inpaint", "wgan", *arguments)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
    assert sorted(tidy.iterdir()) == before, "nothing is written"


def test_runs_that_are_not_for_it(make_run, trained, ganflow, monkeypatch):
    make_run()
    trained((2,))
    code, err = ganflow("inpaint", "wgan")
    assert (code, "generates examples of shape (2,), and inpaint fills holes of images" in err) == (2, True)
    trained((1, 4, 4), prior=False)
    code, err = ganflow("inpaint", "wgan")
    assert (code, "has no prior: its generator translates" in err) == (2, True)
    monkeypatch.setattr("ganflow_inpainting.command.data_of_run", lambda folder: None)
    trained((1, 4, 4))
    code, err = ganflow("inpaint", "wgan")
    assert (code, "cannot be had any more, or keeps nothing from training: name images to inpaint" in err) == (2, True)
    assert ganflow("inpaint", "vae")[0] == 2


@pytest.mark.parametrize(
    ("condition", "says"),
    [("label", "is conditional: it makes images from label, z"), ("source", "makes examples under a condition, 'source'")],
)
def test_a_conditional_run_is_refused(make_run, trained, ganflow, condition, says):
    make_run()
    trained((1, 4, 4), condition=(condition,))
    code, err = ganflow("inpaint", "wgan")
    assert (code, says in err) == (2, True)


SMALL = ("train.rounds=2", "track.mlflow=false", "train.compile=never", "generator.width=4", "critic.width=4", "--quiet")


@pytest.mark.parametrize("loss", ["wasserstein", "non_saturating", "hinge", "relativistic"])
def test_runs_of_any_adversarial_loss(ganflow, tidy, loss):
    assert ganflow("run", "wgan", *SMALL, f"loss={{use: {loss}}}")[0] == 0
    code, out = ganflow("inpaint", "latest", "--held-out", "3", *QUICK)
    assert (code, "3 images inpainted by wgan" in out) == (0, True)
    with Image.open("wgan-inpainted.png") as image:
        assert image.size == (3 * 66 + 2, 4 * (14 + 68))


def test_a_run_without_a_critic(ganflow, tidy):
    """A VAE's prior loss is ½‖z‖², −log p(z) up to a constant."""
    changes = ("train.rounds=2", "track.mlflow=false", "train.compile=never", "generator.width=4", "--quiet")
    assert ganflow("run", "vae_digits", *changes)[0] == 0
    assert ganflow("inpaint", "latest", "-o", "o.npz", *QUICK)[0] == 0
    with np.load("o.npz") as file:
        np.testing.assert_allclose(file["prior"], (file["z"] ** 2).sum(2) / 2, rtol=1e-4)
        np.testing.assert_allclose(file["loss"], file["context"] + 0.003 * file["prior"], rtol=1e-4)


def test_a_uniform_prior_bounds_the_search(ganflow, tidy):
    assert ganflow("run", "wgan", *SMALL, "prior={use: uniform, dim: 4, low: -0.1, high: 0.1}")[0] == 0
    assert ganflow("inpaint", "latest", "-o", "o.npz", *QUICK, "--lr", "0.5")[0] == 0
    with np.load("o.npz") as file:
        assert np.abs(file["z"]).max() == pytest.approx(0.1)
