"""A composition: exactly the chosen components, modifiers in the recipe's order, every hook with its arguments."""

import inspect
from types import SimpleNamespace

import pytest

from ganflow import hookimpl, key, settings
from ganflow.contract.hooks import BUILDERS, EVENTS, spec_of
from ganflow.errors import KeyTaken, PluginError
from ganflow.plugins import Chosen, Component, Composition


def chosen(role, instance, name="part", plugin="acme"):
    return Chosen(Component(role, name, plugin, type(instance), "gf-acme", "1.2"), instance)


def critic_of(composition, data=None):
    return composition.build("critic", data=data, prior=None, condition=())


@settings
class Critic:
    width: int = key(64, "channels")

    @hookimpl
    def critic(self, data):
        return ["critic", self.width, data]


@settings
class Adam:
    lr: float = key(0.1, "rate")

    @hookimpl
    def optimizer(self, parameters, player):
        return [self.lr, parameters, player]


@settings
class Mark:
    """Adds a letter to what it wraps, and notes what it hears."""

    letter: str = key("a", "what it adds")

    def __post_init__(self):
        self.heard = []

    @hookimpl(wrapper=True)
    def critic(self):
        made = yield
        return [*made, self.letter]

    @hookimpl(wrapper=True)
    def optimizer(self, player):
        made = yield
        return [*made, self.letter + player[0]]

    @hookimpl
    def evaluated(self, scores, game):
        self.heard.append((game, scores))


def test_the_builder_gets_its_arguments():
    composition = Composition({"critic": chosen("critic", Critic(width=3))})
    assert critic_of(composition, "digits") == ["critic", 3, "digits"]


def test_the_first_modifier_is_innermost():
    for letters in ("abc", "cab"):
        modifiers = [chosen("modifier", Mark(letter=letter)) for letter in letters]
        composition = Composition({"critic": chosen("critic", Critic())}, modifiers)
        assert critic_of(composition)[3:] == list(letters)


def test_equal_components_are_still_two():
    """Equal settings are equal and unhashable; pluggy by itself would refuse the second."""
    twins = [chosen("modifier", Mark()), chosen("modifier", Mark())]
    assert twins[0].settings == twins[1].settings
    composition = Composition({"critic": chosen("critic", Critic())}, twins)
    assert critic_of(composition)[3:] == ["a", "a"]
    same = chosen("modifier", Mark())
    assert critic_of(Composition({"critic": chosen("critic", Critic())}, [same, same]))[3:] == ["a", "a"]


def test_each_player_has_its_own_optimizer():
    slots = {"optimizer.generator": chosen("optimizer", Adam(lr=0.1)), "optimizer.critic": chosen("optimizer", Adam(lr=0.4))}
    composition = Composition(slots, [chosen("modifier", Mark())])
    for player, lr in {"generator": 0.1, "critic": 0.4}.items():
        made = composition.build("optimizer", f"optimizer.{player}", parameters=[1, 2], player=player)
        assert made == [lr, [1, 2], player, "a" + player[0]]


@pytest.mark.parametrize("shared", [True, False])
def test_one_optimizer_in_both_slots(shared):
    @settings
    class Listening:
        @hookimpl
        def optimizer(self, player):
            return player

        @hookimpl
        def run_ended(self, status):
            heard.append(status)

    heard: list[str] = []
    first, second = [Listening()] * 2 if shared else [Listening(), Listening()]
    slots = {"optimizer.generator": chosen("optimizer", first), "optimizer.critic": chosen("optimizer", second)}
    composition = Composition(slots)
    assert composition.build("optimizer", "optimizer.critic", parameters=[], player="critic") == "critic"
    assert composition.build("optimizer", "optimizer.generator", parameters=[], player="generator") == "generator"
    for listener in composition.listeners("run_ended"):
        listener(game=None, status="finished")
    assert heard == ["finished"] * (1 if shared else 2)


