"""ganflow.testing: what ships passes, and each way to break the contract is caught in a sentence."""

import pytest
import torch
from torch import nn

from ganflow import hookimpl, key, settings
from ganflow.data import Field, IterableData
from ganflow.errors import GanflowError, PluginError
from ganflow.loss import AddedTerms, ScoreLoss
from ganflow.metrics import Metric
from ganflow.plugins import Component, UnknownComponent
from ganflow.testing import check_component, check_plugin, components
from ganflow.testing.stand_ins import NormalPrior, ScoreDifference, images, points, stand_in
from ganflow.tracker import Tracker
from ganflow.translator import Translator, ways_of


def check(role, hook, build, *, wrapper=False, doc="A part.", **more):
    """Check a component whose hook `hook` is `build`."""
    cls = settings(type("Part", (), {"__doc__": doc, hook: hookimpl(wrapper=wrapper)(build), **more}))
    check_component(Component(role, "part", "acme", cls, "gf-acme", "1.2"), points())


def refused(role, build, told, hook=None, **more):
    with pytest.raises(AssertionError) as caught:
        check(role, hook or role, build, **more)
    assert str(caught.value).startswith(f"{role} 'acme/part' (gf-acme 1.2)")
    assert told in str(caught.value)


@pytest.mark.parametrize("role", ["prior", "generator", "critic", "loss", "optimizer", "schedule"])
def test_the_stand_ins_keep_the_contract(role):
    component = stand_in(role).component
    if role == "prior":
        with pytest.raises(AssertionError, match="the key 'dim' is not documented"):
            check_component(component)
    else:
        check_component(component)


@pytest.mark.parametrize("plugin", ["wgan", "vanilla"])
def test_built_in_plugins_pass(plugin):
    check_plugin(plugin)


@pytest.mark.parametrize("name", ["unet", "resnet_translator", "unit", "patch", "multiscale", "pix2pix", "cycle", "pairs"])
def test_parts_of_translations_pass(name):
    (component,) = [c for c in components("translation") if c.name == name and (c.role, name) != ("loss", "unit")]
    small = {"width": 4} if component.role in ("generator", "critic") else {}
    more = {"receptive_field": 16} if name == "patch" else {"blocks": 1} if name in ("unit", "resnet_translator") else {}
    check_component(component, **small, **more)


def test_translators_are_held_to_the_contract():
    class Half(Translator):
        def __init__(self, ways):
            super().__init__()
            self.ways, self.layer = ways, nn.Conv2d(3, 3, 1)

        def forward(self, x, to):
            return self.layer(x)[:, :, ::2].tanh()

    def build(self, data, prior):
        if prior is not None:
            raise GanflowError("only for translations")
        return Half(ways_of(data.fields))

    cls = settings(type("Part", (), {"__doc__": "A part.", "generator": hookimpl(build)}))
    with pytest.raises(AssertionError, match=r"samples have shape \(8, 3, 16, 32\), not \(8, 3, 32, 32\)"):
        check_component(Component("generator", "part", "acme", cls, "gf-acme", "1.2"))


def test_components_of_a_name_a_module_and_nothing(workshop):
    import ganflow_wgan

    assert [c.name for c in components("wgan")] == [c.name for c in components(ganflow_wgan)]
    workshop.install("acme", "import gf_no_such_thing")
    workshop.catalogue()
    with pytest.raises(PluginError, match=r"plugin 'acme' .* cannot be imported"):
        components("acme")
    with pytest.raises(UnknownComponent, match="no plugin 'nobody' is installed"):
        components("nobody")


def test_documentation():
    refused("critic", stand_in("critic").settings.critic.__func__, "has no docstring", doc="")
    undocumented = {"width": 3, "__annotations__": {"width": int}}
    refused("critic", stand_in("critic").settings.critic.__func__, "the key 'width' is not documented", **undocumented)


def test_required_keys_are_given_as_values():
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

    advice = "; where it is not made for such data, let its builder raise a GanflowError that says so"
    refused("critic", convolution, " on points: RuntimeError: ")
    refused("critic", convolution, advice)

    def unsure(self):
        raise AssertionError("two lines\nof text")

    refused("critic", unsure, " on points: AssertionError: two lines of text (test_conformance, line ")
    refused("data", unsure, ": AssertionError: two lines of text (test_conformance, line ")
    refused("metric", lambda self: {}[0], " on points: KeyError: 0 (test_conformance, line ")


