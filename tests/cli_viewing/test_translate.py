"""ganflow translate, on small runs that were really trained."""

import ganflow_translation.command
import numpy as np
import pytest
import torch
from ganflow_translation import data as scenes
from PIL import Image

from ganflow.cli.main import main, plugin_helps
from ganflow.recipe import read_recipe
from ganflow.runs.finding import find_run
from ganflow.runs.loading import load_game
from ganflow.runs.start import start

RECIPES = {
    "paired": """
data: {use: facades, size: 16, train: 8, held_out: 5}
generator: {use: unet, width: 4, dropout: 0.5, dropout_at_translation: true}
critic: {use: patch, receptive_field: 7, width: 4}
loss: pix2pix
""",
    "both": """
data: {use: street, size: 16, train: 8, held_out: 5}
generator: {use: resnet_translator, width: 4, blocks: 1}
critic: {use: patch, receptive_field: 7, width: 4}
loss: cycle
""",
    "apart": """
data: {use: unpaired_folder, path: PATH, size: 16, in_memory: always, crop: centre, flip: false}
generator: {use: resnet_translator, width: 4, blocks: 1}
critic: {use: patch, receptive_field: 7, width: 4}
loss: cycle
""",
    "drawn": """
data: {use: digits, size: 16}
prior: {use: normal, dim: 4}
generator: {use: dcgan, width: 4}
critic: {use: dcgan, width: 4}
loss: wasserstein
""",
}
REST = """
optimizer: {use: adam, lr: 1.0e-3}
train: {rounds: 2, batch_size: 2, compile: never, sample_every: 2}
track: {mlflow: false}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of each kind, with pictures beside them."""
    root = tmp_path_factory.mktemp("translate")
    street = scenes.Street(size=16, train=6, held_out=1).data()
    for name, field in (("trainA", "a"), ("trainB", "b"), ("testA", "a"), ("testB", "b")):
        (root / "folder" / name).mkdir(parents=True)
        for i in range(3):
            save(street.train[field][i], root / "folder" / name / f"{i}.png")
    for name, text in RECIPES.items():
        (root / f"{name}.yaml").write_text(f"name: {name}" + text.replace("PATH", str(root / "folder")) + REST)
        start(read_recipe(root / f"{name}.yaml"), root / "runs", quiet=True)
    facades = scenes.Facades(size=24, train=1, held_out=3).data()
    for name in ("labels", "true", "wide", "nothing"):
        (root / name).mkdir()
    for i in range(3):
        Image.fromarray(facades.held_out["source"][i].argmax(0).numpy().astype(np.uint8)).save(root / "labels" / f"{i}.png")
        save(facades.held_out["target"][i], root / "true" / f"{i}.jpg")
    save(street.train["a"][0], root / "day.png")
    Image.fromarray(np.full((30, 21), 90, np.uint8)).save(root / "wide" / "grey.png")
    return root


