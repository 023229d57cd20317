"""Ctrl-C and SIGTERM: the round in hand is kept, and going on gives what an undisturbed run gives."""

import ctypes
import os
import signal
import sys
import threading
import time

import pytest
from runner_helpers import Process, assert_same_state, finished, last, numbers, only_run

from ganflow.engine.trainer import Trainer
from ganflow.runs import loop
from ganflow.runs.interruption import interruptible

SLEEPY = '''
from ganflow import hookimpl, settings


@settings
class Sleepy:
    """Never gets through a round."""

    @hookimpl
    def critic_stepped(self):
        import time
        from pathlib import Path

        Path("hangs").touch()
        time.sleep(100_000)


GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    offer("modifier", "sleepy", Sleepy)
'''


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_the_round_in_hand(work, ganflow, number, code):
    endless = ("train.rounds=100000", "train.checkpoint_every=100000", "~schedule", "~metrics",  # only the signal makes it keep
               "train.on_alarm=never")  # when signs of ill health are judged depends on all the rounds  # fmt: skip
    with Process(work, "run", "tiny.yaml", *endless) as process:
        assert process.until(lambda: process.reached(3))
        run = process.run
        refused = ganflow("run", "--resume", "latest", "train.rounds=4")  # few: should it not be refused, it ends all the same
        process.popen.send_signal(number)
        ended, out, err = process.end()
    who = f"pid {process.popen.pid} on {os.uname().nodename}"
    assert refused == (2, "", f"ganflow: run {run.id} is being trained by another process ({who})\n")
    assert ended == code, err
    assert "Traceback" not in err
    round = last(run).round
    assert 3 <= round < 1000
    assert out == f"stopped after round {round} of runs/tiny/{run.id}; go on with: ganflow run --resume {run.id}\n"
    assert run.read().status == "interrupted"
    assert numbers(run)[-1][0] == round

    more = f"train.rounds={round + 3}"
    assert ganflow("run", "--resume", run.id, more, "-q")[0] == 0
    assert ganflow("run", "tiny.yaml", more, *endless[1:], "--runs", "alone", "-q")[0] == 0
    (alone,) = (work / "alone").glob("tiny/*")
    assert_same_state(run, type(run)(alone))
    assert numbers(run) == numbers(type(run)(alone))


@pytest.mark.parametrize(("owner", "place", "evaluate"), [(loop, "Result", 3), (Trainer, "advance", 2)])
def test_a_signal_between_two_rounds_loses_none(work, ganflow, monkeypatch, owner, place, evaluate):
    """It comes when it was just decided that the round needs no checkpoint, or when the next one is about to begin."""
    before = getattr(owner, place)

    def late(first, *arguments, **named):
        if getattr(first, "round", first) == 4:  # a trainer, or a step's round
            signal.raise_signal(signal.SIGINT)
        return before(first, *arguments, **named)

    monkeypatch.setattr(owner, place, late)
    command = ("run", "tiny.yaml", "train.checkpoint_every=100", f"train.evaluate_every={evaluate}", "-q")
    code, out, err = ganflow(*command)
    assert code == 130, err
    assert out.startswith("stopped after round 4 of")
    run = only_run(work / "runs")
    assert last(run).round == 4
    monkeypatch.setattr(owner, place, before)
    assert ganflow("run", "--resume", "latest", "-q")[0] == 0
    assert ganflow(*command, "--runs", "alone")[0] == 0
    assert_same_state(run, only_run(work / "alone"))
    assert numbers(run) == numbers(only_run(work / "alone"))


@pytest.mark.slow
def test_ctrl_c_twice_ends_a_round_that_hangs(work, plugin):
    site = plugin("sleepy", SLEEPY)
    with Process(work, "run", "tiny.yaml", "+modifiers={use: sleepy}", path=[site]) as process:
        assert process.until((work / "hangs").exists)
        process.popen.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.popen.poll() is None  # the first one waits for the round in hand
        process.popen.send_signal(signal.SIGINT)
        code, out, err = process.end()
    assert (code, out) == (130, "")
    assert err.endswith("ganflow: interrupted\n")
    assert "Traceback" not in err
    assert process.run.read().status == "interrupted"
    code, _, err = finished(work, "run", "--resume", "latest", "~modifiers[2]", path=[site])
    assert code == 2
    assert "modifiers[2].use: sleepy/sleepy → (none)" in err


def test_a_signal_is_known_while_the_main_thread_is_in_foreign_code():
    """As a sweep's driver is when it waits for a Ray that is gone: Python's handler does not run before that ends."""
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)  # no signal interrupts who waits for a mutex
    known = []

    def wait():
        libc.pthread_mutex_lock(mutex)

    def kill():
        while sys._current_frames()[threading.main_thread().ident].f_code is not wait.__code__:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 30
        while not (number := interruption.received()) and time.monotonic() < deadline:
            time.sleep(0.001)
        known.append((number, interruption.signal))
        libc.pthread_mutex_unlock(mutex)

    with interruptible() as interruption:
        assert interruption.received() == 0
        libc.pthread_mutex_lock(mutex)
        thread = threading.Thread(target=kill)
        thread.start()
        wait()
        thread.join()
        assert known == [(signal.SIGTERM, 0)]
        assert interruption.received() == signal.SIGTERM == interruption.signal
