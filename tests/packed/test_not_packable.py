"""What cannot be packed is said by name and reason, before anything is trained."""

import pytest

from ganflow.packed import Member, NotPackable, PackedTrainer
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts

RECIPE = """
name: refused
data: {use: gaussians, layout: ring, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
modifiers: []
train: {rounds: 10, n_critic: 2, batch_size: 16, compile: never}
track: {mlflow: false}
"""

ODD = '''
from typing import ClassVar

import torch
from ganflow import AddedTerms, hookimpl, key, settings

GANFLOW_CONTRACT = 2
KEPT = torch.zeros(())


class Term(AddedTerms):
    def __init__(self, how, number, begin=0):
        self.begin = begin
        self.how, self.number, self.steps = how, number, 0
        self.derived = number * 2
        if how == "early":
            self.number = float(number)

    def critic_terms(self, step):
        real = step.real()
        score = step.score(real).mean()
        self.steps += self.how == "counter"
        if self.how == "late":
            return {"odd": score * float(self.number)}
        if self.how == "numpy":
            import numpy

            return {"odd": score * numpy.float64(self.number.numpy() if hasattr(self.number, "numpy") else self.number).item()}
        if self.how == "derived":
            return {"odd": score * self.derived}
        if self.how == "counter":
            return {"odd": score * self.number * self.steps}
        if self.how == "control":
            return {"odd": score * (self.number if score > 0 else -self.number)}
        if self.how == "mask":
            return {"odd": real[real > 0].mean() * score * self.number}
        if self.how == "hidden":
            KEPT.add_(1)
            return {"odd": score * self.number * KEPT}
        if self.how == "chance":
            return {"odd": score * self.number * torch.bernoulli(torch.sigmoid(score)).detach()}
        return {"odd": score * self.number}


@settings
class Odd:
    """A term that does odd things."""

    how: str = key("plain", "what")
    number: float = key(1.0, "a factor")

    begin: int = key(0, "round")

    @hookimpl
    def terms(self):
        return Term(self.how, self.number, self.begin)


@settings
class Adam:
    """torch's own."""

    elementwise: ClassVar[bool] = True
    lr: float = 1e-3

    @hookimpl
    def optimizer(self, parameters, player):
        return torch.optim.Adam(parameters, lr=self.lr)


@settings
class Rows:
    """Looks at whole tensors."""

    lr: float = 1e-3

    @hookimpl
    def optimizer(self, parameters, player):
        return torch.optim.Adam(parameters, lr=self.lr)


@hookimpl
def register(offer):
    offer("modifier", "odd", Odd)
    offer("optimizer", "torch_adam", Adam)
    offer("optimizer", "rows", Rows)
'''


@pytest.fixture
def pack(tmp_path, workshop):
    path = tmp_path / "refused.yaml"
    path.write_text(RECIPE)
    workshop.install("odd", ODD)
    workshop.catalogue()

    def member(changes):
        parts = Parts(read_recipe(path, changes))
        return Member(parts.recipe, parts.trainer)

    return lambda *trials: PackedTrainer([member(changes) for changes in trials])


def odd(how, number):
    return [f"modifiers=[{{use: odd, how: {how}, number: {number}}}]"]


DIFFERENT = {
    "another width": (["generator.width=4"], r"generator\.width \(8, 4\)"),
    "another loss": (["loss=hinge"], r"loss \(wgan/wasserstein, vanilla/hinge\)"),
    "another modifier": (["modifiers=[{use: weight_clip}]"], r"the components \("),
    "another batch": (["train.batch_size=8", "train.n_critic=1"], r"train\.n_critic \(2, 1\); train\.batch_size \(16, 8\)"),
    "a choice": (["critic.activation=relu"], r"critic\.activation \(leaky_relu, relu\)"),
    "a norm or none": (["train.clip_grad=1"], r"train\.clip_grad \(None, 1\.0\)"),
    "state or none": (["optimizer.momentum=0.5"], r"trial 0 keeps other state than|keeps other state than trial 0: optimizer"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_trials_that_differ_in_more_than_numbers(pack, case):
    changes, text = DIFFERENT[case]
    with pytest.raises(NotPackable, match=text):
        pack([], changes)


ODDITIES = {
    "early": r"plugin 'odd' \(.*\) turns modifiers\[0\]\.number into a Python number, which would be one trial's for all",
    "late": r"plugin 'odd' \(.*\) turns modifiers\[0\]\.number into a Python number",
    "numpy": r"modifiers\[0\]\.number has no part in a traced round",
    "derived": r"computes with modifiers\[0\]\.number when it is built",
    "counter": r"in trial 0 Term\.steps changed from 0 to 2 between rounds, and what a round does may depend on it",
    "control": r"plugin 'odd' \(.*\) decides by the values of tensors",
    "mask": r"plugin 'odd' \(.*\) decides by the values of tensors",
    "hidden": r"changes a tensor that is no part of its module's state",
    "chance": r"draws random numbers that depend on computed values",
}


@pytest.mark.parametrize("how", ODDITIES)
def test_components_that_no_trace_can_follow(pack, how):
    with pytest.raises(NotPackable, match=ODDITIES[how]):
        pack(odd(how, 1.0), odd(how, 2.0))


def test_a_component_of_a_third_party_is_packed(pack):
    assert [n.key for n in pack(odd("plain", 1.0), odd("plain", 2.0)).packed.numbers] == ["modifiers[0].number"]


@pytest.mark.parametrize("begin", [5, 10])
def test_terms_that_take_part_in_some_rounds_only(pack, begin):
    later = [f"modifiers=[{{use: odd, begin: {begin}}}]"]
    with pytest.raises(NotPackable, match=r"some terms take part in some rounds only"):
        pack(later, [*later, "train.seed=1"])


@pytest.mark.parametrize("use", ["torch_adam", "rows"])
def test_an_optimizer_that_no_trace_can_follow(pack, use):
    with pytest.raises(NotPackable, match=r"generator's optimizer"):
        pack([f"optimizer={{use: {use}}}"], [f"optimizer={{use: {use}}}", "train.seed=1"])


def test_trials_that_stand_at_different_rounds(pack):
    packed = pack([], ["train.seed=1"])
    packed.members[1].trainer.advance(1)
    with pytest.raises(NotPackable, match=r"equally many rounds, not \[0, 1\]"):
        PackedTrainer(packed.members)


def test_trials_whose_networks_have_other_shapes(pack):
    with pytest.raises(NotPackable, match=r"game\.generator\.flat has shape \(58,\) in trial 1 and \(42,\) in trial 0"):
        pack([], ["prior.dim=4"])
