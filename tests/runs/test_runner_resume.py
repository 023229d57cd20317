"""Going on with a run: from every kind of data and round, with every kind of trouble."""

import dataclasses
import json
import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from runner_helpers import assert_same_state, files, finished, folder_of, last, numbers, only_run

from ganflow.engine.trainer import Trainer
from ganflow.recipe import Train, read_recipe
from ganflow.runs.finding import all_runs

IMAGES = """\
name: images
data: {use: image_folder, path: images, size: 16, resize: 20, crop: random, flip: true, in_memory: never}
prior: {use: uniform, dim: 8}
generator: {use: dcgan, width: 4}
critic: {use: dcgan, width: 4, norm: none}
loss: {use: hinge}
optimizer: {generator: {use: adam}, critic: {use: rmsprop, lr: 1.0e-3, momentum: 0.5}}
modifiers:
  - {use: diffaugment}
train: {rounds: 12, n_critic: 2, batch_size: 5, threads: 1, compile: never, report_every: 1}
track: {mlflow: false}
"""
POINTS = """\
name: points
data: {use: gaussians}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 16, batch_norm: true}
critic: {use: mlp, width: 16}
loss: {use: wasserstein}
optimizer: {use: adam, lr: 1.0e-3}
schedule: {use: cosine}
modifiers:
  - {use: gradient_penalty, weight: 0.1}
  - {use: ema, decay: 0.9}
train: {rounds: 12, n_critic: 2, batch_size: 16, threads: 1, compile: round, report_every: 1, sample_every: 100000}
track: {mlflow: false}
"""

FOREIGN = '''
import random

from ganflow import hookimpl, key, settings


@settings
class Optimizer:
    """torch's own, with all its state."""

    @hookimpl
    def optimizer(self, parameters, player):
        import torch

        return torch.optim.Adam(parameters, lr=1e-3, amsgrad=True)


@settings
class Pool:
    """A critic that also sees earlier fakes, drawn by three generators of random numbers."""

    @hookimpl
    def loss(self):
        from gf_foreign.pool import PoolLoss

        return PoolLoss()


GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    offer("optimizer", "amsgrad", Optimizer)
    offer("loss", "pool", Pool)
'''
POOL = '''
import random

import numpy as np
import torch
from torch import nn

from ganflow import ScoreLoss


class PoolLoss(nn.Module, ScoreLoss):
    name = "pool"

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.zeros(4, 1, 16, 16))

    def shown(self, step, domain, fake):
        self.kept[random.randrange(4)] = fake[np.random.randint(len(fake))] * torch.rand(())
        return torch.cat((fake, self.kept))[-len(fake) :]

    def critic_loss(self, real, fake):
        return fake.mean() - real.mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()
'''


@pytest.fixture
def interrupt(monkeypatch):
    """interrupt(k): Ctrl-C comes while round k is played."""

    def at(k):
        draw = Trainer.draw

        def drawing(trainer):
            if trainer.round == k - 1:
                signal.raise_signal(signal.SIGINT)
            return draw(trainer)

        monkeypatch.setattr(Trainer, "draw", drawing)
        return lambda: monkeypatch.setattr(Trainer, "draw", draw)

    return at


def stopped_and_resumed(work, ganflow, interrupt, text, rounds):
    """The run that is interrupted in each of these rounds, and the one that is not."""
    (work / "recipe.yaml").write_text(text)
    command = ["run", "recipe.yaml"]
    for k in rounds:
        restore = interrupt(k)
        code, out, err = ganflow(*command, "-q")
        restore()
        assert code == 130, err
        assert f"stopped after round {k} of" in out
        command = ["run", "--resume", "latest"]
    assert ganflow(*command)[0] == 0
    assert ganflow("run", "recipe.yaml", "--runs", "alone", "-q")[0] == 0
    return only_run(work / "runs"), only_run(work / "alone")


def test_streamed_images_go_on_in_the_middle_of_an_epoch(work, ganflow, interrupt):
    (work / "images").mkdir()
    draw = np.random.default_rng(0)
    for i in range(23):  # a round takes 10: nothing ends with an epoch
        Image.fromarray(draw.integers(0, 256, (22, 25, 3), dtype=np.uint8)).save(work / "images" / f"{i}.png")
    run, alone = stopped_and_resumed(work, ganflow, interrupt, IMAGES, (3, 7))
    assert_same_state(run, alone)
    assert numbers(run) == numbers(alone)