def test_metrics_are_built_each_by_its_own():
    @settings
    class Frechet:
        n: int = 1

        @hookimpl
        def metric(self, data):
            return (self.n, data)

    metrics = [chosen("metric", Frechet(n=n)) for n in (5, 7, 5)]
    assert Composition({}, [], metrics).build_metrics("digits") == [(5, "digits"), (7, "digits"), (5, "digits")]
    assert Composition({}).build_metrics("digits") == []


def test_only_what_was_chosen_takes_part(workshop):
    """An installed plugin that wraps every critic changes nothing unless the recipe names it."""
    composition = Composition({"critic": chosen("critic", Critic())})
    before = critic_of(composition)
    workshop.install("acme")
    assert workshop.plugin("acme").error is None
    assert critic_of(Composition({"critic": chosen("critic", Critic())})) == before


def test_a_slot_that_the_recipe_leaves_empty():
    with pytest.raises(KeyError, match="critic"):
        critic_of(Composition({}))


def test_a_builder_that_returns_none_is_named():
    @settings
    class Forgetful:
        @hookimpl
        def critic(self): ...

    composition = Composition({"critic": chosen("critic", Forgetful(), name="patch")}, [chosen("modifier", Mark())])
    with pytest.raises(PluginError) as caught:
        critic_of(composition)
    assert str(caught.value) == "critic 'acme/patch' (gf-acme 1.2): its hook 'critic' returned None; it must return the critic"


def test_a_wrapper_that_returns_none_is_named_and_not_those_around_it():
    @settings
    class Forgetful:
        @hookimpl(wrapper=True)
        def critic(self):
            yield

    modifiers = [chosen("modifier", Forgetful(), name="norm"), chosen("modifier", Mark())]
    with pytest.raises(PluginError) as caught:
        critic_of(Composition({"critic": chosen("critic", Critic())}, modifiers))
    assert str(caught.value).startswith("modifier 'acme/norm' (gf-acme 1.2): its hook 'critic' returned None")
    assert "it must return what `yield` gave" in str(caught.value)


def test_an_error_of_the_builder_passes_through_the_wrappers():
    @settings
    class Failing:
        @hookimpl
        def critic(self):
            raise ValueError("too small")

    @settings
    class Catching:
        @hookimpl(wrapper=True)
        def critic(self):
            try:
                return (yield)
            except ValueError as error:
                raise RuntimeError("caught") from error

    with pytest.raises(ValueError, match="too small"):
        critic_of(Composition({"critic": chosen("critic", Failing())}, [chosen("modifier", Mark())]))
    with pytest.raises(RuntimeError, match="caught"):
        critic_of(Composition({"critic": chosen("critic", Failing())}, [chosen("modifier", Catching())]))


def test_listeners_come_in_the_recipes_order_and_get_what_they_ask_for():
    order = []

    def listening(role, name, hook_role=None):
        def evaluated(self, round):
            order.append((name, round))

        methods = {"evaluated": hookimpl(evaluated)}
        if hook_role:
            methods[hook_role] = hookimpl(lambda self: 1)
        return chosen(role, settings(type("Part", (), methods))())

    composition = Composition(
        {"data": listening("data", "data", "data"), "loss": listening("loss", "loss", "loss")},
        [listening("modifier", "one"), listening("modifier", "two"), chosen("modifier", mark := Mark())],
        [listening("metric", "score", "metric")],
    )
    for listener in composition.listeners("evaluated"):
        assert listener(game="game", round=7, scores={"a": 1.0}) is None
    assert order == [("data", 7), ("loss", 7), ("one", 7), ("two", 7), ("score", 7)]
    assert mark.heard == [("game", {"a": 1.0})]
    assert composition.listeners("run_ended") == []


def test_a_component_within_another_whose_key_of_extras_is_in_use_is_named():
    @settings
    class Keeping:
        @hookimpl
        def loss(self): ...

        @hookimpl
        def game_built(self, game):
            if "pool" in game.extras:
                raise KeyTaken("pool")
            game.extras["pool"] = self

    outer, inner = chosen("loss", Keeping(), "outer"), chosen("loss", Keeping(), "inner")
    with pytest.raises(PluginError) as caught:
        Composition({"loss": outer}, parts=[inner]).begin(SimpleNamespace(extras={}))
    assert str(caught.value) == (
        "loss, loss 'acme/outer' (gf-acme 1.2), and loss 'acme/inner' (gf-acme 1.2) both keep their state in "
        "game.extras['pool'], which has room for one; leave one of them out"
    )


