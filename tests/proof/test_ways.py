"""Every example compiled, shared by two workers, packed with others: the same as it is played plainly; or refused, and why."""

import contextlib
import re

import pytest
import torch
from facts import FACTS
from proof_helpers import NAMES, built, played, recipe_of, together

from ganflow.engine.build import twin
from ganflow.engine.compile import CompiledRound, NotCompilable, compile_round, verify
from ganflow.engine.distributed import Group
from ganflow.engine.player import parts_of
from ganflow.engine.state import game_state, load_random_state, random_state
from ganflow.errors import GanflowError
from ganflow.packed import Member, NotPackable, PackedTrainer
from ganflow.runs.run import Parts

PHASES = {"pathlength": 2}
"""Sets of terms that take part together: one otherwise."""
TRIALS = {
    "infogan": "optimizer.loss.q.lr={}",
    "learnt": "optimizer.loss.lr={}",
    "mapping": "optimizer.generator.mapping.lr={}",
    "noise": "modifiers[0].sigma={}",
    "pathlength": "modifiers[0].weight={}",
    "scales": "critic.coarse={}",
}
"""By what trials differ."""
QUICK = ("gradnorm", "pathlength")
"""Packed whenever tests run."""
COMPILED = ("infogan", "pathlength", "scales")
"""Given to the compiler, which takes half a minute for each: a third part, terms that rest, two critics in one."""


def refused(reason, error=GanflowError):
    """Passes where the reason is raised; where there is none, nothing may be."""
    return pytest.raises(error, match=re.escape(reason)) if reason else contextlib.nullcontext()


def states(trainer):
    return {name: t.detach().clone() for name, t in game_state(trainer.game)[0].items()}


def assert_close(found, expected, tolerance=1e-10):
    assert found.keys() == expected.keys()
    for name, t in expected.items():
        if t.is_floating_point():
            assert (found[name] - t).abs().max() <= tolerance, name
        else:
            assert torch.equal(found[name], t), name


def noise_of(x):
    """Noise that follows from the example: workers would draw each their own."""
    return torch.sin(37 * x.detach() + 1)


@pytest.mark.parametrize("name", NAMES)
def test_its_rounds_are_graphs(name):
    """In double precision, without the compiler: the graph does what the eager rounds do."""
    parts = built(name)
    parts.trainer.advance(2)
    phases = parts.round.phases(12, 2)
    assert len(phases) == PHASES.get(name, 1)
    with refused(FACTS[name].compiled, NotCompilable):
        verify(twin(parts.recipe, parts.game), parts.trainer.peek(3), True, phases)


@pytest.mark.parametrize("whole", [True, False], ids=["round", "steps"])
@pytest.mark.parametrize("name", ["began", "noise", "pathlength"])
def test_graphs_play_what_the_rounds_play(name, whole):
    """Also where a set of terms takes part for the first time while training goes on."""
    expected = states(played(name)[0])
    parts = built(name)
    for part in parts_of(parts.game.players).values():
        part.optimizer.traceable()
    parts.trainer.play = CompiledRound(parts.round, whole, plain=True)
    parts.trainer.advance(6)
    found = states(parts.trainer)
    assert_close({key: found[key] for key in expected}, expected, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(COMPILED[0], marks=pytest.mark.rare), *COMPILED[1:]])
def test_its_rounds_compile(name):
    parts = built(name)
    randoms = random_state(parts.game.device)
    play = compile_round(
        parts.round, lambda: twin(parts.recipe, parts.game), parts.trainer.peek(3), True, parts.round.phases(12)
    )
    expected = states(played(name, rounds=5)[0])
    load_random_state(parts.game.device, *randoms)
    parts.trainer.play = play
    parts.trainer.advance(5)
    found = states(parts.trainer)
    assert_close({key: found[key] for key in expected}, expected, 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_two_workers_do_what_one_does(name, monkeypatch):
    """Gradients are those of the whole batch, and what is kept is the same on both."""
    if FACTS[name].workers:
        with refused(FACTS[name].workers):
            Parts(recipe_of(name), Group(0, 2, "127.0.0.1:1"))
        return
    monkeypatch.setattr(torch, "randn_like", noise_of)
    alone, report = played(name)
    expected, begun = states(alone), states(built(name).trainer)
    assert max((expected[key] - t).abs().max() for key, t in begun.items() if t.is_floating_point()) > 1e-4
    results = together(2, lambda group: played(name, group=group))
    for trainer, theirs in results:
        assert_close(states(trainer), expected)
        assert theirs.terms == pytest.approx(report.terms, abs=1e-5)
    first, second = (states(trainer) for trainer, _ in results)
    assert all(torch.equal(first[key], t) for key, t in second.items())


def member(name, *changes):
    parts = built(name, *changes)
    return Member(parts.recipe, parts.trainer)


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES])
def test_trials_that_differ_in_a_number_are_packed(name):
    changes = [TRIALS.get(name, "optimizer.lr={}").format(lr) for lr in (0.002, 0.004)]
    expected = []
    for change in changes:
        trial = member(name, change)
        load_random_state(trial.trainer.game.device, *trial.random)
        trial.trainer.advance(6)
        expected.append(states(trial.trainer))
    with refused(FACTS[name].packed, NotPackable):
        packed = PackedTrainer([member(name, change) for change in changes])
        packed.advance(6)
        for i, wanted in enumerate(expected):
            with packed.member(i) as trainer:
                assert_close(states(trainer), wanted, 1e-9)
        assert not all(torch.equal(expected[0][key], t) for key, t in expected[1].items())