def test_state_of_other_peoples_plugins_goes_on(work, ganflow, interrupt, plugin):
    site = plugin("foreign", FOREIGN)
    (site / "gf_foreign" / "pool.py").write_text(POOL)
    text = (work / "tiny.yaml").read_text().replace("{use: wasserstein}", "{use: pool}")
    text = text.replace("{use: adam, lr: 1.0e-3, beta1: 0.5, beta2: 0.9}", "{use: amsgrad}")
    run, alone = stopped_and_resumed(work, ganflow, interrupt, text, (2, 5))
    state = last(run)
    assert "game.extras.loss.0.kept" in state.tensors
    assert any(name.endswith("max_exp_avg_sq") for name in state.tensors)
    assert_same_state(run, alone)
    assert numbers(run) == numbers(alone)


@pytest.mark.slow
def test_compiled_rounds_go_on(work, ganflow, interrupt):
    run, alone = stopped_and_resumed(work, ganflow, interrupt, POINTS, (5,))
    assert run.read().compile["mode"] == "round"
    assert_same_state(run, alone)
    assert numbers(run) == numbers(alone)


@pytest.fixture
def trained(work, ganflow):
    """A run of six rounds that has finished."""
    code, _, err = ganflow("run", "tiny.yaml", "~metrics", "-q")
    assert code == 0, err
    return only_run(work / "runs")


def copies(run):
    """The last checkpoint's tensors, which are mapped from its file, as they are now."""
    return {name: t.clone() for name, t in last(run).tensors.items()}


def damage(run, round, at=0.5):
    path = run.checkpoints / f"round-{round:08d}.safetensors"
    raw = bytearray(path.read_bytes())
    raw[int(at * len(raw))] ^= 1
    path.write_bytes(raw)


def test_a_finished_run_is_left_alone(trained, ganflow):
    before = files(trained.path)
    code, out, err = ganflow("run", "--resume", "latest")
    assert code == 0  # a script that resumes until a run is through needs no special case
    more = f"ganflow run --resume {trained.id} train.rounds=12"
    assert err.startswith(f"run {trained.id} has finished already; to train on: {more}")
    assert f"{trained.id}: 6 rounds" in out
    assert files(trained.path) == before


def test_more_rounds(trained, ganflow):
    code, out, err = ganflow("run", "--resume", "tiny", "train.rounds=8", "train.keep=2")
    assert code == 0
    assert "going on from round 6" in err
    assert "8 rounds" in out
    assert trained.read().rounds == 8
    assert last(trained).round == 8
    assert sorted(p.name for p in trained.checkpoints.iterdir()) == [f"round-0000000{i}.safetensors" for i in (7, 8)]
    assert "finished already" in ganflow("run", "--resume", "latest")[2]  # the change is remembered


def test_fewer_rounds_than_are_played(trained, ganflow):
    before = files(trained.path)
    code, _, err = ganflow("run", "--resume", "latest", "train.rounds=4")
    assert (code, err) == (2, "ganflow: train.rounds: 4 is too few, 6 are played already\n")
    assert files(trained.path) == before


def test_every_difference_of_another_recipe_is_listed(trained, ganflow, work):
    before = files(work)
    changes = ("generator.width=8", "train.n_critic=3", "loss.use=hinge", "~modifiers[1]", "train.rounds=9")
    code, out, err = ganflow("run", "--resume", "latest", *changes)
    assert (code, out) == (2, "")
    for line in ("generator.width: 4 → 8", "train.n_critic: 2 → 3", "loss.use: wgan/wasserstein → vanilla/hinge"):
        assert f"\n  {line}\n" in err
    assert "modifiers[1].use: regularize/ema → (none)" in err
    assert "train.rounds: " not in err
    assert files(work) == before


MAY = {"rounds": 7, "schedule_rounds": 6, "report_every": 2, "sample_every": 3, "checkpoint_every": 2, "evaluate_every": 4,
       "keep": 2, "on_alarm": "never", "device": "cpu"}  # fmt: skip
ELSE = ("optimizer.lr=1e-4", "schedule.start=0.25", "schedule.critic=cosine", "track.experiment=other", "track.wait=1",
        "+trackers=jsonl", "+metrics=sliced_wasserstein", "tune={trials: 3, space: {optimizer.lr: [0.1, 0.2]}}")  # fmt: skip
MAY_NOT = {"n_critic": 3, "batch_size": 4, "seed": 1, "precision": "bf16", "channels_last": "true",
           "compile": "auto", "one_pass": "true", "one_batch": "true", "clip_grad": 1.0, "accumulate": 2, "batch_norm": "sync",
           "deterministic": "true", "threads": 2, "start_from": "latest", "best": "frechet", "best_mode": "max"}  # fmt: skip


