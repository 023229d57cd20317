"""What is found when something that is no tensor changes between rounds, and graphs that are compared."""

import collections
import functools
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ganflow.contract.loss import AddedTerms, ScoreLoss
from ganflow.engine.attributes import attributes, changes
from ganflow.engine.tracing import Read, Unread, difference, trace


class Scores(ScoreLoss):
    def critic_loss(self, real, fake):
        return fake.mean() - real.mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()


class Counter:
    """Somebody's object."""

    def __init__(self):
        self.n = 0


class Slotted:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0


def closure():
    n = 0

    def listener(game=None):
        nonlocal n
        n += 1

    return listener


def round_of(loss, listeners=(), terms=()):
    players = {"critic": SimpleNamespace(optimizer=torch.optim.Adam([torch.zeros(2, requires_grad=True)]))}
    networks = {"generator": nn.Linear(2, 2), "critic": nn.Linear(2, 1)}
    game = SimpleNamespace(parts=(loss, *terms), **networks, extras=nn.ModuleDict(), players=players)
    return SimpleNamespace(game=game, settings={}, critic_stepped=list(listeners), generator_stepped=[])


HELD = {  # what a loss holds, what is done to it, and what is said
    "a number": (lambda: 1, None, "loss.held changed from 1 to 2"),
    "a flag": (lambda: True, None, "loss.held changed from True to 2"),
    "a list's item": (lambda: [1, [2]], lambda held: held[1].append(3), "loss.held changed"),
    "tensors in a list": (list, lambda held: held.append(torch.ones(1)), "loss.held changed"),
    "a dict's key": (lambda: {"a": 1}, lambda held: held.update(b=1), "loss.held changed"),
    "a set": (lambda: {1}, lambda held: held.add(2), "loss.held changed"),
    "a deque": (lambda: collections.deque([1]), lambda held: held.append(2), "loss.held changed"),
    "an object": (Counter, lambda held: setattr(held, "n", 5), "loss.held.n changed from 0 to 5"),
    "slots": (Slotted, lambda held: setattr(held, "n", 5), "loss.held.n changed from 0 to 5"),
    "a loss": (Scores, lambda held: setattr(held, "n", 5), "loss.n changed from None to 5"),
    "a module": (nn.Dropout, lambda held: setattr(held, "p", 0.1), "loss.held.p changed from 0.5 to 0.1"),
    "a hook": (lambda: nn.Linear(1, 1), lambda held: held.register_forward_hook(closure()), "loss.held._forward_hooks changed"),
    "an array": (lambda: np.zeros(3), lambda held: held.__setitem__(1, 2), "loss.held changed"),
    "random numbers": (lambda: random.Random(0), lambda held: held.random(), "loss.held changed"),
    "numpy's": (lambda: np.random.default_rng(0), lambda held: held.random(), "loss.held changed"),
    "a partial": (lambda: functools.partial(setattr, Counter(), "n"), lambda held: held(3), "loss.held changed"),
}


@pytest.mark.parametrize("case", HELD)
def test_what_a_loss_holds_is_looked_at(case):
    make, change, text = HELD[case]
    loss = Scores()
    loss.held = make()
    made = round_of(loss)
    before = attributes(made)
    assert not changes(before, attributes(made))
    if change:
        change(loss.held)
    else:
        loss.held = 2
    found = changes(before, attributes(made))
    assert list(found.values()) == [text]


def test_tensors_and_what_is_made_when_it_is_needed_are_left_alone():
    loss = Scores()
    loss.state, loss.cache = torch.zeros(3), None
    made = round_of(loss, terms=[AddedTerms()])
    before = attributes(made)
    loss.state, loss.cache, loss.later = torch.ones(3), {"kernel": [1, 2]}, 7
    made.game.generator.weight.data.add_(1)
    after = attributes(made)
    assert not changes(before, after, but_made=True)
    assert set(changes(before, after)) == {"loss.cache", "loss.later"}


def test_closures_of_listeners_and_settings_by_their_names():
    listener, counter = closure(), Counter()
    made = round_of(Scores(), [listener])
    made.settings["modifiers[1]"] = counter
    before = attributes(made)
    listener()
    counter.n = 1
    assert changes(before, attributes(made)) == {
        "modifiers[1].n": "modifiers[1].n changed from 0 to 1",
        "critic_stepped.n": "critic_stepped.n changed from 0 to 1",
    }


def graph(function):
    return trace(function, [torch.ones(2)])


def plus(n):
    return graph(lambda x: x + torch.tensor(n))


def test_graphs_are_compared_operation_by_operation():
    state, factor = torch.ones(2), {"n": 2.0}

    def step(x):
        state.add_(x)
        return state * factor["n"] + torch.tensor([factor["n"]])

    first = graph(step)
    assert difference(first, graph(step)) is None  # state has moved on
    factor["n"] = 3.0
    assert difference(first, graph(step)) == "aten.mul.Tensor(%2, 3.0) in place of aten.mul.Tensor(%2, 2.0)"
    assert difference(plus(1.0), plus(1.0)) is None
    assert difference(plus(1.0), plus(2.0)) == "a constant is 2 in place of 1"
    assert difference(graph(lambda x: x.exp()), graph(lambda x: x.sin())) == "aten.sin.default in place of aten.exp.default"
    assert difference(graph(lambda x: x.exp()), graph(lambda x: x.exp().exp())) is not None


READINGS = [lambda x: x.sum().item(), lambda x: bool(x[0] > 0), lambda x: x[x > 0], lambda x: x.nonzero()]


@pytest.mark.parametrize("reading", READINGS)
def test_reading_out_of_tensors_is_seen(reading):
    with pytest.raises(Read, match=r"^a step decides in Python by the values of tensors \(aten\."), Unread():
        reading(torch.ones(3))
    with Unread():
        assert torch.ones(3)[torch.tensor([0, 1])].shape == (2,)
