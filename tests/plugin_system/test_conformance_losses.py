"""ganflow.testing on losses, added terms and modifiers: good ones pass, and every rule has one that breaks it."""

import math

import pytest
import torch
from conformance_helpers import part, passes, refused
from torch import nn

from ganflow import AddedTerms, Loss, ScoreLoss, Signature
from ganflow.testing import RunsEagerly, check_component
from ganflow.testing.stand_ins import Descent, ScoreDifference, images, points


class Vector(ScoreDifference):
    def critic_loss(self, real, fake):
        return fake - real


class Endless(ScoreDifference):
    def critic_loss(self, real, fake):
        return super().critic_loss(real, fake) / 0


class Listed(ScoreDifference):
    def critic_terms(self, step):
        return list(super().critic_terms(step).values())


class Silent(ScoreDifference):
    def generator_terms(self, step):
        return {}


class Weightless(ScoreDifference):
    def generator_loss(self, fake, real=None):
        return -fake.mean() * 0


class Detached(ScoreDifference):
    def critic_loss(self, real, fake):
        return super().critic_loss(real, fake).detach()


class Rooted(ScoreDifference):
    def critic_loss(self, real, fake):
        return super().critic_loss(real, fake) + (0 * real.mean()).abs().sqrt()


class Spread(ScoreDifference):
    def critic_loss(self, real, fake):
        return super().critic_loss(real, fake) + real.std()


class SpreadSaid(Spread):
    whole_batch = {"spreadsaid": "the spread is that of the whole batch"}  # noqa: RUF012


class NoReason(Spread):
    whole_batch = {"noreason": ""}  # noqa: RUF012


class NoSuchTerm(ScoreDifference):
    whole_batch = {"spread": "the spread is that of the whole batch"}  # noqa: RUF012


class Alternating(ScoreDifference):
    """Now one name, now another."""

    odd = False

    def critic_terms(self, step):
        self.odd = not self.odd
        return {f"difference_{self.odd}": step.over(self.critic_loss, *step.scores())}


class OncePassed(ScoreDifference):
    def critic_loss(self, real, fake):
        return super().critic_loss(real, fake) * (2 if self.together else 1)

    def critic_terms(self, step):
        self.together = step.together
        return super().critic_terms(step)


class Eager(nn.Module, ScoreDifference):
    """Keeps the last mean of the real scores, too early."""

    def __init__(self):
        super().__init__()
        self.register_buffer("last", torch.zeros(()))

    def critic_loss(self, real, fake):
        self.last.copy_(real.mean().detach())
        return super().critic_loss(real, fake)


class Keeps(Eager):
    """The same after the step, by the step."""

    def critic_terms(self, step):
        step.change(self.last, step.scores()[0].mean())
        return {"difference": ScoreDifference.critic_loss(self, *step.scores()) + step.state(self.last)}


class Hides(ScoreDifference):
    """Keeps a weight where no checkpoint finds it."""

    weight = 1.0

    def critic_loss(self, real, fake):
        return super().critic_loss(real, fake) * self.weight

    def critic_stepped(self, values):
        self.weight = self.weight * 0.9