def save(image, path):
    Image.fromarray(((image.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()).save(path)


@pytest.fixture
def translate(runs, tmp_path, monkeypatch, ganflow):
    monkeypatch.chdir(tmp_path)
    return lambda run, *rest: ganflow("translate", run, *map(str, rest), "--runs", str(runs / "runs"))


def test_help_says_the_same_in_both_places():
    assert plugin_helps()["translate"] == ganflow_translation.command.HELP


def test_one_image_is_what_the_network_makes_of_it(runs, translate, tmp_path):
    code, out = translate("both", runs / "day.png", "-o", "night.png")
    assert (code, out) == (0, "wrote 1 image: night.png\n")
    game = load_game(find_run("both", runs / "runs"))
    with Image.open(runs / "day.png") as image:
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    expected = ((game.call("to_b", x=x)[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    with Image.open("night.png") as image:
        assert np.array_equal(np.array(image), expected)
    translate("both", runs / "day.png", "-o", "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "night.png").read_bytes()


def test_the_other_way(runs, translate, tmp_path):
    translate("both", runs / "day.png", "-o", "b.png")
    code, _ = translate("both", runs / "day.png", "--to", "a", "-o", "a.png")
    assert code == 0
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_a_folder_becomes_a_folder_and_any_size_is_given_back(runs, translate, tmp_path):
    code, out = translate("paired", runs / "labels")
    assert (code, out) == (0, "wrote 3 images: paired-to-target\n")
    written = sorted((tmp_path / "paired-to-target").iterdir())
    assert [p.name for p in written] == ["0.png", "1.png", "2.png"]
    for path in written:
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((24, 24), "RGB")  # the network takes multiples of 16


def test_a_seed_for_what_is_random(runs, translate, tmp_path):
    """This run keeps dropout on."""
    for name, seed in (("x", 0), ("y", 0), ("z", 1)):
        translate("paired", runs / "labels" / "0.png", "-o", f"{name}.png", "--seed", seed)
    x, y, z = ((tmp_path / f"{name}.png").read_bytes() for name in "xyz")
    assert x == y
    assert x != z


def test_compare_shows_input_output_and_truth(runs, translate, tmp_path):
    code, _ = translate("paired", runs / "labels", "--compare", "--truth", runs / "true", "-o", "sheets")
    assert code == 0
    with Image.open(tmp_path / "sheets" / "0.png") as with_truth:
        height = with_truth.height
    translate("paired", runs / "labels", "--compare", "-o", "without")
    with Image.open(tmp_path / "without" / "0.png") as without:
        assert height * 2 == without.height * 3  # three rows, and two


@pytest.mark.parametrize(("run", "rows"), [("paired", 3), ("both", 4), ("apart", 3)])
def test_held_out_examples_where_no_image_is_named(translate, tmp_path, run, rows):
    """With their truth, where it is known: of two folders nobody knows what belongs together."""
    code, out = translate(run, "-n", 3)
    assert code == 0
    assert "3 held-out examples of" in out
    (path,) = tmp_path.glob("*.png")
    with Image.open(path) as image:
        assert image.height == rows * (14 + 64 + 4)


def test_a_grey_image_is_converted_and_that_is_said(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["translate", "both", str(runs / "wide"), "-o", "out", "--runs", str(runs / "runs")]) == 0
    assert "1 of 1 images is grey; read as colour, which the run was trained on" in capsys.readouterr().err
    with Image.open("out/grey.png") as image:
        assert image.size == (21, 30)


@pytest.mark.parametrize(
    ("run", "arguments", "says"),
    [
        ("drawn", ["day.png"], "does not translate: its generator draws from a prior; use ganflow sample"),
        ("both", ["day.png", "--to", "c"], "translates to b or a"),
        ("paired", ["day.png"], "a label map has one channel whose pixels number 10 classes, or a palette; this is RGB"),
        ("paired", ["none.png"], "there is no image"),
        ("paired", ["paired.yaml"], "cannot read the image"),
        ("paired", ["nothing"], "no images in"),
        ("paired", ["labels", "-o", "one.png"], "3 images do not fit into one.png: let -o name a folder"),
        ("paired", ["labels/0.png", "-o", "one.jpg"], "end its name in .png or .npy"),
        ("both", ["tiny.png"], "too small for the network, which takes"),
        ("paired", ["labels", "labels"], "several images would be written as 0.png, 1.png, 2.png"),
        ("paired", ["labels", "--truth", "true"], "--truth is drawn by --compare"),
        ("paired", ["labels", "--compare", "--truth", "day.png"], "differ in size"),
    ],
)
def test_mistakes(runs, translate, run, arguments, says):
    Image.new("RGB", (3, 40)).save(runs / "tiny.png")
    code, err = translate(run, *[runs / a if (runs / a).exists() or a == "none.png" else a for a in arguments])
    assert code == 2, err
    assert says in err
    assert "Traceback" not in err


def test_nothing_is_written_over(runs, translate):
    code, err = translate("paired", runs / "labels", "-o", runs / "labels")
    assert code == 2
    assert "would be written over: let -o name another folder" in err
