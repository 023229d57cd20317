"""ganflow.testing on data, text encoders, trackers and executors: good ones pass, and every rule has one that breaks it."""

import random
import time

import pytest
import torch
from conformance_helpers import passes, refused

from ganflow import Field, StreamData, TensorData, TextEncoder
from ganflow.contract.data import IterableData
from ganflow.contract.roles import Executor, Tracker
from ganflow.testing.stand_ins import classed, images, points


def changed(data, **attributes):
    for name, value in attributes.items():
        setattr(data, name, value)
    return data


def moved():
    data = images()
    data.held_out["real"] = data.held_out["real"] + 1
    return data


def labelled(labels):
    data = classed()
    data.held_out["label"] = labels
    return data


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        (dict, "hook 'data' gave dict, not Data"),
        (lambda: changed(points(), fields={}), "it has no fields"),
        (lambda: changed(points(), size=0), "it has no training examples"),
        (moved, "held_out 'real' leaves its range [-1.0, 1.0]"),
        (lambda: changed(points(), held_out={"fake": torch.zeros(4, 2)}), "held_out 'fake' is no field (fields: real)"),
        (lambda: changed(points(), held_out={"real": torch.zeros(4, 3)}), "held_out 'real' has shape (3,), its field (2,)"),
        (lambda: changed(points(), held_out={"real": torch.ones(4, 2).int()}), "held_out 'real' is torch.int32; it must be of"),
        (lambda: labelled(torch.full((32,), 3)), "held_out 'label' must be int64 between 0 and 2, the classes' numbers"),
        (lambda: labelled(torch.zeros(4).long()), "held-out fields differ in length; say aligned = False"),
        (lambda: changed(points(), fingerprint=lambda: str(random.random())), "built twice, its fingerprints differ"),
        (lambda: TensorData("noise", {"real": torch.rand(9, 2)}), "built twice, its fingerprints differ"),
    ],
)
def test_data_that_break_the_contract(data, fragment):
    refused("data", lambda self: data(), fragment)


def test_data_pass():
    passes("data", lambda self: classed())
    passes("data", lambda self: Loaded())
    passes("data", lambda self: Counting())


class Loaded(StreamData):
    """Numbers with noise, and their parity."""

    def __init__(self):
        self.name, self.size, self.held_out = "loaded", 20, {}
        self.fields = {"real": Field((2,), 0.0, 21.0), "label": Field((), classes=("even", "odd"))}

    def fingerprint(self):
        return "loaded"

    def load(self, index, rng):
        return {"real": index + torch.rand(2, generator=rng), "label": torch.tensor(index % 2)}


class LoadedAnew(Loaded):
    def load(self, index, rng):
        return {**super().load(index, rng), "real": index + torch.rand(2)}


class Counted(Loaded):
    calls = 0

    def load(self, index, rng):
        self.calls += 1
        return {**super().load(index, rng), "real": torch.full((2,), float(self.calls % 20))}


class Shared(Loaded):
    """Threads overwrite each other's index."""

    def load(self, index, rng):
        self.index = index
        time.sleep(0.002)
        return super().load(self.index, rng)


class OtherShape(Loaded):
    def load(self, index, rng):
        return {**super().load(index, rng), "real": torch.zeros(3)}


class Beyond(Loaded):
    def load(self, index, rng):
        return {**super().load(index, rng), "real": torch.full((2,), 22.0)}


class Lacks(Loaded):
    def load(self, index, rng):
        return {"real": super().load(index, rng)["real"]}


class FloatClasses(Loaded):
    def load(self, index, rng):
        return {**super().load(index, rng), "label": torch.tensor(1.0)}


class Differs(Loaded):
    """Each time it is built, other examples."""

    built = 0

    def __init__(self):
        super().__init__()
        Differs.built += 1
        self.shift = Differs.built % 2

    def load(self, index, rng):
        return {**super().load(index, rng), "real": torch.full((2,), float(self.shift))}


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        (LoadedAnew, "gives something else the second time; what it returns must follow from index and rng alone"),
        (Counted, "gives something else the second time"),
        (Shared, "gives something else while other threads load"),
        (OtherShape, "load(0, rng)['real'] has shape (3,), its field (2,)"),
        (Beyond, "load(0, rng)['real'] leaves its range [0.0, 21.0]"),
        (Lacks, "load(0, rng) has the fields real, not real, label"),
        (FloatClasses, "load(0, rng)['label'] must be int64 between 0 and 1"),
        (Differs, "built twice, it draws other examples"),
    ],
)
def test_streams_that_break_the_contract(data, fragment):
    refused("data", lambda self: data(), fragment)


class Counting(IterableData):
    """0, 1, 2, …"""

    name, held_out, fields = "counting", {}, {"real": Field((1,))}

    def __init__(self):
        self.at = 0

    def fingerprint(self):
        return "counting"

    def __iter__(self):
        while True:
            self.at += 1
            yield {"real": torch.tensor([self.at]).float()}

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


