"""ganflow.testing: what is checked, sentences, and the rules of the small roles; each rule has a part that breaks it."""

import pytest
import torch
from conformance_helpers import part, passes, refused
from torch import nn

from ganflow import GanflowError, Metric, hookimpl, key, settings
from ganflow.errors import PluginError
from ganflow.plugins import Component, UnknownComponent
from ganflow.testing import check_component, check_plugin, components
from ganflow.testing.stand_ins import Descent, NormalPrior, images, points, stand_in


@pytest.mark.parametrize("role", ["generator", "critic", "loss", "optimizer", "schedule"])
def test_the_stand_ins_keep_the_contract_on_all_data(role):
    check_component(stand_in(role).component)


def test_components_of_a_name_a_module_and_nothing(workshop):
    import ganflow_wgan

    assert [c.name for c in components("wgan")] == [c.name for c in components(ganflow_wgan)]
    workshop.install("acme", "import gf_no_such_thing")
    workshop.catalogue()
    with pytest.raises(PluginError, match=r"plugin 'acme' .* cannot be imported"):
        components("acme")
    with pytest.raises(UnknownComponent, match="no plugin 'nobody' is installed"):
        components("nobody")


def test_a_whole_plugin():
    check_plugin("optim")


def test_documentation():
    critic = stand_in("critic").settings.critic.__func__
    refused("critic", critic, "has no docstring", doc="")
    undocumented = {"width": 3, "__annotations__": {"width": int}}
    refused("critic", critic, "the key 'width' is not documented", **undocumented)


def test_values_with_which_a_component_says_it_is_tried():
    """They are for the suite, which may be given others; a recipe has the defaults."""
    built = []

    def critic(self, data):
        built.append((self.width, self.depth))
        return nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))

    keys = {"__annotations__": {"width": int, "depth": int}, "width": key(4000, "units"), "depth": key(1, "layers")}
    component = part("critic", critic, tried_with={"width": 5}, **keys)
    check_component(component, points())
    assert set(built) == {(5, 1)}
    built.clear()
    check_component(component, points(), width=6, depth=2)
    assert set(built) == {(6, 2)}
    assert component.settings().width == 4000


def test_required_keys_are_values():
    @settings
    class Critic:
        """A critic."""

        width: int = key(doc="units", ge=1)

        @hookimpl
        def critic(self):
            return nn.Sequential(nn.Linear(2, self.width), nn.Tanh(), nn.Linear(self.width, 1), nn.Flatten(0))

    component = Component("critic", "part", "acme", Critic)
    check_component(component, points(), width=5)
    give = r"critic 'acme/part' .* has no default for width; give a value: check_component\(component, width=…\)"
    with pytest.raises(AssertionError, match=give):
        check_component(component, points())
    with pytest.raises(AssertionError, match=r"has no key 'depth' \(keys: width\)"):
        check_component(component, points(), width=5, depth=1)


def test_whatever_the_code_raises_is_a_sentence():
    def convolution(self, data):
        return nn.Sequential(nn.Conv2d(data.shape[0], 1, 4), nn.Flatten(0))

    refused("critic", convolution, " on points: RuntimeError: ")
    refused("critic", convolution, "; where it is not made for such data, let its builder raise a GanflowError that says so")

    def unsure(self):
        raise AssertionError("two lines\nof text")

    refused("critic", unsure, " on points: AssertionError: two lines of text (test_conformance, line ")
    refused("data", unsure, ": AssertionError: two lines of text (test_conformance, line ")
    refused("metric", lambda self: {}[0], " on points: KeyError: 0 (test_conformance, line ")
    refused("critic", lambda self: None, "its hook 'critic' returned None")


def test_a_network_may_refuse_some_data_but_not_all():
    def images_only(self, data):
        if data.shape != (1, 32, 32):
            raise GanflowError("wants grey images")
        return nn.Sequential(nn.Flatten(), nn.Linear(1024, 1), nn.Flatten(0))

    check_component(part("critic", images_only))
    refused("critic", images_only, "refuses all data that were tried: points: wants grey images")


def test_an_authors_data_hold_out_enough():
    data = points()
    data.held_out["real"] = data.held_out["real"][:7]
    refused("metric", lambda self: None, "cannot be tried: data points hold out fewer than", data)


def test_partners():
    other = stand_in("critic").component
    partners = {"critic": other, "generator": (part("generator", linear), {})}
    passes("loss", stand_in("loss").settings.loss.__func__, partners=partners)

    def stop(self, game):
        raise ValueError("a partner's event is called, too")

    partners = {"modifier": part("modifier", stop, hook="critic_stepped")}
    refused("loss", stand_in("loss").settings.loss.__func__, "a partner's event is called, too", partners=partners)
    refused("critic", stand_in("critic").settings.critic.__func__, "cannot have a partner 'critic'", partners={"critic": other})
    refused("metric", lambda self: None, "cannot have a partner 'data'; partners can be: prior, generator, critic, loss",
            partners={"data": other})  # fmt: skip
    refused("metric", lambda self: None, "has as its partner 'loss' a critic 'testing/stand_in'", partners={"loss": other})
    partners = {"loss": (stand_in("loss").component, {"width": 3})}
    refused("metric", lambda self: None, "loss 'testing/stand_in' (not installed as a package) has no key", partners=partners)


