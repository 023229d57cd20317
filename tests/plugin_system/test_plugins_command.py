"""`ganflow plugins`: what is installed, in words and for programs."""

import argparse
import json

import pytest

from ganflow.cli import plugins as command
from ganflow.errors import GanflowError

CODE = '''
    """Patches of all kinds.

    And more."""
    from typing import Literal
    from ganflow import hookimpl, key, part, settings

    GANFLOW_CONTRACT = 2

    @settings
    class Patch:
        """Scores patches.

        Second paragraph."""

        width: int = key(64, "channels", ge=1, lt=100)
        kind: Literal["wide", "narrow"] = key("wide", "its shape")
        size: float = key(doc="side of a patch", gt=0)
        inner: dict = part("loss", "hinge", "what it descends")
        plain: bool = True

        @hookimpl
        def critic(self, data):
            return 1

    @settings
    class Generator:
        @hookimpl
        def generator(self, data, prior):
            return 1

    @settings
    class Norm:
        """Norms."""

        @hookimpl(wrapper=True)
        def critic(self):
            return (yield)

        @hookimpl
        def critic_stepped(self, game): ...

    @hookimpl
    def register(offer):
        offer("critic", "mosaic", Patch)
        offer("generator", "mosaic", Generator)
        offer("modifier", "norm", Norm)
'''


@pytest.fixture
def ganflow_plugins(workshop, capsys):
    workshop.install("acme", CODE, distribution="gf-acme", version="1.2")

    def call(*words):
        workshop.catalogue()
        parser = argparse.ArgumentParser()
        command.plugins_arguments(parser)
        code = command.plugins_command(parser.parse_intermixed_args(list(words)))
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_the_listing(ganflow_plugins):
    code, out, err = ganflow_plugins()
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    start = lines.index("acme gf-acme 1.2 Patches of all kinds.")
    assert lines[start + 1 : start + 9] == [
        "critic mosaic Scores patches.",
        "width: int = 64 channels (≥ 1, < 100)",
        "kind: 'wide' | 'narrow' = \"wide\" its shape",
        "size: float = … side of a patch (> 0)",
        'inner: a loss = {"use": "hinge"} what it descends',
        "plain: bool = true",
        "generator mosaic",
        "modifier norm Norms.",
    ]
    assert any(line.startswith("wgan ganflow ") for line in lines)


def test_brief(ganflow_plugins):
    _, out, _ = ganflow_plugins("--brief")
    assert "critic mosaic" in out
    assert "channels (≥ 1, < 100)" not in out  # keys
    assert "width: int" not in out


def test_json(ganflow_plugins):
    code, out, _ = ganflow_plugins("--json")
    (acme,) = [p for p in json.loads(out) if p["name"] == "acme"]
    assert code == 0
    assert (acme["distribution"], acme["version"], acme["error"]) == ("gf-acme", "1.2", None)
    mosaic = acme["offers"][0]
    assert (mosaic["role"], mosaic["qualified"], mosaic["hooks"]) == ("critic", "acme/mosaic", ["critic"])
    assert [k["name"] for k in mosaic["keys"]] == ["width", "kind", "size", "inner", "plain"]
    assert mosaic["keys"][0] == {
        "name": "width", "type": "int", "required": False, "default": 64, "doc": "channels", "range": "≥ 1, < 100", "role": None
    }  # fmt: skip
    assert mosaic["keys"][2]["required"] is True


@pytest.mark.parametrize("name", ["mosaic", "acme/mosaic"])
def test_show_gives_every_role_of_a_name(ganflow_plugins, name):
    code, out, _ = ganflow_plugins("show", name)
    assert code == 0
    assert "critic 'acme/mosaic' (gf-acme 1.2)" in out
    assert "generator 'acme/mosaic' (gf-acme 1.2)" in out
    assert "Second paragraph." in out
    assert "in a recipe:  critic: {use: mosaic, size: …}" in out