class Unused(nn.Module, ScoreDifference):
    """Learns a weight that it does not use."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))


class Learnt(Unused):
    """Learns how much its term weighs."""

    def generator_terms(self, step):
        return {name: term * self.weight.exp() - self.weight for name, term in super().generator_terms(step).items()}


class Fades(ScoreDifference):
    """Divides by nothing in the round after the first."""

    def critic_terms(self, step):
        return {name: term / (1 - step.round) for name, term in super().critic_terms(step).items()}


class Estimates(ScoreDifference):
    def estimates(self, means):
        return {"distance": "far"}


@pytest.mark.parametrize(
    ("loss", "fragment"),
    [
        (dict, "hook 'loss' gave dict, not Loss"),
        (Vector, "the critic's term 'vector' is not a finite scalar tensor"),
        (Endless, "the critic's term 'endless' is not a finite scalar tensor"),
        (Listed, "the critic's terms are a list; they must be a dict of named scalars"),
        (Silent, "the generator's terms carry no gradient"),
        (Weightless, "no gradient of the generator's terms arrives at its network"),
        (Detached, "the critic's terms carry no gradient"),
        (Rooted, "a gradient of the critic's terms is not finite"),
        (Spread, "the critic's term 'spread' is no mean over examples"),
        (NoReason, "whole_batch says no reason for 'noreason'"),
        (NoSuchTerm, "whole_batch names 'spread', and its terms are nosuchterm"),
        (Alternating, "; say by begin, end and every when they take part"),
        (OncePassed, "with train.one_pass the critic's term 'oncepassed' is"),
        (Eager, "loss.0.last changes while the critic's terms are computed, not after the step"),
        (Hides, "after a checkpoint the next round ends elsewhere (game."),
        (Unused, "its parameter loss.0.weight has no gradient in the generator's step"),
        (Fades, "terms are not finite in round 1: critic/fades"),
        (Estimates, "the estimate 'distance' is a str; it must be a float"),
    ],
)
def test_losses_that_break_the_contract(loss, fragment):
    refused("loss", lambda self: loss(), fragment)


@pytest.mark.parametrize("loss", [SpreadSaid, Keeps, Learnt])
def test_losses_pass(loss):
    passes("loss", lambda self: loss())


class Encoding(nn.Module):
    """A generator that encodes."""

    def __init__(self):
        super().__init__()
        self.decoder, self.encoder = nn.Linear(8, 2), nn.Linear(2, 8)
        self.signatures = {"sample": Signature({"z": "z"}, "real"), "encode": Signature({"x": "real"}, "z", "encode")}

    def forward(self, z):
        return self.decoder(z)

    def encode(self, x):
        return self.encoder(x)


class Cycle(Loss):
    """The way there and back; no critic."""

    def generator_terms(self, step):
        x = step.real()
        return {"cycle": (step.call("sample", z=step.call("encode", x=x)) - x).square().mean()}


def test_a_loss_with_the_generator_that_it_wants():
    generator, loss = part("generator", lambda self: Encoding()), part("loss", lambda self: Cycle())
    check_component(loss, points(), partners={"generator": generator})
    check_component(generator, points(), partners={"loss": loss})
    refused("loss", lambda self: Cycle(), "that were tried: points: it calls the generator's signature 'encode'")


class Jumps(ScoreDifference):
    """Reads a number out of a tensor."""

    def critic_loss(self, real, fake):
        return super().critic_loss(real, fake) * (1 if real.mean().item() < 100 else 0)


class Python(ScoreDifference):
    """Its first round is another one."""

    def __init__(self):
        self.rounds = []

    def generator_stepped(self, values):
        self.rounds.append(1)


@pytest.mark.parametrize("loss", [Jumps, Python])
def test_what_cannot_be_traced_is_a_warning(loss):
    with pytest.warns(RunsEagerly, match=r"loss 'acme/part' \(gf-acme 1.2\) on points: its rounds run eagerly: "):
        passes("loss", lambda self: loss())


class Norm(AddedTerms):
    """How large scores are."""

    def critic_terms(self, step):
        return {"norm": step.over(lambda scores: scores.square().mean(), step.score(step.real()))}


class NotANumber(Norm):
    def generator_terms(self, step):
        return {"penalty": torch.tensor(math.nan)}


class Loose(Norm):
    def critic_terms(self, step):
        return {name: term.detach() for name, term in super().critic_terms(step).items()}


class Nothing(Norm):
    def critic_terms(self, step):
        return {}


class SpreadTerm(Norm):
    def critic_terms(self, step):
        return {"spread": step.over(lambda scores: scores.std(), step.score(step.real()))}


class Plain(Norm):
    """Knows no scores by name."""

    def critic_terms(self, step):
        return {"norm": step.score(step.real()).square().mean()}


def spans(every=1, begin=0, end=None):
    return type("Lazy", (Norm,), {"every": every, "begin": begin, "end": end})


@pytest.mark.parametrize(
    ("terms", "fragment"),
    [
        (ScoreLoss.mro, "hook 'terms' gave list, not AddedTerms"),
        (NotANumber, "the generator's term 'penalty' is not a finite scalar tensor"),
        (Loose, "no gradient of its terms arrives at a network"),
        (Nothing, "it gives no terms at all"),
        (SpreadTerm, "the critic's term 'spread' is no mean over examples"),
        (spans(every=0), "`every` is 0; it must be a whole number, 1 or more"),
        (spans(every=2.5), "`every` is 2.5; it must be a whole number"),
        (spans(begin=-1), "`begin` is -1; it must be a whole number, 0 or more"),
        (spans(begin=9, end=9), "its terms begin with round 9 and end with 9; they would never take part"),
    ],
)
def test_added_terms_that_break_the_contract(terms, fragment):
    refused("modifier", lambda self: terms(), fragment, hook="terms")


def test_added_terms_meet_critics_with_several_scores():
    fragment = "on two domains of images: AttributeError: 'dict' object has no attribute 'square'.*formulas go through step.over"
    with pytest.raises(AssertionError, match=fragment):
        check_component(part("modifier", lambda self: Plain(), hook="terms"))


@pytest.mark.parametrize("terms", [Norm, spans(every=4), spans(begin=1000, end=2000)])
def test_added_terms_pass(terms):
    passes("modifier", lambda self: terms(), images(), hook="terms")


def test_terms_that_begin_late_are_played():
    class Late(Norm):
        begin = 1000

        def critic_stepped(self, values):
            raise ValueError("too late")

    refused("modifier", lambda self: Late(), "ValueError: too late", hook="terms")


def test_numbers_in_reports():
    def alike(self, game, report):
        report.log(next(iter(report.terms)), 1.0)

    refused("modifier", alike, "is reported already; use another name", hook="round_reported")

    def counted(self, game, report):
        report.log("rounds", report.round)

    passes("modifier", counted, hook="round_reported")


def test_a_modifiers_state_is_kept():
    def put(self, game):
        game.extras["slow"] = nn.Linear(1, 1)
        self.factor = 1.0

    def step(self, game):
        self.factor *= 0.5
        with torch.no_grad():
            for p in game.parameters_of("critic"):
                p.mul_(self.factor)

    from ganflow import hookimpl

    refused("modifier", step, "after a checkpoint the next round ends elsewhere", hook="critic_stepped", game_built=hookimpl(put))


def test_an_optimizer_whose_state_is_no_tensor_is_refused():
    class Odd(Descent):
        def state_dict(self):
            return {"last": object()}

        def load_state_dict(self, state):
            pass

    refused("optimizer", lambda self, parameters: Odd(parameters, lr=0.1), "a object cannot be kept in a checkpoint")
