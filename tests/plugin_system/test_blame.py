"""An exception says which plugin's code it came from."""

import traceback

from ganflow.plugins import Chosen, Composition, blame

CODE = """
    from ganflow import hookimpl, settings

    GANFLOW_CONTRACT = 2

    @settings
    class Failing:
        @hookimpl
        def critic(self, data):
            from gf_acme.networks import Network
            return Network()

        @hookimpl
        def round_reported(self):
            {}["x"]

    @hookimpl
    def register(offer):
        offer("critic", "failing", Failing)
"""
NETWORKS = """
    class Network:
        def __call__(self, x):
            return inner(x)

    def inner(x):
        return x + "1"

    def calling(function):
        return function()

    def translating(function):
        try:
            function()
        except Exception as error:
            raise error
"""


def installed(workshop):
    workshop.install("acme", CODE, distribution="gf-acme", version="1.2", files={"networks.py": NETWORKS})
    catalogue = workshop.catalogue()
    component = catalogue.find("critic", "failing")
    return catalogue, Composition({"critic": Chosen(component, component.settings())})


def critic_of(composition):
    return composition.build("critic", data=None, prior=None, condition=())


def caught(function, *arguments, **named):
    try:
        function(*arguments, **named)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_network_that_fails_in_the_middle_of_a_step(workshop):
    catalogue, composition = installed(workshop)
    network = critic_of(composition)
    error = caught(network, 1)
    assert blame(error, catalogue).name == "acme"
    assert error.__notes__ == ["raised in plugin 'acme' (gf-acme 1.2)"]
    assert "raised in plugin 'acme' (gf-acme 1.2)" in "".join(traceback.format_exception(error))


def test_the_note_is_added_once_and_the_catalogue_is_the_installed_one(workshop):
    _, composition = installed(workshop)
    error = caught(critic_of(composition), 1)
    assert blame(error).name == blame(error).name == "acme"
    assert len(error.__notes__) == 1


def test_a_listener_that_fails(workshop):
    catalogue, composition = installed(workshop)
    (listener,) = composition.listeners("round_reported")
    assert blame(caught(listener, game=None, report=None), catalogue).name == "acme"


def test_the_innermost_plugin_is_blamed(workshop):
    """acme calls zeta's code, which fails: zeta it is; and the other way round when zeta's caller fails."""
    catalogue, composition = installed(workshop)
    workshop.install("zeta", files={"networks.py": NETWORKS})
    catalogue = workshop.catalogue()
    from gf_acme.networks import calling
    from gf_zeta.networks import Network

    error = caught(calling, lambda: Network()(1))
    assert blame(error, catalogue).name == "zeta"
    assert blame(caught(lambda: calling(critic_of(composition)(1))), catalogue).name == "acme"


def test_a_cause_counts_only_where_the_error_itself_names_none(workshop):
    catalogue, composition = installed(workshop)
    network = critic_of(composition)

    def core():
        try:
            network(1)
        except TypeError as error:
            raise RuntimeError("does not fit") from error

    error = caught(core)
    assert blame(error, catalogue).name == "acme"
    assert error.__notes__ == ["raised in plugin 'acme' (gf-acme 1.2)"]
    assert not hasattr(error.__cause__, "__notes__")


def test_built_in_plugins_are_named_too(workshop):
    from ganflow_vanilla import register

    error = caught(register, None)
    assert blame(error, workshop.catalogue()).name == "vanilla"


def test_other_code_is_nobodys_fault(workshop):
    error = caught(lambda: 1 / 0)
    assert blame(error, workshop.catalogue()) is None
    assert not hasattr(error, "__notes__")
    assert blame(ValueError("never raised"), workshop.catalogue()) is None


def test_causes_that_go_round_in_a_circle_end(workshop):
    one, two = ValueError(1), ValueError(2)
    one.__cause__, two.__cause__ = two, one
    assert blame(one, workshop.catalogue()) is None