def test_every_key_may_change_or_may_not(trained, ganflow):
    """How long, how often and where it is remembered, and rates may; what else decides which numbers are played may not, each by
    itself."""
    assert {*MAY, *MAY_NOT} == {field.name for field in dataclasses.fields(Train)}  # a new key is one of both
    before = files(trained.path)
    for change in (
        *(f"train.{key}={value}" for key, value in MAY_NOT.items()),
        *("name=other", "data.size=32", "prior.dim=8", "critic.width=8", "loss.use=hinge", "optimizer.beta1=0"),
        *("modifiers[1].decay=0.5", "condition=label"),
    ):
        code, out, err = ganflow("run", "--resume", "latest", change, "train.rounds=7")
        assert (code, out) == (2, ""), change
        impossible = change == "train.best=frechet"  # in any run
        assert err.startswith("ganflow: train.best: there is no" if impossible else f"run {trained.id} cannot go on with"), change
    assert files(trained.path) == before

    code, _, err = ganflow("run", "--resume", "latest", *(f"train.{key}={value}" for key, value in MAY.items()), *ELSE, "-q")
    assert code == 0, err
    recipe = read_recipe(trained.recipe)
    assert {key: getattr(recipe.train, key) for key in MAY} == MAY
    assert (recipe.track.experiment, recipe.track.wait, len(recipe.trackers)) == ("other", 1.0, 1)


def test_the_recipe_given_again_is_compared(trained, ganflow, work):
    text = (work / "tiny.yaml").read_text()
    (work / "tiny.yaml").write_text(text.replace("decay: 0.9}", "decay: 0.8}"))
    code, _, err = ganflow("run", "tiny.yaml", "~metrics", "--resume", "latest")
    assert code == 2
    assert err.splitlines()[1:-1] == ["  modifiers[1].decay: 0.9 → 0.8"]
    (work / "tiny.yaml").write_text(text)
    assert ganflow("run", "tiny.yaml", "~metrics", "train.rounds=7", "--resume", "latest")[0] == 0
    assert last(trained).round == 7


def test_what_changed_around_the_run_is_said(trained, ganflow):
    about = dict(trained.read().raw)
    about["plugins"]["wgan"]["version"] = "0.0.1"
    about["versions"]["torch"] = "2.6.0"
    about["data"] |= {"fingerprint": "f00", "size": 5}
    trained.update(**about)
    code, _, err = ganflow("run", "--resume", "latest", "train.rounds=7")
    assert code == 0
    now = about["plugins"]["data"]["version"]
    assert f"plugin 'wgan' was ganflow 0.0.1, is now ganflow {now}\n" in err
    assert f"torch was 2.6.0, is now {torch.__version__}\n" in err
    assert "the data digits changed since the run began: 5 examples then, 1617 now\n" in err
    differ = "what is in them"
    for rounds, size, says in ((8, 1617, f"{differ}, not their number (1617 examples)"), (9, None, differ)):
        trained.update(data=about["data"] | {"size": size})
        code, _, err = ganflow("run", "--resume", "latest", f"train.rounds={rounds}")
        assert code == 0
        assert f"the data digits changed since the run began: {says}\n" in err


def test_a_damaged_checkpoint_is_passed_over(trained, ganflow, work):
    alone, weights = numbers(trained), copies(trained)
    damage(trained, 6)
    (trained.checkpoints / "round-00000005.safetensors").write_bytes(b"")
    code, _, err = ganflow("run", "--resume", "latest")
    assert code == 0
    assert "damaged checkpoint passed over: round-00000006.safetensors does not match its digest\n" in err
    assert "damaged checkpoint passed over: round-00000005.safetensors cannot be read (" in err
    assert "going on from round 4\n" in err
    assert numbers(trained) == alone
    assert all(torch.equal(t, weights[name]) for name, t in last(trained).tensors.items())
    assert (trained.checkpoints / "round-00000006.damaged").exists()  # kept for whoever wants to look


def test_when_all_checkpoints_are_damaged_nothing_is_done(trained, ganflow):
    for round in (4, 5, 6):
        damage(trained, round)
    before = files(trained.path)
    code, out, err = ganflow("run", "--resume", "latest")
    assert (code, out) == (2, "")
    assert err.startswith(f"ganflow: run {trained.id} has only damaged checkpoints: round-00000006.safetensors does")
    assert files(trained.path) == before


