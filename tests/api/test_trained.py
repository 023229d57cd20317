"""`ganflow.load`, and what a run offers."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganflow
from ganflow.cli.main import main
from ganflow.runs import evaluations


@pytest.fixture
def run(tiny, runs):
    return ganflow.run(tiny, {"metrics": ["sliced_wasserstein"]}, quiet=True)


def test_samples_are_those_of_the_command(run, tmp_path):
    assert main(["sample", run.id, "-n", "5", "--seed", "3", "-o", str(tmp_path / "s.npz")]) == 0
    samples = run.samples(5, seed=3)
    assert torch.equal(samples, torch.from_numpy(np.load(tmp_path / "s.npz")["samples"]))
    assert torch.equal(samples, ganflow.load("tiny").samples(5, seed=3))
    assert not torch.equal(samples, run.samples(5, seed=4))
    assert samples.shape == (5, 2)


def test_the_generator_is_the_average(run):
    with torch.no_grad():
        made = run.generator(run.game.latents(5, seed=3))
    assert torch.equal(made, run.samples(5, seed=3))
    assert any(not torch.equal(p, q) for p, q in zip(run.generator.parameters(), run.game.generator.parameters(), strict=True))
    assert not run.generator.training
    assert run.critic is run.game.critic


def test_terms_and_scores_are_tables(run):
    terms = run.terms()
    assert list(terms.index) == [2, 4, 6]
    assert terms.index.name == "round"
    assert terms["w_estimate"].tolist() == pytest.approx((-terms["critic/wasserstein"]).tolist())
    scores = run.evaluate()
    assert list(scores.index) == ["sliced_w1_2048"]
    assert scores.loc["sliced_w1_2048", "value"] == pytest.approx(terms["sliced_w1_2048"].iloc[-1])
    fewer = run.evaluate([{"use": "sliced_wasserstein", "samples": 64}], seeds=2)
    assert list(fewer.index) == ["sliced_w1_64"]
    assert {row["score"] for row in evaluations.read(run.folder)} == {"sliced_w1_2048", "sliced_w1_64"}
    with pytest.raises(ganflow.GanflowError, match="unknown metric 'sliced_waserstein'; did you mean 'sliced_wasserstein'"):
        run.evaluate(["sliced_waserstein"])


def test_a_name_or_a_mapping_alone_is_a_list_of_one(run):
    assert list(run.evaluate("sliced_wasserstein").index) == ["sliced_w1_2048"]
    assert list(run.evaluate({"use": "sliced_wasserstein", "samples": 64}).index) == ["sliced_w1_64"]


def test_arguments_are_checked_in_words_of_python(run):
    wrong = {
        "n: a whole number from 1 on, not -1": lambda: run.samples(-1),
        "n: a whole number from 1 on, not 2.5": lambda: run.samples(2.5),
        "n: a whole number from 1 on, not '8'": lambda: run.show("8"),
        "n: a whole number from 1 on, not True": lambda: run.show(True),
        "seed: a whole number from 0 on, not 'x'": lambda: run.samples(4, seed="x"),
        "seed: a whole number from 0 on, not -1": lambda: run.interpolate(seed=-1),
        "seed: a whole number from 0 to below 2^63, not 9223372036854775808": lambda: run.show(seed=2**63),
        "label: a class's name or number, not 2.5": lambda: run.samples(4, label=2.5),
        "label: a class's name or number, or several of them in a list, not []": lambda: run.samples(4, label=[]),
        "rows: a whole number from 1 on, not 0": lambda: run.interpolate(0),
        "steps: a whole number from 2 on, not 1": lambda: run.interpolate(2, 1),
        "fps: a whole number from 1 to 50, not 0": lambda: run.animate("a.gif", fps=0),
        "what should x.txt be? end its name in .gif": lambda: run.animate("x.txt"),
        "path: a path is wanted, not 3": lambda: run.animate(3),
        "seeds: a whole number from 1 to 1000, not 0": lambda: run.evaluate(seeds=0),
        'metrics: a name, or a mapping as {"use": "frechet"}, or several of them in a list, not []': lambda: run.evaluate([]),
        'metrics: a name, or a mapping as {"use": "frechet"}, not 5': lambda: run.evaluate(5),
        "which run? a name, a folder, or a run that was opened is wanted, not 5": lambda: ganflow.load(5),
    }
    for sentence, function in wrong.items():
        with pytest.raises(ganflow.GanflowError) as refused:
            function()
        assert str(refused.value) == sentence
    assert len(run.samples(np.int64(3), label=None)) == 3


def test_a_run_without_metrics_says_how_to_name_one(tiny, runs):
    run = ganflow.run(tiny, quiet=True)
    with pytest.raises(ganflow.GanflowError, match=r'has no metrics; name one: evaluate\("sliced_wasserstein"\)$'):
        run.evaluate()


def test_a_checkpoint_that_is_not_there_is_refused_when_a_run_is_opened(run):
    for which in ("bset", 5):
        with pytest.raises(ganflow.GanflowError, match=f"has no checkpoint '{which}'; use last, best, or a file of"):
            ganflow.load("tiny", checkpoint=which)
    file = next(run.folder.checkpoints.glob("*.safetensors"))
    assert torch.equal(ganflow.load("tiny", checkpoint=file).samples(2), ganflow.load("tiny", checkpoint=str(file)).samples(2))


def test_the_folder_of_runs_is_read_when_it_is_needed(tiny, runs, monkeypatch, tmp_path):
    monkeypatch.setenv("GANFLOW_RUNS", "elsewhere")
    run = ganflow.run(tiny, quiet=True)
    assert run.path.parent.parent == tmp_path / "elsewhere"
    assert ganflow.load("tiny").id == ganflow.resume("latest", quiet=True).id == run.id
    several = ganflow.run_seeds(tiny, 1, quiet=True)
    assert several.path.parent == ganflow.load_sweep("latest").path.parent == run.path.parent.parent
    assert ganflow.compare(run.id, "tiny-seeds-1").root == run.path.parent.parent.relative_to(tmp_path)
    monkeypatch.setenv("GANFLOW_RUNS", "another")
    with pytest.raises(ganflow.GanflowError, match="no runs in another/ yet"):
        ganflow.load("tiny")
    assert main(["runs"]) == 0


TRANSLATES = {
    "data": {"use": "facades", "size": 16, "train": 4, "held_out": 2},
    "generator": {"use": "unet", "width": 4, "depth": 2},
    "critic": {"use": "patch", "receptive_field": 7, "width": 4},
    "condition": "source",
    "modifiers": [],
}


def test_a_generator_that_draws_nothing_shows_its_newest_picture(tiny, runs):
    recipe = {key: value for key, value in tiny.items() if key != "prior"}
    run = ganflow.run({**recipe, **TRANSLATES}, {"train": {"rounds": 2, "batch_size": 2, "compile": "never"}}, quiet=True)
    with Image.open(run.pictures()[-1]) as newest:
        assert run.show().size == newest.size
    with pytest.raises(ganflow.GanflowError, match="has no prior: its generator translates examples"):
        run.samples()
    exported = ganflow.load(run.export("safetensors"))
    assert exported.show().size == run.show().size
    with pytest.raises(ValueError, match=r"^x: \(n, 10, 16, 16\) floats in \[-1, 1\] is wanted, not \(2, 3, 16, 16\) float32$"):
        run.call(run.game.maker, torch.zeros(2, 3, 16, 16))
    for path in run.pictures():
        path.unlink()
    with pytest.raises(ganflow.GanflowError, match="has no picture yet"):
        run.show()


def test_a_run_is_exported_as_by_the_command(run, tmp_path):
    assert run.export("safetensors") == Path("tiny-safetensors")
    assert (tmp_path / "tiny-safetensors" / "README.md").exists()
    assert torch.equal(ganflow.load("tiny-safetensors").samples(3), run.samples(3))
    wrong = {
        "tiny-safetensors is there already; choose another with path, or replace it with force=True": ("safetensors",),
        "format onxx: unknown format; did you mean 'onnx'? (formats: pt2, onnx, safetensors, mlflow, hub)": ("onxx",),
        "path: a path is wanted, not 3": ("safetensors", 3),
        "format: a text is wanted, not ['onnx', 'pt2']": (["onnx", "pt2"],),
    }
    for sentence, arguments in wrong.items():
        with pytest.raises(ganflow.GanflowError) as refused:
            run.export(*arguments)
        assert str(refused.value) == sentence
    with pytest.raises(ganflow.GanflowError, match=r"^push sends to the Hugging Face hub: format hub, not format pt2$"):
        run.export("pt2", push="ann/ring")
    assert run.export("safetensors", force=True) == Path("tiny-safetensors")


def test_a_run_says_what_it_is(run):
    assert (run.name, run.status, run.round, run.path) == ("tiny", "finished", 6, run.folder.path)
    assert repr(run) == f"<ganflow run tiny {run.id}: finished, round 6 of 6>"
    assert run.recipe["train"]["rounds"] == 6
    assert [path.name for path in run.pictures()][-1] == "round-00000006.png"
    assert run.show(4).size[0] > 100
    with pytest.raises(ganflow.GanflowError, match="no run 'nothing' in runs/"):
        ganflow.load("nothing")


def test_the_round_of_a_checkpoint_is_that_of_its_weights(tiny, runs):
    folder = ganflow.run(tiny, {"metrics": ["sliced_wasserstein"], "train.evaluate_every": 2}, quiet=True).folder
    first = sorted(folder.checkpoints.glob("round-*"))[0]
    os.replace(first, folder.checkpoints / "best.safetensors")
    run = ganflow.load("tiny", checkpoint="best")
    assert (run.round, run.record.round, ganflow.load("tiny").round) == (2, 6, 6)
    assert repr(run) == f"<ganflow run tiny {run.id}: finished, round 6 of 6; weights of round 2 (best)>"
    (folder.checkpoints / "best.safetensors").write_bytes(b"nothing")
    assert repr(ganflow.load("tiny", checkpoint="best")).endswith("; weights of checkpoint best, which cannot be read>")


def test_a_picture_holds_so_many_samples_and_no_more(run):
    with pytest.raises(ganflow.GanflowError) as refused:
        run.show(10**6)
    assert str(refused.value) == "n: a picture holds at most 10000 samples, not 1000000; run.samples(1000000) are numbers"
    with pytest.raises(ganflow.GanflowError, match="at most 10000 samples, not 20000"):
        run.show(10_000, label=[0, 1])
    assert run.show(1000).size == run.show().size


def test_classes_are_asked_for_by_name_or_number(tiny, runs):
    digits = {**tiny, "data": {"use": "digits", "size": 8}, "condition": "label", "prior": {"use": "normal", "dim": 4}}
    run = ganflow.run(digits, {"train.rounds": 1}, quiet=True)
    assert torch.equal(run.samples(3, label="7"), run.samples(3, label=7))
    both = run.samples(3, label=[7, 1])
    torch.testing.assert_close(both[:3], run.samples(3, label=7))
    assert run.show(2, label=[7, 1]).height > run.show(2, label=7).height
    with pytest.raises(ganflow.GanflowError, match="label ten: there is no such class"):
        run.samples(1, label="ten")
