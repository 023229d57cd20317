"""The drawing commands on a run that was really trained, for two rounds."""

import numpy as np
from PIL import Image

SMALL = ("train.rounds=2", "train.sample_every=1", "track.mlflow=false", "generator.width=4", "critic.width=4")


def test_digits(ganflow, tidy):
    code, out = ganflow("run", "wgan", *SMALL, "--quiet")
    assert code == 0, out
    assert ganflow("sample", "latest", "-n", "3", "-o", "a.npz")[0] == 0
    with np.load("a.npz") as file:
        assert file["samples"].shape == (3, 1, 16, 16)
        assert np.abs(file["samples"]).max() <= 1
    for arguments, name, width in (
        (("sample",), "wgan-samples.png", 8 * 66 + 2),
        (("interpolate",), "wgan-interpolation.png", 10 * 66 + 2),
        (("animate",), "wgan.gif", 8 * 66 + 2),
    ):
        code, out = ganflow(*arguments, "latest")
        assert code == 0, out
        with Image.open(name) as image:
            assert image.width == width
    with Image.open("wgan.gif") as image:
        assert image.n_frames == 3
    out = ganflow("runs")[1]
    assert "finished  2/2" in out
    assert "w_estimate" in out
    assert "checkpoints" in ganflow("runs", "show", "latest")[1]
