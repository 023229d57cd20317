"""Each format is loaded where there is no ganflow, and makes the run's images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from export_helpers import apart, config, trained
from safetensors.torch import load_file, save_file

from ganflow.export.formats import export_run
from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import load_game

CLOSE = 1e-5
FORMATS = ("pt2", "onnx", "mlflow")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's and onnxscript's packages
    pytest.mark.filterwarnings("ignore:.*type hint:UserWarning"),
]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A class-conditional run that keeps an average."""
    runs = tmp_path_factory.mktemp("runs")
    return trained("cgan_digits", runs, "generator.width=4", "critic.width=4", "modifiers=[{use: ema}]", "train.rounds=3")


class Exports(dict[str, Path]):
    """The run in each format, exported when it is first asked for."""

    def __init__(self, run: RunFolder, folder: Path) -> None:
        self.run, self.folder = run, folder

    def __missing__(self, name: str) -> Path:
        self[name] = export_run(self.run, name, self.folder / name).path
        return self[name]


@pytest.fixture(scope="module")
def exports(digits: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    return Exports(digits, tmp_path_factory.mktemp("exports"))


@pytest.mark.parametrize("names", [("pt2",), pytest.param(("onnx", "mlflow"), marks=pytest.mark.slow)])
def test_they_make_the_runs_images_where_there_is_no_ganflow(
    names: tuple[str, ...], digits: RunFolder, exports: Exports
) -> None:
    found = apart(*(exports[name] for name in names))
    for name, distances in found.items():
        assert set(distances) == {"the card's lines", *(f"sample of {n}" for n in (1, 2, 3, 7))}, name
        assert max(distances.values()) < CLOSE, (name, distances)

    game = load_game(digits)
    averaged = game.averaged
    assert averaged is not game.generator
    for path in map(exports.__getitem__, names):  # what they were compared with is what the run makes
        examples = load_file(path / "examples.safetensors")
        z, label = examples["sample.z"], examples["sample.label"]
        assert label.tolist() == [0, 1, 2]
        torch.testing.assert_close(examples["sample.output"], game.call("sample", z=z, label=label), atol=0, rtol=0)
        with torch.no_grad():
            assert not torch.allclose(game.generator(z, label=label), examples["sample.output"], atol=1e-4)


@pytest.mark.parametrize("name", ["safetensors", "hub"])
def test_ganflow_reads_back_weights_and_recipe(
    digits: RunFolder, exports: Exports, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganflow.cli import main

    folder, game = exports[name], load_game(digits)
    again = load_game(RunFolder(folder))
    z, label = game.latents(4, seed=3), torch.arange(4)
    expected = game.call("sample", z=z, label=label)
    torch.testing.assert_close(again.call("sample", z=z, label=label), expected, atol=0, rtol=0)
    assert set(load_file(folder / "model.safetensors")) == set(game.averaged.state_dict())

    monkeypatch.chdir(folder)
    names: dict[str, torch.Tensor] = {}
    exec((folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0], names)
    torch.testing.assert_close(names["output"], load_file("examples.safetensors")["sample.output"], atol=0, rtol=0)
    assert main(["sample", ".", "--label", "3", "-n", "4", "-o", "four.npz"]) == 0
    (folder / "four.npz").unlink()


FILES = {
    "pt2": {"sample.pt2"},
    "safetensors": {"model.safetensors", "recipe.yaml", "run.json"},
    "hub": {"model.safetensors", "recipe.yaml", "run.json"},
    "onnx": {"sample.onnx"},
    "mlflow": {"MLmodel", "artifacts", "conda.yaml", "input_example.json", "python_env.yaml", "requirements.txt", "serving.py",
               "serving_input_example.json"},
}  # fmt: skip


@pytest.mark.parametrize("name", ["pt2", "safetensors", "hub", *(pytest.param(n, marks=pytest.mark.slow) for n in FORMATS[1:])])
def test_what_is_in_a_folder(name: str, digits: RunFolder, exports: Exports) -> None:
    path = exports[name]
    beside = {"README.md", "config.json", "examples.safetensors", "samples.png"}
    assert {p.name for p in path.iterdir()} == beside | FILES[name]
    about = config(path)
    assert (about["format"], about["round"]) == (name, 3)
    inputs = about["signatures"]["sample"]["inputs"]
    assert inputs["z"]["shape"] == [8]
    assert (inputs["label"]["dtype"], inputs["label"]["classes"]) == ("int64", [str(i) for i in range(10)])
    assert about["signatures"]["sample"]["output"]["shape"] == [1, 16, 16]
    machine = str(digits.path.parent)
    texts = [p for p in path.iterdir() if p.suffix in (".md", ".json", ".yaml")]
    assert not [p for p in texts if machine in p.read_text()]
    if name == "mlflow":  # as an index has them, and nothing of ganflow's
        wanted = dict(line.split("==") for line in (path / "requirements.txt").read_text().splitlines())
        assert set(wanted) == {"torch", "mlflow", "numpy"}
        assert not [number for number in wanted.values() if "+" in number]
    if name == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path / "sample.onnx"))
        assert {i.name: (i.shape, i.type) for i in session.get_inputs()} == {
            "z": (["batch", 8], "tensor(float)"), "label": (["batch"], "tensor(int64)"),
        }  # fmt: skip
        assert [(o.name, o.shape) for o in session.get_outputs()] == [("output", ["batch", 1, 16, 16])]


STREET = ("data.size=32", "data.train=8", "data.held_out=4", "generator.width=4", "critic.width=4")
REAL = [
    pytest.param("vae_digits", (), marks=pytest.mark.slow),
    pytest.param("cyclegan_street", STREET, marks=pytest.mark.slow),
    pytest.param("ring", (), marks=pytest.mark.rare),
    pytest.param("wgan", (), marks=pytest.mark.rare),
    pytest.param("acgan_digits", (), marks=pytest.mark.rare),
    pytest.param("pix2pix_facades", (), marks=pytest.mark.rare),
    pytest.param("unit_street", STREET, marks=pytest.mark.rare),
    pytest.param("stackgan_stage1_birds", ("data.encoder={use: bag_of_words}", "loss.match=0"), marks=pytest.mark.rare),
    pytest.param("photos_style", ("data.path=photos", "train.batch_size=4"), marks=pytest.mark.rare),
    pytest.param("photos_r3", ("data.path=photos", "train.batch_size=4"), marks=pytest.mark.rare),
]


@pytest.mark.parametrize(("recipe", "overrides"), REAL)
def test_recipes_leave(recipe: str, overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    pixels = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(pixels.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(f"photos/{i}.png")
    folder = trained(recipe, tmp_path / "runs", *overrides)
    game, exports = load_game(folder), []
    for name in FORMATS:
        path = export_run(folder, name, tmp_path / name).path
        for each, about in config(path)["signatures"].items():
            if None in about["output"]["shape"] and "x" in about["inputs"]:  # images of any size
                x = torch.rand(2, about["inputs"]["x"]["shape"][0], 41, 50) * 2 - 1
                save_file({"x": x, "output": game.call(each, x=x)}, path / f"{each}.larger.safetensors")
        exports.append(path)
    found = apart(*exports)
    assert max(max(distances.values()) for distances in found.values()) < CLOSE, found
    if recipe == "cyclegan_street":
        assert all({"to_a, another size", "to_b, another size"} <= set(distances) for distances in found.values())
    if recipe == "vae_digits":
        assert list(config(exports[0])["signatures"]) == ["sample", "encode", "reconstruct"]
