"""What a run computes with: threads and precision, chosen when it begins, noted, and kept when it goes on."""

import logging
import shutil

import pytest
import torch
from runner_helpers import assert_same_state

from ganflow import machine
from ganflow.contract.loss import ScoreLoss
from ganflow.engine import speed
from ganflow.engine.speed import Gradients, choose, fewest, timed
from ganflow.engine.state import copy_of_state
from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.run import Parts
from ganflow.runs.start import resume, start


class Clock:
    """Time goes on by what things are said to take."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def taking(self, seconds):
        def play():
            self.now += seconds

        return play


def test_ways_are_timed_in_turns_and_the_first_of_each_is_not_counted():
    clock, turns = Clock(), []

    def way(name, first, seconds):
        def play():
            clock.now += seconds if name in turns else first
            turns.append(name)

        return play

    found = timed({"a": way("a", 9.0, 0.01), "b": way("b", 9.0, 0.04)}, clock, budget=0.1)
    assert found == {"a": pytest.approx(0.01), "b": pytest.approx(0.04)}
    assert "".join(turns) in ("ab" + "aaab" * 2, "ab" + "aaab" * 1 + "aaab")  # SLICE is three of a's, and one of b's
    assert len(turns) == 10


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 0.01, 2: 0.02, 4: 0.04}, 1),
        ({1: 0.04, 2: 0.02, 4: 0.01}, 4),
        ({1: 0.04, 2: 0.02, 4: 0.019}, 2),  # four are hardly faster than two
        ({1: 0.02, 2: 0.0195, 4: 0.05}, 1),
        ({1: 0.03, 2: 0.04, 4: 0.01}, 4),
        ({3: 1.0}, 3),
    ],
)
def test_more_threads_only_where_they_are_clearly_faster(seconds, best):
    assert fewest(seconds) == best


@pytest.fixture
def four_cores(work, monkeypatch):
    """Four threads, as torch and the machine would have it, and nobody who asks for a number."""
    for name in speed.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(speed, "cores", lambda: 4)
    monkeypatch.setattr(speed, "load", lambda: (3.14, 4))
    said = [4]  # only said to be so many: on fewer cores they would wait for each other
    monkeypatch.setattr(torch, "set_num_threads", lambda n: said.__setitem__(0, n))
    monkeypatch.setattr(torch, "get_num_threads", lambda: said[0])


class ByThreads:
    """A clock by which anything takes as long as so many threads are said to take."""

    def __init__(self, seconds):
        self.seconds, self.now = seconds, 0.0

    def __call__(self):
        self.now += self.seconds[torch.get_num_threads()]
        return self.now


def parts_of(*changes):
    made = Parts(read_recipe("tiny.yaml", ["train.threads=4", *changes]))
    made.recipe.train.threads = 0
    torch.set_num_threads(4)
    return made


@pytest.mark.parametrize("rounds", [6, 10**6])  # too few to be worth trying rounds, and enough
@pytest.mark.parametrize(
    ("seconds", "threads", "said"),
    [
        ({1: 0.04, 2: 0.02, 4: 0.01}, 4, None),
        ({1: 0.04, 2: 0.01, 4: 0.012}, 2, "2 of 4 threads: now 4 would take 1.2 times as long (the load is 3.1 on 4 cores)"),
        ({1: 0.01, 2: 0.04, 4: 0.21}, 1, "1 of 4 threads: now 4 would take 21.0 times as long (the load is 3.1 on 4 cores)"),
    ],
)
def test_the_fastest_number_of_threads_is_chosen_and_said(four_cores, rounds, seconds, threads, said):
    parts = parts_of()
    parts.recipe.train.rounds = rounds
    choice = choose(parts.recipe, parts.game, clock=ByThreads(seconds))
    assert (choice.threads, choice.precision, choice.notes) == (threads, "fp32", (said,) if said else ())


@pytest.mark.parametrize("who", ["recipe", "environment", "a sweep", "one core"])
def test_nothing_is_tried_where_the_number_is_known(four_cores, who, monkeypatch):
    parts = parts_of()
    monkeypatch.setattr(speed, "timed", None)
    if who == "recipe":
        parts.recipe.train.threads = 4
    if who == "environment":
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
    if who == "one core":
        torch.set_num_threads(1)
    choice = choose(parts.recipe, parts.game, measure=who != "a sweep")
    assert choice == speed.Choice(1 if who == "one core" else 4, "fp32")


def test_trying_changes_nothing(four_cores, monkeypatch):
    """Nothing of the game, of what its parts keep in Python, of random numbers, or of what will be drawn."""
    parts = parts_of("modifiers=[{use: gradient_penalty}, {use: spectral_norm, players: generator}]")
    played = []

    class Counting(ScoreLoss):
        n, seen = 0, ()

        def critic_loss(self, real, fake):
            self.n, self.seen = self.n + 1, (*self.seen, 1)
            played.append(self.n)
            return fake.mean() - real.mean() + torch.rand(())

        def generator_loss(self, fake, real=None):
            return -fake.mean()

    loss = Counting()
    parts.game.__dict__["_parts"] = (loss, *parts.game.terms)
    parts.recipe.train.rounds, parts.recipe.train.precision = 10**6, "auto"
    before, randoms = copy_of_state(parts.game), torch.get_rng_state()
    draws = parts.trainer.peek(1)[0]
    choose(parts.recipe, parts.game, clock=ByThreads({1: 0.04, 2: 0.02, 4: 0.01}))
    assert len(played) > 4
    assert (loss.n, loss.seen) == (0, ())
    after = copy_of_state(parts.game)
    assert before.keys() == after.keys()
    assert all(torch.equal(t, after[name]) for name, t in before.items())
    assert torch.equal(torch.get_rng_state(), randoms)
    assert all(torch.equal(t, draws[name]) for name, t in parts.trainer.peek(1)[0].items())


@pytest.mark.parametrize(
    "recipe",
    [
        ["wgan"], ["wgan_gp"], ["r3gan"], ["ring"], ["vae_digits"], ["autoencoder_digits"], ["vae_gan_digits"],
        ["pix2pix_facades", "data.train=8", "data.held_out=2"], ["cyclegan_street", "data.train=8", "data.held_out=2"],
        ["stackgan_stage1_birds", "data.encoder={use: bag_of_words}", "loss.match=0", "data.train=8", "data.held_out=8"],
    ],
    ids=lambda recipe: recipe[0],
)  # fmt: skip
def test_rounds_of_every_family_can_be_tried(work, recipe, monkeypatch):
    monkeypatch.setattr(speed, "LONGEST", 10.0)  # of a recipe for a workstation, too
    name, *changes = recipe
    parts = Parts(read_recipe(name, [*changes, "train.rounds=1000000", "train.batch_size=8"]))
    passes, step = [], Gradients._play
    monkeypatch.setattr(Gradients, "_play", lambda self, *given: passes.append(given[0]) or step(self, *given))
    assert speed.Rehearsal(parts.recipe, parts.game).batch
    assert passes == (["critic", "generator"] if parts.game.critic is not None else ["generator"])


def test_what_cannot_be_tried_costs_no_run(four_cores, caplog):
    caplog.set_level("INFO", "ganflow")
    parts = parts_of()
    parts.recipe.train.rounds = 10**6
    parts.game.loss.critic_terms = lambda step: 1 / 0
    parts.recipe.train.precision = "auto"
    choice = choose(parts.recipe, parts.game, clock=ByThreads({1: 0.04, 2: 0.02, 4: 0.01}))
    assert choice == speed.Choice(4, "fp32")
    assert {record.getMessage() for record in caplog.records} == {
        "rounds are not tried beforehand: ZeroDivisionError: division by zero"
    }


@pytest.mark.parametrize(
    ("asked", "half", "precision", "said"),
    [
        ("bf16", 6.0, "bf16", "precision bf16 takes 6.0 times as long as fp32 on this CPU; "
         "to switch it off: train.precision=fp32"),
        ("bf16", 1.05, "bf16", None),
        ("bf16", 0.4, "bf16", None),
        ("auto", 6.0, "fp32", "precision fp32: bf16 takes 6.0 times as long on this CPU"),
        ("auto", 0.95, "fp32", "precision fp32: bf16 takes 0.95 of the time on this CPU"),
        ("auto", 0.4, "bf16", "precision bf16: bf16 takes 0.40 of the time on this CPU"),
        ("fp32", None, "fp32", None),
        ("fp64", None, "fp64", None),
    ],
)  # fmt: skip
def test_half_precision_on_a_cpu_is_measured(four_cores, monkeypatch, asked, half, precision, said):
    parts = parts_of()
    parts.recipe.train.threads, parts.recipe.train.precision, parts.recipe.train.rounds = 1, asked, 10**6
    monkeypatch.setattr(speed, "timed", lambda ways, clock: {"fp32": 1.0, "bf16": half} if half else None)
    choice = choose(parts.recipe, parts.game)
    assert (choice.precision, choice.notes) == (precision, (said,) if said else ())


CHOSEN = ("tiny.yaml", ["train.threads=0", "train.precision=auto", "train.keep=9"])


def test_a_run_that_goes_on_computes_as_it_began(four_cores, work, monkeypatch, capsys, caplog):
    """Whatever would be chosen now."""
    caplog.set_level(logging.DEBUG, logger="ganflow")  # as by -v: it says what is chosen

    def chosen(threads, precision):
        monkeypatch.setattr(speed, "_threads", lambda *_: (threads, [f"{threads} threads"]))
        monkeypatch.setattr(speed, "_precision", lambda *_: (precision, [f"precision {precision}"]))

    name, changes = CHOSEN
    chosen(2, "bf16")
    whole = start(read_recipe(name, changes), work / "whole", quiet=False).folder
    said = capsys.readouterr().err
    assert ("\n2 threads\n" in said, "\nprecision bf16\n" in said) == (True, True)
    half = RunFolder(shutil.copytree(whole.path, work / "half" / "tiny" / whole.id))  # killed after three rounds
    half.update(status="running", round=3)
    for later in ("best", "round-00000004", "round-00000005", "round-00000006"):
        (half.checkpoints / f"{later}.safetensors").unlink()
    chosen(1, "fp32")
    torch.set_num_threads(3)
    resume(half, quiet=False)
    assert "threads" not in capsys.readouterr().err
    for folder in (whole, half):
        noted = folder.read()
        assert (noted.threads, noted.threads_to_build, noted.precision) == (2, 4, "bf16")
        assert noted.status == "finished"
    assert torch.get_num_threads() == 2
    assert_same_state(whole, half)
    other = start(read_recipe(name, changes), work / "other", quiet=True).folder
    assert (other.read().threads, other.read().precision) == (1, "fp32")


def test_a_real_run_tries_and_notes(work, monkeypatch):
    for name in speed.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(speed, "WORTH", 0.0)
    monkeypatch.setattr(speed, "cores", lambda: 2)
    torch.set_num_threads(2)
    name, changes = CHOSEN
    folder = start(read_recipe(name, [*changes, "train.rounds=2"]), work / "runs", quiet=True).folder
    noted = RunFolder(folder.path).read()
    assert noted.threads in (1, 2)
    assert noted.precision in ("fp32", "bf16")
    assert noted.threads == torch.get_num_threads()


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        ({}, []),
        ({"cpu.max": "max 100000"}, []),
        ({"cpu.max": "250000 100000"}, [2.5]),
        ({"a/b/cpu.max": "50000 100000", "a/cpu.max": "400000 100000", "cpu.max": "max 100000"}, [0.5, 4.0]),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, [3.0]),
    ],
)
def test_a_containers_limit(tmp_path, files, limits):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert machine._limits(tmp_path, "a/b") == limits
    assert machine.cores() >= 1
