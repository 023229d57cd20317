"""`ganflow.load`, and what a run offers."""

import numpy as np
import pytest
import torch

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


def test_a_run_says_what_it_is(run):
    assert (run.name, run.status, run.round, run.path) == ("tiny", "finished", 6, run.folder.path)
    assert repr(run) == f"<ganflow run tiny {run.id}: finished, round 6 of 6>"
    assert run.recipe["train"]["rounds"] == 6
    assert [path.name for path in run.pictures()][-1] == "round-00000006.png"
    assert run.show(4).size[0] > 100
    with pytest.raises(ganflow.GanflowError, match="no run 'nothing' in runs/"):
        ganflow.load("nothing")


def test_classes_are_asked_for_by_name_or_number(tiny, runs):
    digits = {**tiny, "data": {"use": "digits", "size": 8}, "condition": "label", "prior": {"use": "normal", "dim": 4}}
    run = ganflow.run(digits, {"train.rounds": 1}, quiet=True)
    assert torch.equal(run.samples(3, label="7"), run.samples(3, label=7))
    both = run.samples(3, label=[7, 1])
    torch.testing.assert_close(both[:3], run.samples(3, label=7))
    assert run.show(2, label=[7, 1]).height > run.show(2, label=7).height
    with pytest.raises(ganflow.GanflowError, match="label ten: there is no such class"):
        run.samples(1, label="ten")