def test_a_network_may_refuse_one_kind_of_data_but_not_all():
    def images_only(self, data):
        if not data.main.is_image:
            raise GanflowError("wants images")
        return nn.Sequential(nn.Conv2d(1, 4, 4, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1), nn.Flatten(0))

    def built(self, data):
        network = images_only(self, data)
        network(images().held_out["real"][:2])  # gives the lazy layer its shape
        return network

    check_component(Component("critic", "part", "acme", settings(type("Part", (), {"__doc__": "A.", "critic": hookimpl(built)}))))
    refused("critic", images_only, "takes no data that was tried: points: wants images")


def test_generators():
    refused("generator", lambda self: nn.Sequential(nn.Linear(8, 3)), "samples have shape (8, 3), not (8, 2)")
    refused("generator", lambda self: "network", "hook 'generator' gave str, not Module")

    class Unused(nn.Linear):
        def __init__(self):
            super().__init__(8, 2)
            self.more = nn.Linear(2, 2)

    refused("generator", lambda self: Unused(), "the generator's parameter more.weight has no gradient")


def test_samples_stay_in_the_range_of_images():
    network = nn.Sequential(nn.Linear(8, 1024), nn.Unflatten(1, (1, 32, 32)))
    nn.init.constant_(network[0].bias, 3.0)
    cls = settings(type("Part", (), {"__doc__": "A part.", "generator": hookimpl(lambda self: network)}))
    with pytest.raises(AssertionError, match=r"samples leave the data's range \[-1.0, 1.0\]"):
        check_component(Component("generator", "part", "acme", cls), images())


def test_critics():
    class Constant(nn.Linear):
        def forward(self, x):
            return super().forward(torch.zeros_like(x))

    refused("critic", lambda self: Constant(2, 1), "no gradient of the scores reaches the examples")

    class Mean(nn.Linear):
        def forward(self, x):
            return super().forward(x).mean(0)

    refused("critic", lambda self: Mean(2, 1), "scores of 8 examples have shape (1,)")


def test_priors():
    class Broken(NormalPrior):
        def sample(self, *lead, generator=None, device="cpu"):
            return torch.randn(*lead, *self.shape)

    refused("prior", lambda self: Broken(8), "sample differs between two generators of the same seed")

    class Narrow(NormalPrior):
        support = (-0.1, 0.1)

    refused("prior", lambda self: Narrow(8), "draws leave the support")

    class Backwards(NormalPrior):
        def between(self, a, b, t):
            return super().between(b, a, t)

    refused("prior", lambda self: Backwards(8), "between does not start at a")


def test_losses():
    class Vector(ScoreDifference):
        def critic_loss(self, real, fake):
            return fake - real

    refused("loss", lambda self: Vector(), "the critic's term 'vector' is not a finite scalar tensor")

    class Detached(ScoreLoss):
        def critic_loss(self, real, fake):
            return fake.mean() - real.mean()

        def generator_loss(self, fake, real=None):
            return -fake.mean() * 0

    refused("loss", lambda self: Detached(), "no gradient of the generator's terms reaches its network")

    class Cut(Detached):
        def critic_loss(self, real, fake):
            return (fake.mean() - real.mean()).detach()

    refused("loss", lambda self: Cut(), "the critic's terms carry no gradient")


def test_losses_that_declare_means_over_examples():
    class Spread(ScoreDifference):
        mean_over_examples = True

        def critic_loss(self, real, fake):
            return super().critic_loss(real, fake) + real.std()

    told = "as the mean of two halves' terms; name it in whole_batch, or do not declare mean_over_examples"
    refused("loss", lambda self: Spread(), told)

    class Said(Spread):
        mean_over_examples = True
        whole_batch = {"said": "the spread is that of the whole batch"}  # noqa: RUF012

    check("loss", "loss", lambda self: Said())

    class Silent(Spread):
        pass

    check("loss", "loss", lambda self: Silent())

    class Keeps(nn.Module, ScoreDifference):
        mean_over_examples = True

        def __init__(self):
            super().__init__()
            self.register_buffer("last", torch.zeros(()))

        def critic_loss(self, real, fake):
            self.last.copy_(real.mean().detach())
            return super().critic_loss(real, fake)

    changes = "loss.0.last changes while the critic's terms are computed; change it in critic_stepped"
    refused("loss", lambda self: Keeps(), changes)

    class Penalty(AddedTerms):
        mean_over_examples = True

        def more_critic_terms(self, game, batch):
            return {"spread": self.score(game, batch["real"], batch).std()}

    def penalty(self):
        return Penalty((yield))

    refused("modifier", penalty, told, hook="loss", wrapper=True)