def linear(self):
    return nn.Linear(8, 2)


class Draws(NormalPrior):
    def sample(self, *lead, generator=None, device="cpu"):
        return torch.randn(*lead, *self.shape)


class Narrow(NormalPrior):
    support = (-0.1, 0.1)


class Flat(NormalPrior):
    def sample(self, *lead, generator=None, device="cpu"):
        return super().sample(*lead, generator=generator).flatten(0, -2)


class Backwards(NormalPrior):
    def between(self, a, b, t):
        return super().between(b, a, t)


class Short(NormalPrior):
    def between(self, a, b, t):
        return super().between(a, b, t)[1:]


@pytest.mark.parametrize(
    ("prior", "fragment"),
    [
        (lambda dim: "normal", "hook 'prior' gave str, not Prior"),
        (Draws, "sample differs between two generators of the same seed"),
        (Narrow, "draws leave the support [-0.1, 0.1]"),
        (Flat, "sample(3, 5) has shape (15, 8), not (3, 5, 8)"),
        (Backwards, "between does not start at a and end at b"),
        (Short, "between at 3 points has shape (2, 8), not (3, 8)"),
    ],
)
def test_priors_that_break_the_contract(prior, fragment):
    refused("prior", lambda self: prior(8), fragment)


class Forgets(Descent):
    """Goes twice as far at its first step."""

    def __init__(self, parameters):
        super().__init__(parameters, lr=0.01)
        self.factor = 2

    def update(self, p, grad, state, rule):
        super().update(p, self.factor * grad, state, rule)
        self.factor = 1


class Normed(Descent):
    """Steps along the whole gradient's direction."""

    def update(self, p, grad, state, rule):
        super().update(p, grad / grad.norm(), state, rule)


@pytest.mark.parametrize(
    ("optimizer", "fragment"),
    [
        (lambda p: torch.optim.SGD(p, lr=0.0), "ten steps change nothing"),
        (lambda p: torch.optim.SGD(p, lr=0.1, maximize=True), "ten steps down |p|² go up"),
        (lambda p: 3, "its hook 'optimizer' gave int"),
        (Forgets, "gone on with from its state_dict, it makes other steps"),
        (lambda p: Normed(p, lr=0.01), "says `elementwise`, and a number's step depends on the others"),
    ],
)
def test_optimizers_that_break_the_contract(optimizer, fragment):
    refused("optimizer", lambda self, parameters: optimizer(parameters), fragment, elementwise="elementwise" in fragment)


def test_schedules_that_break_the_contract():
    refused("schedule", lambda self, rounds: lambda round: -1.0, "factors must be finite numbers that are not negative")
    refused("schedule", lambda self, rounds: lambda round: 1 / (rounds - 1), "ZeroDivisionError")

    def counting(self, rounds):
        asked = []
        return lambda round: asked.append(round) or 1 / len(asked)

    refused("schedule", counting, "asked again for a round, it gives another factor")


class Score(Metric):
    """How wide the samples are."""

    def evaluate(self, game):
        return {"width": float(game.samples(4).abs().max())}


class Whole(Score):
    def evaluate(self, game):
        return {"score": int(game.samples(4).shape[0])}


class Misnamed(Score):
    names = ("height",)


class Sideways(Score):
    goal = "up"


class Noisy(Score):
    def evaluate(self, game):
        return {name: score + float(torch.rand(())) for name, score in super().evaluate(game).items()}


class Spoils(Score):
    def evaluate(self, game):
        for p in game.generator.parameters():
            p.data.zero_()
        return super().evaluate(game)


class Evaluates(Score):
    def evaluate(self, game):
        game.eval()
        return super().evaluate(game)


class Particular(Score):
    """Of points alone, as it says before it is evaluated."""

    def check(self, game):
        if len(game.data.shape) > 1:
            raise GanflowError("of points alone")

    def evaluate(self, game):
        assert len(game.data.shape) == 1
        return super().evaluate(game)


@pytest.mark.parametrize("metric", [Score, Noisy, Particular])
def test_a_metric_passes(metric):
    check_component(part("metric", lambda self: metric()))


@pytest.mark.parametrize(
    ("metric", "fragment"),
    [
        (dict, "hook 'metric' gave dict, not Metric"),
        (Whole, "scores must be named floats: {'score': 4}"),
        (Misnamed, "'names' says ('height',), and the scores are called ('width',)"),
        (Sideways, "'goal' is 'up'; it must be 'min' or 'max'"),
        (Spoils, "evaluate changes the game (generator."),
        (Evaluates, "evaluate leaves the game in evaluation mode"),
    ],
)
def test_metrics_that_break_the_contract(metric, fragment):
    refused("metric", lambda self: metric(), fragment, images())