@pytest.mark.parametrize("name", ["critic/mosaic", "critic/acme/mosaic", "acme/critic/mosaic"])
def test_show_of_one_role(ganflow_plugins, name):
    _, out, _ = ganflow_plugins("show", name)
    assert "critic 'acme/mosaic'" in out
    assert "generator 'acme/mosaic'" not in out


def test_show_says_what_a_modifier_does(ganflow_plugins):
    _, out, _ = ganflow_plugins("show", "norm")
    assert "wraps: critic\n" in out
    assert "listens to: critic_stepped\n" in out
    assert "in a recipe:  modifiers: [{use: norm}]" in out
    assert "(gf-acme 1.2)" in out


def test_show_a_whole_plugin_and_several_and_json(ganflow_plugins):
    _, out, _ = ganflow_plugins("show", "acme", "wgan/weight_clip", "--json")
    assert [(c["role"], c["name"]) for c in json.loads(out)] == [
        ("critic", "mosaic"), ("generator", "mosaic"), ("modifier", "norm"), ("modifier", "weight_clip")
    ]  # fmt: skip


def test_a_shared_name_is_shown_with_its_plugin(ganflow_plugins, workshop):
    workshop.install("zeta")
    _, out, _ = ganflow_plugins("show", "critic/zeta/mosaic")
    assert "critic: {use: zeta/mosaic}" in out


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mosai", "no component or plugin 'mosai'; did you mean 'mosaic'?"),
        ("acme/mosai", "did you mean 'acme/mosaic'?"),
        ("critic/mosai", "did you mean 'critic/mosaic'?"),
        ("acm", "did you mean 'acme'?"),
        ("modifier/mosaic", "no component or plugin 'modifier/mosaic'"),
        ("qqqq", "no component or plugin 'qqqq' (ganflow plugins lists all)"),
        ("", "no component or plugin ''"),
    ],
)
def test_show_of_an_unknown_name(ganflow_plugins, name, told):
    with pytest.raises(GanflowError) as caught:
        ganflow_plugins("show", name)
    assert told in str(caught.value)


def test_show_what(ganflow_plugins):
    with pytest.raises(GanflowError, match="show what"):
        ganflow_plugins("show")


def test_broken_plugins_are_listed_and_said_on_stderr(ganflow_plugins, workshop):
    workshop.install("zeta", "import gf_no_such_thing")
    code, out, err = ganflow_plugins()
    assert code == 0
    assert "broken: plugin 'zeta' (gf-zeta 1.0) cannot be imported: ModuleNotFoundError" in out
    assert "plugins broken: zeta" in err
    assert "critic mosaic" in out
    code, out, err = ganflow_plugins("--json")
    assert [p["name"] for p in json.loads(out) if p["error"]] == ["zeta"]
    assert "zeta" in err
    for name in ("zeta", "zeta/mosaic"):
        with pytest.raises(GanflowError, match=r"nothing is offered: plugin 'zeta' .* cannot be imported"):
            ganflow_plugins("show", name)


def test_the_whole_command_line(workshop, capsys):
    from ganflow.cli import main

    assert main(["plugins", "show", "weight_clip"]) == 0
    assert "modifier 'wgan/weight_clip'" in capsys.readouterr().out
    assert main(["plugins", "show", "weight_clop"]) == 2
    told = "ganflow: no component or plugin 'weight_clop'; did you mean 'weight_clip'? (ganflow plugins lists all)\n"
    assert capsys.readouterr().err == told


TRIED = '''
    """Schedules."""
    from ganflow import hookimpl, key, settings

    GANFLOW_CONTRACT = 2

    @settings
    class Half:
        """Half the rate."""

        @hookimpl
        def schedule(self, rounds):
            return lambda round: 0.5

    @settings
    class Negative(Half):
        """Upwards."""

        @hookimpl
        def schedule(self, rounds):
            return lambda round: -1.0

    @settings
    class Wanting(Half):
        """A rate that must be set."""

        factor: float = key(doc="of the rate")

    @hookimpl
    def register(offer):
        offer("schedule", "half", Half)
        offer("schedule", "negative", Negative)
        offer("schedule", "wanting", Wanting)
'''


