"""`ganflow.sweep`, `ganflow.run_seeds` and `ganflow.load_sweep`."""

import signal
from statistics import mean, stdev

import pytest

import ganflow
from ganflow.tune import seeds

SWEEP = {"metrics": ["sliced_wasserstein"], "tune": {"trials": 2, "space": {"optimizer.lr": {"loguniform": [1e-4, 1e-2]}}}}


def test_seeds_have_a_table_of_trials_and_one_of_means(tiny, runs):
    several = ganflow.run_seeds({**tiny, "metrics": [{"use": "sliced_wasserstein", "samples": 64}]}, [4, 2], quiet=True)
    trials = several.trials()
    assert list(trials["train.seed"]) == [4, 2]
    assert set(trials["state"]) == {"finished"}
    row = several.spread().loc["sliced_w1_64"]
    assert row["n"] == 2
    assert row["mean"] == pytest.approx(mean(trials["score"]))
    assert row["sd"] == pytest.approx(stdev(trials["score"]))
    assert several.best.record.seed == trials["train.seed"][trials["score"].idxmin()]
    assert several.trial(1).record.seed == 2
    assert ganflow.load_sweep("latest").path == several.path
    assert repr(several) == "<ganflow sweep tiny-seeds-1: finished, 2 of 2 trials>"
    with pytest.raises(ganflow.GanflowError, match="no sweep 'other' in runs/"):
        ganflow.load_sweep("other")


def test_seeds_that_were_interrupted_go_on(tiny, runs, monkeypatch):
    train = seeds._train
    with monkeypatch.context() as patch:
        patch.setattr(seeds, "_train", lambda *args: signal.SIGINT if args[2] else train(*args))  # as after Ctrl-C
        several = ganflow.run_seeds(tiny, 2, quiet=True)
    assert (several.status, len(several.trials())) == ("interrupted", 1)
    again = ganflow.resume_sweep("latest", quiet=True)
    assert (again.status, again.path) == ("finished", several.path)
    assert list(again.trials()["state"]) == ["finished", "finished"]


def test_seeds_are_named_or_counted(tiny, runs):
    several = ganflow.run_seeds(tiny, [7], {"train.rounds": 1, "metrics": ["sliced_wasserstein"]}, quiet=True)
    assert list(several.trials()["train.seed"]) == [7]
    assert ganflow.load_sweep(several).path == several.path
    assert ganflow.load(several).id == several.trial(0).id
    wrong = {
        0: "seeds: a whole number from 1 to 1000, not 0",
        "3": "seeds: a whole number from 1 to 1000, not '3'",
        (-1,): "seeds: a whole number from 0 on, not -1",
        (1, 1): "seeds: 1 is named twice, and the same seed trains the same run; name each once",
        (): "seeds: a number of seeds, or several of them in a list, not ()",
    }
    for given, sentence in wrong.items():
        with pytest.raises(ganflow.GanflowError) as refused:
            ganflow.run_seeds(tiny, given)
        assert str(refused.value) == sentence
    with pytest.raises(ganflow.GanflowError, match="number: a whole number from 0 on, not 'x'"):
        several.trial("x")
    with pytest.raises(ganflow.GanflowError, match="was begun by run_seeds and goes on as it is"):
        ganflow.resume_sweep(several, {"tune.trials": 3})
    with pytest.raises(ganflow.GanflowError, match=r"^which sweep.* is wanted, not 3$"):
        ganflow.load_sweep(3)
    assert len(list(runs.iterdir())) == 1


def test_a_recipe_without_a_space_is_refused(tiny, runs):
    with pytest.raises(ganflow.GanflowError, match="has no section 'tune'"):
        ganflow.sweep(tiny)
    with pytest.raises(ganflow.GanflowError, match="name: a text is wanted, not 3"):
        ganflow.sweep({**tiny, **SWEEP}, name=3)
    with pytest.raises(ganflow.GanflowError, match="takes jobs, which a command sends"):
        ganflow.sweep({**tiny, **SWEEP}, address="http://127.0.0.1:8265")
    assert not list(runs.glob("*"))


@pytest.mark.slow
def test_a_sweep_by_ray(tiny, runs):
    sweep = ganflow.sweep({**tiny, **SWEEP}, {"tune.concurrency": 1}, name="mine", quiet=True)
    trials = sweep.trials()
    assert (sweep.status, len(trials), set(trials["state"])) == ("finished", 2, {"finished"})
    assert trials["optimizer.lr"].between(1e-4, 1e-2).all()
    assert sweep.best.id == sweep.trial(int(trials["score"].idxmin())).id
    more = ganflow.resume_sweep(sweep, {"tune.trials": 3}, quiet=True)
    assert len(more.trials()) == 3
