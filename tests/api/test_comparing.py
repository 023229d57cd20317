"""`ganflow.compare`, `TrainedRun.interpolate` and `TrainedRun.animate`."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

import ganflow
from ganflow.cli.main import main


@pytest.fixture
def two(tiny, runs):
    """Two runs of other seeds, with a picture each second round."""
    changes = {"metrics": ["sliced_wasserstein"], "train.sample_every": 3}
    return [ganflow.run(tiny, {**changes, "train.seed": seed}, quiet=True) for seed in (1, 2)]


def test_terms_and_scores_side_by_side(two, capsys):
    a, b = two
    compared = ganflow.compare(a.id, b.id)
    assert [run.id for run in compared.runs] == [a.id, b.id] == [run.id for run in ganflow.compare([a, b]).runs]
    terms = compared.terms()
    assert list(terms.columns) == [a.id, b.id]
    for run in two:
        assert terms.loc["critic_loss", run.id] == run.terms()["critic_loss"].iloc[-1]
    scores = compared.scores()
    first, second = (run.terms()["sliced_w1_2048"].dropna().iloc[-1] for run in two)
    assert scores.loc["sliced_w1_2048", "difference"] == pytest.approx(second - first)
    assert (compared.not_compared, compared.advice, compared.without_scores()) == ((), (), "")
    assert compared.show().size[0] > 100
    assert main(["compare", a.id, b.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(compared.facts()))


def test_what_cannot_be_compared_is_named(tiny, runs):
    a, b = (ganflow.run(tiny, {"train.seed": seed}, quiet=True) for seed in (1, 2))
    for run, samples in ((a, 64), (b, 128)):
        run.evaluate([{"use": "sliced_wasserstein", "samples": samples}])
    alike = f"evaluate both alike: ganflow evaluate {a.id} {b.id} "
    with pytest.raises(ganflow.GanflowError, match=f"^sliced_w1_64: samples 64 against 128.*; {alike}"):
        ganflow.compare(a.path, b.path)
    mmd = {"use": "mmd", "samples": 64}
    for run in (a, b):
        run.evaluate([mmd])
    compared = ganflow.compare(a.path, b.path)
    assert [line.partition(":")[0] for line in compared.not_compared] == ["sliced_w1_64"]
    assert compared.advice[0].startswith(alike)
    with pytest.raises(ganflow.GanflowError, match="two of these names mean the same run"):
        ganflow.compare(a.id, a.path)
    with pytest.raises(ganflow.GanflowError, match="compare two runs or more"):
        ganflow.compare(a.id)


def test_runs_without_a_score_say_which_command_gives_one(tiny, runs):
    a, b = (ganflow.run(tiny, {"train.seed": seed}, quiet=True) for seed in (1, 2))
    compared = ganflow.compare(a.id, b.id)
    assert compared.scores().empty
    assert compared.without_scores().endswith(f"ganflow evaluate {a.id} {b.id} --metric sliced_wasserstein")


def test_means_over_seeds(tiny, runs):
    several = ganflow.run_seeds(tiny, 2, {"metrics": ["sliced_wasserstein"]}, quiet=True)
    one = ganflow.run(tiny, {"metrics": ["sliced_wasserstein"], "train.seed": 7}, quiet=True)
    compared = ganflow.compare(several.name, one.id)
    assert compared.runs[0].seeds == 2
    mean = several.spread().loc["sliced_w1_2048", "mean"]
    assert compared.scores().loc["sliced_w1_2048", several.name] == pytest.approx(mean)
    assert math.isfinite(compared.scores().loc["sliced_w1_2048", "difference"])


def test_ways_begin_and_end_at_samples(two):
    run = two[0]
    way = run.interpolate(3, 5, seed=4)
    assert way.shape == (3, 5, 2)
    ends = run.samples(6, seed=4)
    assert torch.allclose(way[:, 0], ends[:3])
    assert torch.allclose(way[:, -1], ends[3:])


def test_ways_between_classes(tiny, runs):
    changes = {"data": {"use": "digits", "size": 8}, "condition": "label", "train.rounds": 2}
    run = ganflow.run(tiny, changes, quiet=True)
    assert torch.equal(run.interpolate(2, 3, label="7")[:, 0], run.interpolate(2, 3, label=7)[:, 0])
    with pytest.raises(ganflow.GanflowError, match="give one class, or two to go from one to the other; 3 were given"):
        run.interpolate(2, 3, label=[1, 2, 3])


def test_an_animation(drawn, two, tmp_path):
    with Image.open(two[0].animate(tmp_path / "a.gif", fps=2)) as image:
        assert image.n_frames == len(two[0].pictures()) >= 2


def test_files_for_programs(two, capsys, tmp_path):
    run = two[0]
    about = {"run": run.id, "name": "tiny"}
    drawn = {**about, "checkpoint": "last", "seed": 0}
    asked = {
        ("sample", "-n", "5", "-o", "s.npz"): {**drawn, "samples": 5, "classes": []},
        ("sample", "-n", "40", "-o", "s.png"): {**drawn, "samples": 40, "classes": []},
        ("interpolate", "--rows", "2", "-o", "i.png"): {**drawn, "rows": 2, "steps": 200, "classes": []},
        ("animate", "-o", "a.gif"): {**about, "pictures": len(run.pictures())},
    }
    for (command, *rest), facts in asked.items():
        assert main([command, run.id, *rest, "--json"]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out) == {"files": [str(tmp_path / rest[-1])], **facts}
        assert err == ""
    assert np.load("s.npz")["samples"].shape == (5, 2)
