"""Runs that are killed, at any moment, and go on: the same as the run that was left alone, bit for bit."""

import random
import time
from collections import Counter
from itertools import chain, repeat

import pytest
from runner_helpers import Process, assert_same_state, finished, last, last_round, numbers, only_run, unfinished


def moments(seed, kills):
    """At what moments to kill: while a checkpoint is written, some time after so many further rounds, while starting."""
    draw = random.Random(seed)
    kinds = (["writing", "round", "writing", "starting"] * kills)[:kills]
    rest = kinds[1:]
    draw.shuffle(rest)  # the first stays: before a run has its folder there is nothing to go on with
    for kind in (kinds[0], *rest):
        yield kind, draw.random()


def killed_again_and_again(folder, seed, kills, *changes, torn=0):
    """A run that is killed so often and then ends by itself; returns it, and how many kills hit what.

    Args:
        torn: how many checkpoints must be left unfinished, by further kills if need be: on a busy machine some come too late.
    """
    hits = Counter()
    command = ["run", "tiny.yaml", *changes, "-q"]
    for kind, chance in chain(moments(seed, kills), repeat(("writing", 0.0), kills)):
        if hits["kills"] >= kills and hits["left a checkpoint unfinished"] >= torn:
            break
        with Process(folder, *command) as process:
            run = process.run
            began = last_round(run) if run else 0
            if kind == "writing":
                process.until(process.writing)
            elif kind == "round":
                process.until(lambda began=began, further=1 + int(3 * chance): process.reached(began + further))
            time.sleep({"writing": 0.001, "round": 0.05, "starting": 2.0}[kind] * chance)
            killed = process.kill()
        assert killed, f"the run ended before it could be killed: {process.err.read_text()}"
        hits["kills"] += 1
        hits["left a checkpoint unfinished"] += bool(unfinished(process.run))
        hits["before a new round"] += last_round(process.run) <= began
        command = ["run", "--resume", "latest", "-q"]
    code, _, err = finished(folder, *command)
    assert code == 0, err
    return only_run(folder / "runs"), hits



def check(folder, run, rounds, *changes):
    """Compare with a run that is left alone, in a process of its own."""
    elsewhere = folder / "undisturbed"
    elsewhere.mkdir()
    code, _, err = finished(elsewhere, "run", folder / "tiny.yaml", *changes, "-q")
    assert code == 0, err
    alone = only_run(elsewhere / "runs")
    assert run.read().status == "finished"
    assert last(run).round == rounds
    assert_same_state(run, alone)
    assert numbers(run) == numbers(alone)
    reports = [round for round, values in numbers(run) if "critic/wasserstein" in values]
    assert reports == list(range(1, rounds + 1))
    assert not unfinished(run)


@pytest.mark.slow
def test_eight_kills_change_nothing(work):
    changes = ("train.rounds=100", "generator.width=24", "critic.width=24")  # larger files: longer to write
    run, hits = killed_again_and_again(work, 2, 8, *changes, torn=3)
    assert hits["kills"] >= 8
    assert hits["left a checkpoint unfinished"] >= 3
    check(work, run, 100, *changes)
