"""What is wrong, and what to do, in Python's words: no options of commands, and calls that work as they stand."""

import re

import pytest

import ganflow
from ganflow.cli.main import main


def refusal(function, *arguments, **named):
    with pytest.raises(ganflow.GanflowError) as refused:
        function(*arguments, **named)
    for word in ("command line", " --", "ganflow run"):
        assert word not in str(refused.value)
    return str(refused.value)


def advised(text):
    """Do as the call at a text's end says."""
    call = re.search(r"ganflow\.(run|resume)\(.*\)$", text.strip())
    assert call, text
    return eval(call[0].removesuffix(")") + ", quiet=True)", {"ganflow": ganflow})


def test_a_metric_that_is_no_list(tiny, runs):
    lists = re.findall(r"\{.*?\}", refusal(ganflow.run, "wgan", {"metrics": "emd"}))
    assert lists == ['{"+metrics": "emd"}', '{"metrics": ["emd"]}']
    for each in lists:
        assert ganflow.run(tiny, {**eval(each), "train.rounds": 1}, quiet=True).record.protocols
    text = refusal(ganflow.run, {**tiny, "metrics": "emd"})
    assert text == "the recipe:1: metrics: 'emd' is not a list; write {\"metrics\": [\"emd\"]}"
    for function in (ganflow.sweep, lambda *given: ganflow.run_seeds(given[0], 2, given[1])):
        assert '{"metrics": ["emd"]}' in refusal(function, "sweeps/asha", {"metrics": "emd"})


def test_a_change_that_is_wrong_is_in_the_arguments(tiny, runs):
    assert refusal(ganflow.run, "wgan", {"train.round": 3}).startswith("arguments: unknown key 'round' in train; did you mean")
    run = ganflow.run(tiny, quiet=True)
    assert refusal(ganflow.resume, run, {"train.round": 3}).startswith("arguments: unknown key 'round' in train")
    assert refusal(run.evaluate, "frechett").startswith("arguments: unknown metric 'frechett'; did you mean 'frechet'?")
    assert refusal(run.evaluate).endswith('has no metrics; name one: evaluate("sliced_wasserstein")')


def test_a_run_that_has_finished(tiny, runs, capsys):
    run = ganflow.run(tiny, quiet=True)
    assert ganflow.resume(run).status == "finished"
    said = capsys.readouterr().err
    assert said.startswith(f"run {run.id} has finished already; to train on: ganflow.resume(")
    assert advised(said).round == 12
    assert main(["run", "--resume", run.id]) == 0
    assert f"to train on: ganflow run --resume {run.id} train.rounds=24\n" in capsys.readouterr().err
    ganflow.resume(run, quiet=True)
    assert capsys.readouterr().err == ""


def test_what_cannot_change_is_a_call(tiny, runs):
    run = ganflow.run(tiny, quiet=True)
    assert advised(refusal(ganflow.resume, run, {"loss": "hinge"})).record.start_from["run"] == str(run.path)
    text = refusal(ganflow.resume, run, {"name": "other"})
    assert "a run keeps its name, which its folder has; the one that MLflow shows may change: track.run_name=…\n" in text
    assert advised(text).name == "other"
    assert ganflow.resume(run, {"track.run_name": "other", "train.rounds": 8}, quiet=True).round == 8


def test_a_run_that_diverged(tiny, runs):
    run = ganflow.run(tiny, quiet=True)
    text = refusal(ganflow.resume, run, {"train.rounds": 12, "optimizer.lr": 1e25}, quiet=True)
    assert run.record.error.endswith(f"ganflow run --resume {run.id} optimizer.lr=0.001")  # `ganflow runs show` prints it
    assert advised(text).round == 12


def test_folders_and_names(runs, tmp_path):
    assert refusal(ganflow.load, "x") == 'no runs in runs/ yet; start one with: ganflow.run("wgan")'
    (tmp_path / "file").write_text("")
    text = refusal(ganflow.run, "ring", {"train.rounds": 1, "track.mlflow": False}, runs=tmp_path / "file")
    assert text.endswith("choose another with runs=…")
    assert refusal(ganflow.load_sweep, "x") == 'no sweeps in runs/ yet; start one with: ganflow.sweep("wgan")'
