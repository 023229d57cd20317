"""Recipes in stages: read, run, interrupted, gone on with; and a stage without the one before it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from runner_helpers import Process, assert_same_state, finished, last

from ganflow.errors import GanflowError, RecipeError
from ganflow.recipe import read_recipe
from ganflow.recipe.source import recipe_of
from ganflow.recipe.stages import read_stages
from ganflow.runs import finding, folders
from ganflow.runs.checkpoints import read
from ganflow.runs.start import resume_stages, start, start_stages

FIRST = """\
name: first
data: {use: birds, size: 16, train: 20, held_out: 8, encoder: {use: matched, steps: 2, dim: 8, side: 8}}
prior: {use: normal, dim: 4}
generator: {use: stackgan_stage1, width: 4, dim: 6}
critic: {use: stackgan, width: 4, dim: 6}
loss: {use: stackgan, match: 0.1}
optimizer: {use: adam, lr: 1.0e-3, beta1: 0.5}
modifiers: [{use: ema, decay: 0.5}]
train: {rounds: 3, batch_size: 4, threads: 1, compile: never, report_every: 1, checkpoint_every: 1, sample_every: 100}
track: {mlflow: false}
"""
SECOND = FIRST.replace("name: first", "name: second").replace("size: 16", "size: 32").replace(
    "{use: stackgan_stage1, width: 4, dim: 6}",
    "{use: stackgan_stage2, factor: 2, width: 4, blocks: 1, dim: 6, stage1: {use: stackgan_stage1, width: 4, dim: 6}}",
)  # fmt: skip
EARLIER = "game.generator.earlier."


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two recipes and one of both, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path / "cache"))
    (tmp_path / "first.yaml").write_text(FIRST)
    (tmp_path / "second.yaml").write_text(SECOND)
    (tmp_path / "both.yaml").write_text("name: both\nstages: [first.yaml, second.yaml]\n")
    return tmp_path


def newest(name):
    return finding.find_run(name, Path("runs"))


def weights(run, prefix):
    return {key.removeprefix(prefix): t for key, t in last(run).tensors.items() if key.startswith(prefix)}


def test_stages_are_read_and_a_change_is_for_all_or_for_one(files):
    one = ["first.train.rounds=7", "second.train.n_critic=2", "+first.metrics=sliced_wasserstein"]
    stages = read_stages("both.yaml", ["train.seed=5", *one])
    assert stages.name == "both"
    assert [r.name for r in stages.recipes] == ["first", "second"]
    assert [r.train.seed for r in stages.recipes] == [5, 5]
    assert [r.train.rounds for r in stages.recipes] == [7, 3]
    assert [r.train.n_critic for r in stages.recipes] == [1, 2]
    assert [len(r.metrics) for r in stages.recipes] == [1, 0]
    assert read_stages("first.yaml") is None


def test_stages_in_full_are_the_same_stages(files, command):
    stages = read_stages("both.yaml")
    code, out, _ = command("show", "both.yaml")
    (files / "full.yaml").write_text(out)
    assert code == 0
    assert read_stages("full.yaml") == stages
    assert [recipe_of(r.resolved()) for r in stages.recipes] == stages.recipes
    assert command("check", "both.yaml", "full.yaml")[1] == "both.yaml: ok\nfull.yaml: ok\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stages: [first.yaml, nowhere]", "no recipe 'nowhere'"),
        ("stages: [first.yaml, first.yaml]", "two stages are called 'first'"),
        ("stages: first.yaml", "bad.yaml:1: stages: a list of recipes is needed here"),
        ("stages: []", "stages: a list of recipes is needed here"),
        ("stages: [first.yaml, 3]", "bad.yaml:1: 3 is not a stage"),
        ("stages: [first.yaml]\ntrain: {seed: 3}", "bad.yaml:2: unknown section 'train'; a recipe with stages has a name"),
        ("stages: [first.yaml, both.yaml]", "unknown section 'stages'; a recipe with stages is for `ganflow run`"),
        ("stages: [first.yaml, later.yaml]", "stage 'second' starts from the stage before it; leave this out"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_stages(files, command, text, told):
    (files / "bad.yaml").write_text(text + "\n")
    (files / "later.yaml").write_text(SECOND.replace("train: {", "train: {start_from: latest, "))
    for verb in ("check", "run"):
        assert told in command.refused(verb, "bad.yaml")


def test_all_problems_of_all_stages_are_told(files):
    with pytest.raises(GanflowError) as caught:
        read_stages("both.yaml", ["first.train.rounds=lots", "second.train.seed=x"])
    assert caught.value.in_shell.splitlines() == [
        "command line: train.rounds: 'lots' is not an integer",
        "command line: train.seed: 'x' is not an integer",
    ]
    with pytest.raises(RecipeError, match="unknown section 'stages'"):
        read_recipe("both.yaml")


def test_both_stages_run_and_the_second_stands_on_the_first(files, command):
    code, out, err = command("run", "both.yaml", "-q")
    assert (code, err) == (0, "")
    assert out.count("3 rounds; look at") == 2
    first, second = newest("first"), newest("second")
    assert first.read().next == str(second.path)
    assert second.read().start_from["run"] == str(first.path)
    inside, averaged = weights(second, EARLIER), weights(first, "game.extras.average.")
    assert inside.keys() == averaged.keys()
    assert all(torch.equal(t, averaged[key]) for key, t in inside.items())
    assert weights(second, "game.extras.average.earlier.").keys() == averaged.keys()
    assert (second.path / folders.ENCODER_FILE).read_bytes() == (first.path / folders.ENCODER_FILE).read_bytes()


def test_a_second_stage_without_a_first(files, command):
    told = command.refused("run", "second.yaml")
    why, remedy = told.split(": ", 2)[1:]
    assert why == "generator 'stackgan_stage2' stands on an earlier run's generator, and the recipe names no such run"
    assert remedy == "give train.start_from=RUN, or run a recipe with both stages"
    assert not (files / "runs").exists()


def test_a_first_stage_that_does_not_fit(files, command):
    start(read_recipe("first.yaml", ["generator.width=5"]), quiet=True)
    told = command.refused("run", "second.yaml", "train.start_from=first")
    assert "train.start_from: the generator of run 'first' is not this recipe's network" in told


def test_a_first_stage_that_read_otherwise(files, command):
    start(read_recipe("first.yaml", ["data.encoder.seed=1"]), quiet=True)
    told = command.refused("run", "second.yaml", "train.start_from=first")
    assert "train.start_from: run 'first' read sentences with another text encoder; use the same data.encoder" in told


def test_a_second_stage_can_start_from_a_second_stage(files):
    *_, outcome = start_stages(read_stages("both.yaml"), quiet=True)
    more = start(read_recipe("second.yaml", ["train.start_from=second", "name=third", "train.rounds=1"]), quiet=True)
    before = weights(outcome.folder, EARLIER)
    assert all(torch.equal(t, before[key]) for key, t in weights(more.folder, EARLIER).items())


def test_the_next_stage_follows_when_a_finished_one_is_resumed(files):
    stages = read_stages("both.yaml")
    first = next(start_stages(stages, quiet=True))  # it ends here: the second is never begun
    assert not first.folder.read().next
    (second,) = resume_stages(first.folder, quiet=True)
    assert (second.folder.name, second.status) == ("second", "finished")
    assert [o.folder for o in resume_stages(first.folder, quiet=True)] == [second.folder]
    assert len(list(finding.all_runs(Path("runs")))) == 2


def test_a_next_stage_outside_of_the_runs_folder_is_not_gone_on_with(files, tmp_path):
    *_, last_outcome = start_stages(read_stages("both.yaml"), Path("runs"), quiet=True)
    stranger = tmp_path / "elsewhere" / "second" / "1"
    shutil.copytree(last_outcome.folder.path, stranger)
    before = {path: path.stat().st_mtime_ns for path in stranger.rglob("*")}
    newest("first").update(next=str(stranger))
    with pytest.raises(GanflowError, match="which is not in the runs folder"):
        list(resume_stages(newest("first"), root=Path("runs"), quiet=True))
    assert {path: path.stat().st_mtime_ns for path in stranger.rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["first", "second"])
def test_killed_in_either_stage_it_goes_on_to_the_same_weights(files, stage):
    whole = files / "whole"
    whole.mkdir()
    long = ["first.train.rounds=8", "second.train.rounds=8"]
    assert finished(whole, "run", files / "both.yaml", *long, "-q")[0] == 0
    with Process(files, "run", files / "both.yaml", *long, "-q") as process:
        assert process.until(lambda: (run := process.run) and run.name == stage and list(run.checkpoints.glob("*.safetensors")))
        process.kill()
    assert finished(files, "run", "--resume", "latest", "-q")[0] == 0
    for name in ("first", "second"):
        assert_same_state(finding.find_run(name, whole / "runs"), newest(name))


def test_what_is_kept_of_a_run_is_enough_to_draw(files, command):
    """Without the data and without the cache."""
    list(start_stages(read_stages("both.yaml"), quiet=True))
    for file in (files / "cache").iterdir():
        file.unlink()
    run = newest("second")
    assert command("draw", "second", "this bird has a red belly", "-n", "2")[0] == 0
    assert not list((files / "cache").iterdir())
    assert json.loads((run.path / "run.json").read_text())["data"]["fields"]["text"] == [8]
    assert read(max(run.checkpoints.glob("round-*"))).round == 3
