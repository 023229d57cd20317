"""Losses, added terms and signatures that are not written as the contract says: one sentence that names the part, what is wrong,
and what to do."""

from __future__ import annotations

import pytest

from ganflow.engine.rows import rows_of
from ganflow.errors import GanflowError

PLUGIN = '''
import torch
from torch import nn
from ganflow import AddedTerms, Loss, ScoreLoss, Signature, TensorData, hookimpl, settings

GANFLOW_CONTRACT = 2

def small(step):
    return 0.01 * step.score(step.real()).square().mean()

def loss(made):
    return settings(type("Settings", (), {"__doc__": "A loss.", "loss": hookimpl(lambda self: made())}))

def adds(made):
    return settings(type("Settings", (), {"__doc__": "A modifier.", "terms": hookimpl(lambda self: made())}))

class HalfPorted(AddedTerms):
    def critic_terms(self, game, batch):
        return {}

class HalfPortedStep(AddedTerms):
    def critic_terms(self, step):
        return {"small": small(step)}
    def critic_stepped(self, game, values):
        pass

class Wrapper:
    def critic_terms(self, step):
        return {}

class Nothing(AddedTerms):
    pass

class Misspelt(AddedTerms):
    def critic_terms(self, step):
        return {"small": small(step)}
    def critic_steped(self, values):
        pass

class Plural(AddedTerms):
    def critics_terms(self, step):
        return {"small": small(step)}

class Good(AddedTerms):
    """Helpers beside the right methods are nobody's business."""
    def critic_terms(self, step):
        return self.critic_term(step)
    def critic_term(self, step):
        return {"small": small(step)}
    def _critic_steped(self):
        pass

class Every(Good):
    every = 0

class Part(Good):
    every = 2.5

class Begin(Good):
    begin = -1

class Ends(Good):
    begin, end = 5, 5

class Ended(Good):
    end = "soon"

class AScalar(AddedTerms):
    def critic_terms(self, step):
        return small(step)

class ANumber(AddedTerms):
    def critic_terms(self, step):
        return {"small": 0.5}

class AVector(AddedTerms):
    def critic_terms(self, step):
        return {"small": step.score(step.real())}

class Reads(AddedTerms):
    def critic_terms(self, step):
        return {"small": step.batch["lable"].float().mean()}

class Calls(AddedTerms):
    def generator_terms(self, step):
        return {"small": step.call("sampel", step.batch["z"]).mean()}

class Auxiliary(AddedTerms):
    def critic_terms(self, step):
        return {"small": step.auxiliary(step.real(), "clases").mean()}

class Another(AddedTerms):
    def critic_terms(self, step):
        return {"small": step.score(step.real(), lable=step.batch["label"]).mean()}

class Generates(ScoreLoss):
    def critic_loss(self, real, fake):
        return (fake - real).mean()
    def generator_loss(self, fake, real=None):
        return -fake.mean()
    def generate(self, step, domain):
        return step.call("decode", step.batch["z"])

PARTS = {
    "half": adds(HalfPorted), "stepped": adds(HalfPortedStep), "nothing": adds(Nothing), "misspelt": adds(Misspelt),
    "plural": adds(Plural), "good": adds(Good), "every": adds(Every), "part": adds(Part), "begin": adds(Begin),
    "ends": adds(Ends), "ended": adds(Ended),
    "number": adds(lambda: 3), "scalar": adds(AScalar), "float": adds(ANumber), "vector": adds(AVector),
    "reads": adds(Reads), "calls": adds(Calls), "auxiliary": adds(Auxiliary), "another": adds(Another),
}

class Network(nn.Module):
    def __init__(self, **signatures):
        super().__init__()
        self.signatures, self.weight = signatures, nn.Parameter(torch.ones(()))
    def make(self, z):
        return self.weight * z.mean(1)[:, None, None, None].expand(-1, 1, 16, 16).tanh()

def network(**signatures):
    return settings(type("Settings", (), {
        "__doc__": "A generator.", "generator": hookimpl(lambda self, data, prior: Network(**signatures))}))

NETWORKS = {
    "pairs": network(sample=("z", "real")),
    "field": network(sample=Signature({"z": "z"}, "reel", method="make")),
    "method": network(sample=Signature({"z": "z"}, "real", method="maek")),
}

@settings
class Labelled:
    """Pictures with numbers that are no classes."""
    @hookimpl
    def data(self):
        return TensorData("labelled", {"real": torch.zeros(8, 1, 16, 16), "label": torch.zeros(8, dtype=torch.int64)})

@settings
class Embedded:
    """Pictures with embeddings, and nothing held out."""
    @hookimpl
    def data(self):
        return TensorData("embedded", {"real": torch.zeros(8, 1, 16, 16), "code": torch.zeros(8, 3)})

@hookimpl
def register(offer):
    for name, part in PARTS.items():
        offer("modifier", name, part)
    for name, part in NETWORKS.items():
        offer("generator", name, part)
    offer("loss", "wrapper", loss(Wrapper))
    offer("loss", "generates", loss(Generates))
    offer("data", "labelled", Labelled)
    offer("data", "embedded", Embedded)
'''


@pytest.fixture
def build(building):
    """Builds the game of the small recipe with some changes, in which PLUGIN's components may be named."""
    return building("odd", PLUGIN)