def test_without_a_checkpoint_a_run_begins_again(trained, ganflow):
    alone, weights = numbers(trained), copies(trained)
    for path in trained.checkpoints.iterdir():
        path.unlink()
    trained.update(status="running")
    code, _, err = ganflow("run", "--resume", "latest")
    assert code == 0
    assert "no checkpoint yet: starting again from round 0\n" in err
    assert numbers(trained) == alone
    assert all(torch.equal(t, weights[name]) for name, t in last(trained).tensors.items())


def test_a_torn_journal_is_mended(trained, ganflow):
    alone = numbers(trained)
    damage(trained, 6)
    lines = trained.journal.read_bytes().splitlines(keepends=True)
    trained.journal.write_bytes(b"".join(lines) + lines[-1][:20])
    assert ganflow("run", "--resume", "latest", "-q")[0] == 0
    assert numbers(trained) == alone


def test_a_damaged_run_json(trained, ganflow):
    (trained.path / "run.json").write_text('{"status": "fin')
    code, _, err = ganflow("run", "--resume", str(trained.path))
    assert code == 2
    assert err.startswith(f"ganflow: {trained.path / 'run.json'} is damaged (")


def test_unknown_runs(work, ganflow):
    assert ganflow("run", "--resume", "latest") == (2, "", "ganflow: no runs in runs/ yet; start one with: ganflow run wgan\n")
    assert list(work.iterdir()) == [work / "tiny.yaml"]


def test_unknown_names_and_prefixes(trained, ganflow):
    code, _, err = ganflow("run", "--resume", "nosuch")
    assert (code, err.count("\n")) == (2, 1)
    assert "no run 'nosuch' in runs/" in err
    (trained.path.parent / (trained.id + "x")).mkdir()
    (trained.path.parent / (trained.id + "x") / "run.json").write_text(json.dumps(trained.read().raw))
    code, _, err = ganflow("run", "--resume", trained.id[:8])
    assert code == 2
    assert f"is the beginning of 2 runs: {trained.id}, {trained.id}x" in err


@pytest.mark.parametrize("which", ["checkpoint", "the beginning"])
def test_starting_from_an_earlier_run(trained, ganflow, work, which):
    earlier = copies(trained)
    other = ("run", "tiny.yaml", "~metrics", "train.start_from=latest", "optimizer.lr=1e-30", "train.rounds=1", "train.seed=5")
    code, _, err = ganflow(*other)
    assert code == 0, err
    (new,) = {r.path for r in all_runs(work / "runs")} - {trained.path}
    run = folder_of(new)
    if which == "the beginning":  # killed before its first checkpoint
        (run.checkpoints / "round-00000001.safetensors").unlink()
        run.update(status="running")
        code, _, err = ganflow("run", "--resume", run.id)
        assert code == 0, err
    tensors = last(run).tensors
    weights = [name for name in earlier if name.startswith(("game.generator.", "game.critic.")) and not name.endswith(
        ("running_mean", "running_var", "num_batches_tracked"))]  # fmt: skip
    assert len(weights) > 8
    for name in weights:
        assert torch.equal(tensors[name], earlier[name]), name
    assert int(tensors["game.extras.average_rounds.rounds"]) == 7  # the average was taken over, too
    assert run.read().start_from["round"] == 6


def test_starting_from_another_network(trained, ganflow, work):
    before = files(work)
    code, _, err = ganflow("run", "tiny.yaml", "train.start_from=tiny", "critic.width=8")
    assert code == 2
    assert err.startswith("ganflow: train.start_from: the critic of run 'tiny' is not this recipe's network: 0.weight, 0.bias,")
    assert ganflow("run", "tiny.yaml", "train.start_from=nosuch")[0] == 2
    assert files(work) == before


def test_a_new_process_says_what_it_does(trained):
    """Once through a real process: what is printed where."""
    code, out, err = finished(trained.path.parents[2], "run", "--resume", "latest", "train.rounds=8")
    assert code == 0
    assert out.startswith(f"runs/tiny/{trained.id}: 8 rounds; look at runs/tiny/{trained.id}/samples/")
    assert out.count("\n") == 1
    assert err.splitlines()[:2] == [f"tiny · {trained.id}", "going on from round 6"]


def test_a_folder_that_was_taken_out_of_a_run_is_there_again(work, ganflow):
    assert ganflow("run", "tiny.yaml", "-q")[0] == 0
    run = only_run(work / "runs")
    for folder in (run.samples, run.plots):
        shutil.rmtree(folder)
    code, _, err = ganflow("run", "--resume", "latest", "train.rounds=8", "-q")
    assert (code, err) == (0, "")
    assert list(run.samples.glob("round-00000008.png"))
    assert run.plots.is_dir()
