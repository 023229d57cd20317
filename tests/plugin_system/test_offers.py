"""An offer is checked when it is made: every way to get it wrong is refused in a sentence that says where and what."""

from dataclasses import dataclass
from typing import Any

import pytest

from ganflow import hookimpl, key, settings
from ganflow.errors import PluginError
from ganflow.plugins import Plugin
from ganflow.plugins.loading import Offers


def offer(role, name, cls):
    offers = Offers(Plugin("acme", "acme", "gf-acme", "1.2"))
    offers(role, name, cls)
    return offers


def refusal(role, name, cls):
    with pytest.raises(PluginError) as caught:
        offer(role, name, cls)
    text = str(caught.value)
    assert text.startswith(f"plugin 'acme' (gf-acme 1.2), {role} '{name}': ")
    assert "\n" not in text
    return text


def critic_with(method, **marks):
    """A critic whose builder is `method`."""
    return settings(type("Critic", (), {"critic": hookimpl(**marks)(method) if marks else hookimpl(method)}))


def modifier_with(name, method, **marks):
    return settings(type("Modifier", (), {name: hookimpl(**marks)(method) if marks else hookimpl(method)}))


Good = critic_with(lambda self, data: 1)


def test_a_good_offer():
    (component,) = offer("critic", "patch", Good).components
    assert (component.qualified, component.settings) == ("acme/patch", Good)


def test_unknown_role():
    assert "unknown role 'critc'; did you mean 'critic'? (roles: data, prior, " in refusal("critc", "patch", Good)


@pytest.mark.parametrize("name", ["Patch", "patch-2", "2patch", "", "a/b", "patch\n", None, 3])
def test_bad_name(name):
    with pytest.raises(PluginError, match="name is lower-case"):
        offer("critic", name, Good)


def test_offered_twice_in_one_plugin_but_not_for_another_role():
    offers = offer("critic", "mlp", Good)

    @settings
    class Generator:
        @hookimpl
        def generator(self, data, prior): ...

    offers("generator", "mlp", Generator)
    with pytest.raises(PluginError, match="critic 'mlp': offered twice"):
        offers("critic", "mlp", Good)


@pytest.mark.parametrize("thing", [object, lambda data: 1, Good(), None, 3])
def test_no_settings_class(thing):
    assert "mark it with @settings" in refusal("critic", "patch", thing)


def test_a_plain_dataclass_will_do():
    @dataclass
    class Plain:
        width: int = 3

        @hookimpl
        def critic(self, data): ...

    offer("critic", "patch", Plain)


def test_a_subclass_that_is_not_marked_itself():
    class Wider(Good):
        width: int = 9

    assert "inherits from a settings class but is none itself" in refusal("critic", "patch", Wider)
    offer("critic", "patch", settings(Wider))


def test_a_key_whose_type_cannot_be_resolved():
    class Bad:
        fine: int = 1
        shape: "NoSuchType" = None  # noqa: F821

        @hookimpl
        def critic(self, data): ...

    # dataclass accepts the annotation as it is; the check of values would stumble over it at the first instance
    text = refusal("critic", "patch", dataclass(Bad))
    assert "the type of the key 'shape' cannot be resolved" in text
    assert "NoSuchType" in text


def test_an_inherited_key_whose_type_cannot_be_resolved():
    @dataclass
    class Base:
        shape: "NoSuchType" = None  # noqa: F821

    @dataclass
    class Child(Base):
        @hookimpl
        def critic(self, data): ...

    assert "the key 'shape'" in refusal("critic", "patch", Child)


def test_a_key_called_use():
    @settings
    class Bad:
        use: str = key("x", "…")

        @hookimpl
        def critic(self, data): ...

    assert "a key cannot be called 'use'" in refusal("critic", "patch", Bad)


def test_missing_builder():
    empty = settings(type("Empty", (), {}))
    assert "the builder is missing: a critic needs a method 'critic', marked with @hookimpl" in refusal("critic", "patch", empty)
    unmarked = settings(type("Unmarked", (), {"critic": lambda self, data: 1}))
    assert "the builder is not marked with @hookimpl" in refusal("critic", "patch", unmarked)
    wrapping = critic_with(_wrapper, wrapper=True)
    assert "the builder must build, not wrap" in refusal("critic", "patch", wrapping)


def _wrapper(self, data):
    return (yield)


@pytest.mark.parametrize(("name", "meant"), [("critc", "critic"), ("critic_steped", "critic_stepped"), ("zzz", None)])
def test_misspelt_hook(name, meant):
    text = refusal("modifier", "clip", modifier_with(name, lambda self: None))
    assert f"there is no hook '{name}'" in text
    assert (f"did you mean '{meant}'?" in text) if meant else ("did you mean" not in text)