@pytest.mark.parametrize(
    ("modifier", "said"),
    [
        ("half", "the modifier 'half' has HalfPorted.critic_terms(self, game, batch); since contract 2 it is critic_terms(self, "
                 "step): docs/porting.md says how to port it"),
        ("stepped", "the modifier 'stepped' has HalfPortedStep.critic_stepped(self, game, values); since contract 2 it is "
                    "critic_stepped(self, values): docs/porting.md says how to port it"),
        ("number", "the modifier 'number' gave an object of type int, which is no AddedTerms: return AddedTerms from `terms` "
                   "(docs/porting.md)"),
        ("nothing", "the modifier 'nothing' adds nothing: Nothing has none of critic_terms, generator_terms, critic_stepped, "
                    "generator_stepped"),
        ("misspelt", "the modifier 'misspelt' has a method 'critic_steped', which nobody calls; did you mean 'critic_stepped'? "
                     "(another method of this name may begin with _)"),
        ("plural", "the modifier 'plural' has a method 'critics_terms', which nobody calls; did you mean 'critic_terms'? "
                   "(another method of this name may begin with _)"),
        ("every", "the modifier 'every': `every` is 0; it must be a whole number, 1 or more"),
        ("part", "the modifier 'part': `every` is 2.5; it must be a whole number, 1 or more"),
        ("begin", "the modifier 'begin': `begin` is -1; it must be a whole number, 0 or more"),
        ("ends", "the modifier 'ends': its terms begin with round 5 and end with 5; they would never take part"),
        ("ended", "the modifier 'ended': `end` is 'soon'; it must be a whole number, 0 or more"),
        ("scalar", "critic_terms of the modifier 'scalar' gives a Tensor; it must be a dict of named scalars"),
        ("float", "the term 'small' of the modifier 'float' is a float; it must be a scalar tensor"),
        ("vector", "the term 'small' of the modifier 'vector' has shape (2,); a term must be a scalar"),
        ("reads", "the modifier 'reads' reads 'lable' of every example; the batch has only real, label, z; did you mean "
                  "'label'?"),
        ("calls", "the modifier 'calls' calls the generator's signature 'sampel', and it has sample; did you mean 'sample'?"),
        ("auxiliary", "the modifier 'auxiliary' reads the critic's output 'clases', and this critic gives scores alone; use one "
                      "that gives it"),
        ("another", "the modifier 'another' scores examples under another 'lable', which is no condition of this recipe (it has "
                    "label); did you mean 'label'?"),
    ],
)  # fmt: skip
def test_added_terms(build, modifier, said):
    changes = ["generator.use=dcgan", "condition=label"] if modifier == "another" else []
    with pytest.raises(GanflowError) as refused:
        build(f"modifiers=[{modifier}]", *changes)
    assert str(refused.value) == said


def test_helpers_beside_the_right_methods_are_no_mistakes(build):
    game = build("modifiers=[good]")
    assert list(game.terms_of(game.step("critic", game.blank(2)))) == ["hinge", "small"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["loss=wrapper"], "the loss 'wrapper' gave an object of type Wrapper, which is no Loss: derive it from "
                           "ganflow.Loss or ScoreLoss (docs/porting.md)"),
        (["loss=generates"], "the loss 'generates' calls the generator's signature 'decode', and it has sample: use another "
                             "generator"),
        (["modifiers=[good, good]"], "two terms are called 'small', and the modifier 'good' gives the second: give the modifier "
                                     "only once, or let one of the two call its term something else"),
        (["generator={use: pairs}"], "the generator's signature 'sample' is a tuple; write it as ganflow.Signature(inputs, "
                                     "output)"),
        (["generator={use: field}"], "the generator makes no field of data digits (real, label) from what a batch holds: its "
                                     "signatures make 'reel'; did you mean 'real'?"),
        (["generator={use: method}"], "the generator's signature 'sample' calls the method 'maek', which Network does not have; "
                                      "did you mean 'make'?"),
        (["critic={use: patch}", "condition=label"],
         "condition: critic 'patch' scores images (fields real, or source and target, or a and b); and 'label' of data 'digits', "
         "which it is conditioned on, is of kind class: use another critic (dcgan, mlp), or 'condition=[]'"),
        (["data={use: labelled}", "condition=label"],
         "condition: 'label' of data 'labelled' is a number that has no classes: let the data name them, TensorData(…, "
         "classes={'label': [names]})"),
    ],
)  # fmt: skip
def test_parts_that_do_not_keep_the_contract(build, changes, said):
    with pytest.raises(GanflowError) as refused:
        build(*changes)
    assert str(refused.value) == said


def test_a_critic_that_names_its_outputs_is_told_of_the_right_one(build):
    with pytest.raises(GanflowError, match=r"output 'clases', and this critic gives .*; did you mean 'classes'"):
        build("critic.classifier=label", "modifiers=[auxiliary]")


def test_a_condition_given_twice_is_one(build):
    assert build("condition=[label, label]").condition == ("label",)


def test_data_that_hold_nothing_out_have_no_rows_of_their_conditions(build):
    game = build("data={use: embedded}", "condition=code")
    assert rows_of(game, {}) == {}