class Remembers(Counting):
    """Its state says nothing outside of this object."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def state_dict(self):
        self.kept[len(self.kept)] = self.at
        return {"number": len(self.kept) - 1}

    def load_state_dict(self, state):
        self.at = self.kept.get(state["number"], 0)


def test_a_state_that_another_process_cannot_use():
    refused("data", lambda self: Remembers(), "gone on with in another process, it draws other examples")


@pytest.mark.parametrize(
    ("attribute", "value", "fragment"),
    [
        ("load_state_dict", lambda self, state: None, "gone on with in the same process, it draws other examples"),
        ("state_dict", lambda self: {"at": b"3"}, "a bytes cannot be kept in a checkpoint"),
        ("__iter__", lambda self: iter(()), "gives no examples"),
        ("__iter__", lambda self: iter([{"real": torch.zeros(2)}] * 99), "whose 'real' has shape (2,); the field has (1,)"),
        ("fields", {"real": Field((1,), 0.0, 9.0)}, "a drawn 'real' leaves its range [0.0, 9.0]"),
        ("__iter__", lambda self: ({"real": torch.rand(1)} for _ in range(99)), "built twice, it draws other examples"),
    ],
)
def test_iterable_data_that_break_the_contract(attribute, value, fragment):
    refused("data", lambda self: type("Broken", (Counting,), {attribute: value})(), fragment)


class Letters(TextEncoder):
    """How often a sentence has each of the letters that it has learnt from."""

    dim = 26

    def __init__(self):
        self.letters = torch.zeros(26)

    def learn(self, captions, pictures):
        self.letters = (self.counts([" ".join(" ".join(several) for several in captions)])[0] > 0).float()

    def counts(self, sentences):
        return torch.tensor([[float(s.count(chr(97 + i))) for i in range(26)] for s in sentences])

    def encode(self, sentences):
        return self.counts(sentences) * self.letters

    def unknown(self, sentence):
        return []

    def state(self):
        return {"letters": self.letters}

    def load_state(self, state):
        self.letters = state["letters"]

    def about(self):
        return "letters"


ENCODERS = {
    "4 sentences have shape (4, 25), not (4, 26)": {"encode": lambda self, s: self.counts(s)[:, 1:]},
    "a sentence's vector depends on those that are encoded with it": {"encode": lambda self, s: self.counts(s) + len(s)},
    "it learns something else each time": {"learn": lambda self, c, p: setattr(self, "letters", torch.rand(26))},
    "its state does not say all that it has learnt": {"load_state": lambda self, state: None},
    "it does not know the words that it has learnt from": {"unknown": lambda self, s: s.split()},
    "it does not say what it is": {"about": lambda self: ""},
    "match does not give a finite scalar": {"match": lambda self, p, t: p.mean((1, 2, 3))},
    "no gradient of match arrives at the pictures": {"match": lambda self, p, t: p.mean().detach()},
}


@pytest.mark.parametrize(("fragment", "attributes"), list(ENCODERS.items()), ids=list(ENCODERS))
def test_encoders_that_break_the_contract(fragment, attributes):
    refused("encoder", lambda self: type("Broken", (Letters,), attributes)(), fragment)


def test_encoders_pass():
    passes("encoder", lambda self: Letters())
    passes("encoder", lambda self: type("Seeing", (Letters,), {"match": lambda self, p, t: p.square().mean()})())
    refused("encoder", lambda self: "letters", "hook 'encoder' gave str, not TextEncoder")


class Kept(Tracker):
    """Keeps nothing."""

    def begin(self, run):
        self.folder = run.folder

    def values(self, round, time, values):
        assert self.folder.is_dir()


@pytest.mark.parametrize(
    ("tracker", "fragment"),
    [
        (lambda: "a file", "hook 'tracker' gave str, not Tracker"),
        (type("Whole", (Kept,), {"values": lambda s, r, t, v: int(v["critic/wasserstein"])}), "ValueError"),
        (type("Old", (Kept,), {"end": lambda s: None}), "TypeError"),
    ],
)
def test_trackers_that_break_the_contract(tracker, fragment):
    refused("tracker", lambda self: tracker(), fragment)


def test_a_tracker_of_two_methods_passes():
    passes("tracker", lambda self: Kept())


class One(Executor):
    """Plays nothing."""

    def play(self, trials):
        return iter(())

    def finish(self, i):
        pass

    def stop(self, status):
        pass


def test_executors():
    passes("executor", lambda self: One())
    refused("executor", lambda self: 1, "hook 'executor' gave int, not Executor")
    refused("executor", lambda self: type("Half", (One,), {"together": 0.5})(), "'together' is a number of trials, not 0.5")
    refused("executor", lambda self: type("None", (One,), {"together": 0})(), "'together' is a number of trials, not 0")