def test_the_hook_that_specname_gives_is_checked():
    offer("critic", "patch", settings(type("Named", (), {"make": hookimpl(specname="critic")(lambda self, data: 1)})))
    bad = settings(type("Named", (), {"make": hookimpl(specname="critc")(lambda self, data: 1)}))
    assert "there is no hook 'critc'" in refusal("critic", "patch", bad)


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (lambda self, dat: 1, "hook 'critic' has no argument 'dat'; did you mean 'data'? (it can take: data, prior, condition)"),
        (lambda self, data, game: 1, "hook 'critic' has no argument 'game'"),
        (lambda self, data=None: 1, "hook 'critic': argument 'data' has a default"),
        (lambda self, *data: 1, "hook 'critic': argument '*data' must be a plain one"),
        (lambda self, **data: 1, "hook 'critic': argument '**data' must be a plain one"),
        (lambda self, *, data: 1, "hook 'critic': argument 'data' must be a plain one"),
        (lambda data: 1, "hook 'critic' lacks self"),
        (lambda: 1, "hook 'critic' lacks self"),
    ],
)
def test_wrong_arguments(method, told):
    assert told in refusal("critic", "patch", critic_with(method))


def test_a_hook_implemented_twice():
    both = {"critic": hookimpl(lambda self: 1), "again": hookimpl(specname="critic")(lambda self: 2)}
    assert "hook 'critic' is implemented by 2 methods" in refusal("critic", "patch", settings(type("Twice", (), both)))


def test_fewer_arguments_are_fine():
    offer("critic", "patch", critic_with(lambda self: 1))


def test_static_and_class_methods_are_hooks_too():
    @settings
    class Static:
        @hookimpl
        @staticmethod
        def critic(data): ...

    @settings
    class Class:
        @classmethod
        @hookimpl
        def critic(cls, dat): ...

    offer("critic", "patch", Static)
    assert "no argument 'dat'" in refusal("critic", "patch", Class)


def test_a_builder_of_another_role():
    @settings
    class Greedy:
        @hookimpl
        def critic(self, data): ...

        @hookimpl
        def generator(self, data, prior): ...

    text = refusal("critic", "patch", Greedy)
    assert "hook 'generator' would replace the recipe's generator; offer it as a generator of its own" in text


def test_a_modifier_that_forgets_to_wrap():
    text = refusal("modifier", "norm", modifier_with("critic", lambda self, data: 1))
    assert "hook 'critic' would replace the recipe's critic; mark it @hookimpl(wrapper=True) and yield" in text


def test_a_modifier_that_does_nothing():
    assert "this one does none of it" in refusal("modifier", "norm", settings(type("Idle", (), {})))


@pytest.mark.parametrize(
    ("hook", "method", "marks", "told"),
    [
        ("critic", lambda self, data: 1, {"wrapper": True}, "marked wrapper=True but does not yield"),
        ("critic", _wrapper, {}, "yields but is not marked @hookimpl(wrapper=True)"),
        ("critic", _wrapper, {"hookwrapper": True}, "hookwrapper=True is the old style"),
        ("critic", _wrapper, {"wrapper": True, "tryfirst": True}, "the recipe gives the order"),
        ("critic", _wrapper, {"wrapper": True, "trylast": True}, "the recipe gives the order"),
        ("critic_stepped", lambda self: (yield), {"wrapper": True}, "is an event, which cannot be wrapped"),
    ],
)
def test_wrong_marks(hook, method, marks, told):
    text = refusal("modifier", "norm", modifier_with(hook, method, **marks))
    assert f"hook '{hook}'" in text
    assert told in text


def test_a_modifier_may_wrap_or_listen_and_others_may_too():
    offer("modifier", "norm", modifier_with("critic", _wrapper, wrapper=True))
    offer("modifier", "clip", modifier_with("critic_stepped", lambda self, game: None))

    @settings
    class Listening:
        @hookimpl
        def metric(self, data): ...

        @hookimpl
        def round_reported(self, report): ...

    offer("metric", "frechet", Listening)


BAD_OFFER = """
    from ganflow import hookimpl, settings

    GANFLOW_CONTRACT = 2

    @settings
    class Good:
        @hookimpl
        def critic(self): return 1

    @settings
    class Bad:
        @hookimpl
        def critic(self, dat): return 1

    @hookimpl
    def register(offer):
        offer("critic", "good", Good)
        {offer}
"""


HIDING = """
        try: offer('critic', 'bad', Bad)
        except Exception: pass"""


@pytest.mark.parametrize("line", ["offer('critic', 'bad', Bad)", HIDING], ids=["plain", "hidden"])
def test_one_bad_offer_makes_the_plugin_broken_even_if_it_hides_the_error(workshop, line):
    code = BAD_OFFER.replace("{offer}", line)
    workshop.install("acme", code, version="1.2")
    workshop.install("zeta")
    plugins = {p.name: p for p in workshop.catalogue().plugins}
    acme: Any = plugins["acme"]
    assert acme.error.startswith("plugin 'acme' (gf-acme 1.2), critic 'bad': hook 'critic' has no argument 'dat'")
    assert acme.offers == ()
    assert plugins["zeta"].error is None