def test_a_listener_that_takes_every_argument_is_called_directly():
    """Nothing stands between a training step and a method that listens to it."""

    @settings
    class Clip:
        @hookimpl
        def critic_stepped(self, game): ...

    clip = Clip()
    (listener,) = Composition({}, [chosen("modifier", clip)]).listeners("critic_stepped")
    assert listener == clip.critic_stepped


def test_static_and_class_methods():
    @settings
    class Static:
        @hookimpl
        @staticmethod
        def critic(data):
            return ("static", data)

        @hookimpl
        @classmethod
        def run_ended(cls, status):
            heard.append((cls.__name__, status))

    heard: list[tuple[str, str]] = []
    composition = Composition({"critic": chosen("critic", Static())})
    assert critic_of(composition, 3) == ("static", 3)
    composition.listeners("run_ended")[0](game=None, status="failed")
    assert heard == [("Static", "failed")]


def test_specname():
    part = settings(type("Named", (), {"make": hookimpl(specname="critic")(lambda self, data: data)}))()
    assert critic_of(Composition({"critic": chosen("critic", part)}), 3) == 3


# Every hook is called here with every argument that the contract gives it; a hook that is added must be added here.
ARGUMENTS = {
    "data": [],
    "prior": [],
    "generator": ["data", "prior", "condition"],
    "critic": ["data", "prior", "condition"],
    "loss": ["data", "prior", "condition"],
    "terms": ["data", "prior", "condition"],
    "optimizer": ["parameters", "player"],
    "schedule": ["rounds"],
    "metric": ["data"],
    "tracker": [],
    "executor": [],
    "encoder": [],
    "game_built": ["game"],
    "run_started": ["game"],
    "critic_stepped": ["game"],
    "generator_stepped": ["game"],
    "round_reported": ["game", "report"],
    "evaluated": ["game", "round", "scores"],
    "checkpointed": ["game", "round", "path"],
    "run_ended": ["game", "status"],
}


def test_every_hook_is_exercised():
    assert list(ARGUMENTS) == [*BUILDERS, *EVENTS]


@pytest.mark.parametrize("hook", ARGUMENTS)
def test_a_hook_gets_all_its_arguments(hook):
    names = ARGUMENTS[hook]
    calls: list[list[object]] = []
    given = eval(f"lambda self, {', '.join(names)}: calls.append([{', '.join(names)}]) or 'made'", {"calls": calls})
    part = settings(type("Part", (), {hook: hookimpl(given)}))()
    arguments = {name: object() for name in names}
    role = hook if hook in BUILDERS else "modifier"
    if hook == "metric":
        assert Composition({}, [], [chosen("metric", part)]).build_metrics(**arguments) == ["made"]
    elif hook == "terms":
        assert Composition({}, [chosen("modifier", part)]).build_terms(**arguments) == [("modifier 'part'", "made")]
    elif hook == "tracker":
        assert Composition({}, trackers=[chosen("tracker", part)]).build_trackers() == ["made"]
    elif hook in BUILDERS:
        assert Composition({hook: chosen(role, part)}).build(hook, **arguments) == "made"
    else:
        for listener in Composition({}, [chosen(role, part)]).listeners(hook):
            listener(**arguments)
    assert calls == [list(arguments.values())]


@pytest.mark.parametrize("hook", [*BUILDERS, *EVENTS])
def test_every_hook_is_documented(hook):
    spec = spec_of(hook)
    assert len((spec.__doc__ or "").split()) >= 5, f"{hook} has no docstring"
    signature = inspect.signature(spec)
    for name, parameter in list(signature.parameters.items())[1:]:
        assert parameter.annotation is not inspect.Parameter.empty, f"{hook}: the type of {name} is not given"
    assert signature.return_annotation is not inspect.Signature.empty, f"{hook}: what it returns is not given"
    assert list(signature.parameters)[1:] == ARGUMENTS[hook]
