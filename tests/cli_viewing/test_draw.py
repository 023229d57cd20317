"""ganflow draw."""

import ganflow_text.command
import numpy as np
import pytest
import torch
from PIL import Image

from ganflow.cli.main import plugin_helps
from ganflow.recipe import read_recipe
from ganflow.runs.start import start

TINY = """\
name: tiny
data: {use: birds, size: 16, train: 20, held_out: 8, encoder: {use: matched, steps: 2, dim: 8, side: 8}}
prior: {use: normal, dim: 4}
generator: {use: stackgan_stage1, width: 4, dim: 6}
critic: {use: stackgan, width: 4, dim: 6}
loss: {use: stackgan}
optimizer: {use: adam, lr: 1.0e-2, beta1: 0.5}
train: {rounds: 2, batch_size: 4, threads: 1, compile: never}
track: {mlflow: false}
"""
RED, BLUE = "this bird has a red belly", "a blue bird with a black face"


@pytest.fixture
def run(tidy, monkeypatch):
    monkeypatch.setenv("GANFLOW_CACHE", str(tidy / "cache"))
    (tidy / "tiny.yaml").write_text(TINY)
    return start(read_recipe("tiny.yaml"), tidy / "runs", quiet=True).folder


def tiles(path, rows, columns):
    """The grid's tiles, (rows, columns, …)."""
    with Image.open(path) as image:
        pixels = np.asarray(image)[2:, 2:]
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    return pixels.reshape(rows, height, columns, width, 3).swapaxes(1, 2)[:, :, : height - 2, : width - 2]


def test_help_says_the_same_in_both_places():
    assert plugin_helps()["draw"] == ganflow_text.command.HELP


def test_a_row_for_each_sentence(run, ganflow, tidy):
    code, out = ganflow("draw", "tiny", RED, BLUE, "-n", "3", "--seed", "4", "-o", "birds.png")
    assert (code, out) == (0, f"wrote birds.png: 3 pictures of each of 2 sentences by tiny ({run.id}), seed 4\n")
    first = tiles("birds.png", 2, 3)
    assert len({t.tobytes() for row in first for t in row}) == 6
    again = (tidy / "birds.png").read_bytes()
    assert ganflow("draw", "tiny", RED, BLUE, "-n", "3", "--seed", "4", "-o", "birds.png")[1].startswith("replaced birds.png")
    assert (tidy / "birds.png").read_bytes() == again
    ganflow("draw", "tiny", RED, BLUE, "-n", "3", "-o", "birds.png")
    assert (tidy / "birds.png").read_bytes() != again


def test_options_may_stand_anywhere(run, ganflow):
    code, out = ganflow("draw", "-n", "2", "tiny", RED)
    assert (code, out) == (0, f"wrote tiny-drawn.png: 2 pictures of a sentence by tiny ({run.id}), seed 0\n")


def test_the_way_between_two_sentences_begins_and_ends_with_them(run, ganflow):
    code, out = ganflow("draw", "tiny", RED, BLUE, "--between", "-n", "5", "--rows", "2", "-o", "way.png")
    assert (code, out) == (0, f"wrote way.png: the way between two sentences, 2 times by tiny ({run.id}), seed 0\n")
    way = tiles("way.png", 2, 5)
    ganflow("draw", "tiny", RED, BLUE, "-n", "2", "-o", "ends.png")
    ends = tiles("ends.png", 2, 2).astype(int)
    for row in range(2):
        assert abs(way[row, 0].astype(int) - ends[0, row]).max() <= 1
        assert abs(way[row, -1].astype(int) - ends[1, row]).max() <= 1


def test_ways_are_straight():
    z, text = torch.randn(2, 3), torch.randn(2, 4)
    latents, said = ganflow_text.command.ways(z, text, 3)
    assert torch.equal(latents, z[[0, 0, 0, 1, 1, 1]])
    assert torch.allclose(said[1], (text[0] + text[1]) / 2)


def test_unknown_words_are_said(run, capsys, tidy):
    from ganflow.cli.main import main

    assert main(["draw", "tiny", "a crimson bird with a Tiny red belly", "a puce bird", "-n", "1"]) == 0
    err = capsys.readouterr().err.splitlines()
    assert err == [
        "ganflow: the run does not know these words, which are passed over: crimson, tiny",
        "ganflow: the run does not know this word, which is passed over: puce",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["crimson puce"], "knows no word of 'crimson puce'"),
        ([""], "knows no word of ''"),
        ([RED, "--between"], "--between goes from one sentence to another: give two, not 1"),
        ([RED, "-n", "20000"], "1 rows of 20000 pictures are more than 10000"),
        ([RED, "-o", "birds.gif"], "what should birds.gif be? end its name in .png"),
        ([], "the following arguments are required: SENTENCE"),
    ],
)
def test_what_it_refuses(run, ganflow, arguments, told):
    code, err = ganflow("draw", "tiny", *arguments)
    assert code == 2
    assert told in err


def test_a_run_of_another_kind(tidy, ganflow):
    small = ["train.rounds=1", "train.batch_size=8", "train.compile=never", "generator.width=4", "critic.width=4"]
    folder = start(read_recipe("wgan", [*small, "track.mlflow=false"]), tidy / "runs", quiet=True).folder
    code, err = ganflow("draw", "wgan", RED)
    assert (code, err) == (2, f"ganflow: run wgan {folder.id} knows no sentences: its data have no captions\n")


@pytest.mark.parametrize("command", ["sample", "interpolate"])
def test_other_commands_name_this_one(run, ganflow, command):
    code, err = ganflow(command, "tiny")
    assert (code, err) == (2, f'ganflow: run tiny {run.id} draws what sentences say: ganflow draw {run.id} "…"\n')


def test_an_encoder_that_is_gone(run, ganflow):
    (run.path / "encoder.safetensors").unlink()
    code, err = ganflow("draw", "tiny", RED)
    assert code == 2
    assert f"the text encoder of run {run.id} cannot be read" in err