def test_a_plugin_is_tested_component_by_component(ganflow_plugins, workshop):
    workshop.install("zeta", TRIED)
    code, out, err = ganflow_plugins("test", "zeta")
    assert code == 1
    assert [line.split(maxsplit=2) for line in out.splitlines() if not line.startswith("    ")] == [
        ["schedule", "zeta/half", "ok"], ["schedule", "zeta/negative", "fails"], ["schedule", "zeta/wanting", "not tried"]
    ]  # fmt: skip
    assert "    schedule 'zeta/negative' (gf-zeta 1.0) on points: factors must be finite numbers that are not negative" in out
    assert "    factor must be set: check_component(component, factor=…) in a test of the package\n" in out
    assert err == "ganflow: 1 ok, 1 fails, 1 not tried\n"
    code, out, _ = ganflow_plugins("test", "zeta/half", "zeta/wanting", "--json")
    assert code == 0
    assert [(each["name"], each["result"]) for each in json.loads(out)] == [("half", "ok"), ("wanting", "not tried")]


@pytest.mark.parametrize(("names", "told"), [
    (["zeta"], "no component or plugin 'zeta'"),
    ([], r"test what\? e\.g\. ganflow plugins test wgan"),
])  # fmt: skip
def test_nothing_to_test(ganflow_plugins, names, told):
    with pytest.raises(GanflowError, match=told):
        ganflow_plugins("test", *names)


def test_a_broken_plugin_cannot_be_tested(ganflow_plugins, workshop):
    workshop.install("zeta", "import gf_no_such_thing")
    with pytest.raises(GanflowError, match=r"nothing is offered: plugin 'zeta' .* cannot be imported"):
        ganflow_plugins("test", "zeta")


COUPLED = '''
    """A loss that one generator alone can play with."""

    from math import prod

    from torch import nn

    from ganflow import GanflowError, ScoreLoss, hookimpl, settings

    GANFLOW_CONTRACT = 2

    class Only(ScoreLoss):
        def check(self, game):
            if not getattr(game.generator, "special", False):
                raise GanflowError("only a special generator will do")

        def critic_loss(self, real, fake):
            return fake.mean() - real.mean()

        def generator_loss(self, fake, real=None):
            return -fake.mean()

    class Net(nn.Module):
        special = True

        def __init__(self, data, prior):
            super().__init__()
            self.shape, self.layer = data.shape, nn.Linear(prior.shape[0], prod(data.shape))

        def forward(self, z):
            return self.layer(z).tanh().unflatten(1, self.shape)

    @settings
    class Loss:
        """Particular."""

        @hookimpl
        def loss(self):
            return Only()

    @settings
    class Special:
        """What it wants."""

        @hookimpl
        def generator(self, data, prior):
            return Net(data, prior)

    @hookimpl
    def register(offer):
        offer("loss", "particular", Loss)
        SPECIAL
'''


def test_what_plays_with_its_own_plugin_alone(ganflow_plugins, workshop):
    workshop.install("coupled", COUPLED.replace("SPECIAL", 'offer("generator", "special", Special)'))
    code, out, _ = ganflow_plugins("test", "coupled/particular")
    assert (code, out) == (0, "loss coupled/particular  ok\n    beside generator 'coupled/special' (gf-coupled 1.0)\n")


def test_what_refuses_all_that_there_is(ganflow_plugins, workshop):
    workshop.install("alone", COUPLED.replace("SPECIAL", ""))
    code, out, _ = ganflow_plugins("test", "alone")
    assert (code, out.splitlines()[0]) == (0, "loss alone/particular  not tried")
    assert "refuses all data that were tried" in out
    assert "name others by partners={…}" in out


@pytest.mark.parametrize("name", ["autoencoder/elbo", "autoencoder/iwae"])
def test_losses_of_autoencoders_are_tried_beside_one(ganflow_plugins, name):
    code, out, _ = ganflow_plugins("test", name)
    assert (code, out.splitlines()[0].split()[-1]) == (0, "ok")
    assert "beside generator 'autoencoder/mlp_autoencoder'" in out