def test_optimizers_and_schedules():
    refused("optimizer", lambda self, parameters: torch.optim.SGD(parameters, lr=0.0), "ten steps change nothing")
    refused("optimizer", lambda self, parameters: torch.optim.SGD(parameters, lr=0.1, maximize=True), "go up")
    refused("optimizer", lambda self, parameters: 3, "hook 'optimizer' gave int")
    refused("schedule", lambda self, rounds: lambda round: -1.0, "factors must be finite numbers that are not negative")


def test_metrics():
    class Score(Metric):
        def evaluate(self, game):
            return {"score": int(game.samples(4).shape[0])}

    refused("metric", lambda self: Score(), "scores must be named floats: {'score': 4}")


class NotANumber(AddedTerms):
    def more_generator_terms(self, game, batch):
        return {"penalty": torch.tensor(float("nan"))}


def nan_penalty(self):
    return NotANumber((yield))


def test_modifiers():
    refused("modifier", nan_penalty, "the generator's term 'penalty' is not a finite scalar tensor", hook="loss", wrapper=True)

    def cut(self):
        network = yield
        return nn.Sequential(network, nn.Unflatten(0, (-1, 2)))

    refused("modifier", cut, "scores of 8 examples have shape (4, 2)", hook="critic", wrapper=True)

    def blow_up(self, game):
        with torch.no_grad():
            for p in game.parameters_of("critic"):
                p.fill_(float("inf"))

    refused("modifier", blow_up, "not finite", hook="critic_stepped")


def test_data_components():
    @settings
    class Data:
        """Points."""

        @hookimpl
        def data(self):
            return points()

    check_component(Component("data", "part", "acme", Data))

    def moved(self):
        data = images()
        data.held_out["real"] = data.held_out["real"] + 1
        return data

    refused("data", moved, "held_out 'real' leaves its range [-1.0, 1.0]")


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


def test_iterable_data_pass():
    check("data", "data", lambda self: Counting())


@pytest.mark.parametrize(
    ("attribute", "value", "told"),
    [
        ("load_state_dict", lambda self, state: None, "gone on with in the same process, it draws other examples"),
        ("state_dict", lambda self: {"at": b"3"}, "a bytes cannot be kept in a checkpoint"),
        ("__iter__", lambda self: iter(()), "gives no examples"),
        ("__iter__", lambda self: iter([{"real": torch.zeros(2)}] * 99), "whose 'real' has shape (2,); the field has (1,)"),
        ("__iter__", lambda self: ({"real": torch.rand(1)} for _ in range(99)), "built twice, it draws other examples"),
    ],
)
def test_iterable_data_that_break_the_contract(attribute, value, told):
    refused("data", lambda self: type("Broken", (Counting,), {attribute: value})(), told)


def test_built_in_trackers_pass():
    check_plugin("trackers")


class Kept(Tracker):
    """Keeps nothing."""

    def begin(self, run):
        self.folder = run.folder

    def values(self, round, time, values):
        assert self.folder.is_dir()


@pytest.mark.parametrize(
    ("built", "told"),
    [
        (lambda self: "a file", "hook 'tracker' gave str"),
        (lambda self: type("Whole", (Kept,), {"values": lambda s, r, t, v: int(v["critic/wasserstein"])})(), "ValueError"),
        (lambda self: type("Old", (Kept,), {"end": lambda s: None})(), "TypeError"),
    ],
)
def test_trackers_that_break_the_contract(built, told):
    refused("tracker", built, told)


def test_a_tracker_of_two_methods_passes():
    check("tracker", "tracker", lambda self: Kept())
