"""The catalogue: every plugin loaded on its own, what is wrong with one told in full, names found or explained."""

import pytest

from ganflow.plugins import Chosen, UnknownComponent, versions

BUILT_IN = ["data", "metrics", "networks", "optim", "regularize", "vanilla", "wgan"]


def test_a_plugin_is_found_with_its_distribution(workshop):
    workshop.install("acme", distribution="gf-acme", version="1.2")
    plugin = workshop.plugin("acme")
    assert (plugin.module, plugin.distribution, plugin.version, plugin.error) == ("gf_acme", "gf-acme", "1.2", None)
    assert plugin.doc == "The plugin acme."
    (component,) = plugin.offers
    assert (component.role, component.name, component.plugin, component.qualified) == ("critic", "mosaic", "acme", "acme/mosaic")
    assert (component.distribution, component.version) == ("gf-acme", "1.2")
    assert component.settings().width == 64


def test_plugins_are_sorted_and_the_built_ins_among_them(workshop):
    workshop.install("zeta")
    workshop.install("acme")
    names = [p.name for p in workshop.catalogue().plugins]
    assert names == sorted(names)
    assert set(names) >= {*BUILT_IN, "acme", "zeta"}


def test_the_catalogue_is_loaded_once(workshop):
    from ganflow.plugins import load_catalogue

    assert workshop.catalogue() is load_catalogue()


def test_a_distribution_seen_twice_counts_once(workshop):
    """As when an editable install is on the path twice, or leaves an old dist-info behind."""
    workshop.install("acme", version="1.0", folder="old")
    workshop.install("acme", version="1.1", folder="new")
    (acme,) = [p for p in workshop.catalogue().plugins if p.name == "acme"]
    assert acme.error is None
    assert acme.version == "1.1"  # the first on the path, whose module is imported too


def test_a_name_written_twice_in_one_distribution_counts_once(workshop):
    site = workshop.install("acme")
    points = site / "gf_acme-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "acme = gf_acme\n")
    assert workshop.plugin("acme").error is None


def test_two_distributions_with_one_plugin_name_are_both_left_out(workshop):
    workshop.install("acme", distribution="gf-acme", version="1.2")
    workshop.install("acme", distribution="gf-fork", version="0.3", module="gf_fork")
    workshop.install("zeta")
    catalogue = workshop.catalogue()
    (acme,) = [p for p in catalogue.plugins if p.name == "acme"]
    assert acme.offers == ()
    for part in ("'acme'", "gf-acme 1.2", "gf-fork 0.3", "uninstall"):
        assert part in acme.error
    assert catalogue.find("critic", "mosaic").plugin == "zeta"
    with pytest.raises(UnknownComponent, match=r"gf-acme 1\.2 .* gf-fork 0\.3"):
        catalogue.find("critic", "acme/mosaic")


NOW = "GANFLOW_CONTRACT = 2\n"
HOOK = f"from ganflow import hookimpl\n{NOW}@hookimpl\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import gf_no_such_thing", ["cannot be imported", "ModuleNotFoundError", "gf_no_such_thing", "__init__.py:1"]),
        ("def broken(:\n", ["cannot be imported", "SyntaxError"]),
        ("raise SystemExit(3)", ["cannot be imported", "SystemExit: 3"]),
        ("\n\n1 / 0", ["cannot be imported", "ZeroDivisionError: division by zero", "__init__.py:3"]),
        (f"'''Nothing here.'''\n{NOW}", ["'register(offer)' is missing", "gf_acme"]),
        (f"{NOW}def register(offer): ...", ["'register(offer)' is not marked with @hookimpl"]),
        (f"{HOOK}def regster(offer): ...", ["'regster'", "did you mean 'register'?"]),
        (f"{HOOK}def register(offer, more): ...", ["'register' takes one argument, 'offer'"]),
        (f"{HOOK}def register(offer):\n    dict()['x']", ["register failed", "KeyError: 'x'", ":5"]),
        (f"{HOOK}def register(offer):\n    raise SystemExit", ["register failed", "SystemExit"]),
    ],
)
def test_a_broken_plugin_is_told_and_hurts_no_other(workshop, code, told):
    workshop.install("acme", code, distribution="gf-acme", version="1.2")
    workshop.install("zeta")
    catalogue = workshop.catalogue()
    (acme,) = catalogue.broken
    for part in ["plugin 'acme' (gf-acme 1.2)", *told]:
        assert part in acme.error
    assert "\n" not in acme.error
    assert acme.offers == ()
    assert catalogue.find("critic", "mosaic").plugin == "zeta"


def test_ctrl_c_is_no_fault_of_a_plugin(workshop):
    workshop.install("acme", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        workshop.catalogue()


@pytest.mark.parametrize(("contract", "fine"), [("2", True), ("1", False), ("3", False), ("0", False), ("'2'", False)])
def test_the_contract_must_be_the_same(workshop, contract, fine):
    code = f"GANFLOW_CONTRACT = {contract}\nfrom ganflow import hookimpl\n@hookimpl\ndef register(offer): ..."
    workshop.install("acme", code, distribution="gf-acme", version="1.2")
    error = workshop.plugin("acme").error
    if fine:
        assert error is None
    else:
        assert error.startswith("plugin 'acme' (gf-acme 1.2): it")
        number = contract != "'2'"
        assert ("it was written for version " in error) == ("this ganflow has version 2" in error) == number
        assert number or "must be a number: GANFLOW_CONTRACT = 2" in error
        assert ("docs/porting.md" in error) == (contract in ("1", "0"))


def test_a_module_that_says_nothing_was_written_for_the_first_contract(workshop):
    workshop.install("acme", "from ganflow import hookimpl\n@hookimpl\ndef register(offer): ...")
    assert "it was written for version 1 of the plugin contract" in workshop.plugin("acme").error


@pytest.mark.parametrize(
    ("name", "entry", "told"),
    [
        ("acme", "gf_acme:register", "must name a module, not 'gf_acme:register'"),
        ("acme", "not a module", "must name a module"),
        ("Ac/me", "gf_acme", "a plugin's name is"),
    ],
)
def test_a_bad_entry_point_is_told(workshop, name, entry, told):
    workshop.install(name, distribution="gf-acme", module="gf_acme", entry=entry)
    assert told in workshop.plugin(name).error


def test_find_by_plain_and_qualified_name(workshop):
    workshop.install("acme")
    catalogue = workshop.catalogue()
    assert catalogue.find("critic", "mosaic") is catalogue.find("critic", "acme/mosaic")
    assert "mosaic" in catalogue.names("critic")
    assert catalogue.names("critic") == sorted(catalogue.names("critic"))


def test_a_misspelt_name_gets_a_suggestion_and_the_list(workshop):
    workshop.install("acme")
    catalogue = workshop.catalogue()
    with pytest.raises(UnknownComponent) as caught:
        catalogue.find("critic", "mosai")
    installed = ", ".join(catalogue.names("critic"))
    assert str(caught.value) == f"unknown critic 'mosai'; did you mean 'mosaic'? (installed: {installed})"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("role", "name", "told"),
    [
        ("critic", "quite different", "unknown critic 'quite different' (installed: "),
        ("critic", "acme/mosai", "unknown critic 'acme/mosai'; did you mean 'acme/mosaic'?"),
        ("critic", "acmee/mosaic", "no plugin 'acmee'; did you mean 'acme'? (installed plugins: acme, autoencoder, data"),
        ("generator", "mosaic", "unknown generator 'mosaic'; that is the name of a critic"),
        ("critic", "", "unknown critic ''"),
    ],
)
def test_why_a_name_is_not_found(workshop, role, name, told):
    workshop.install("acme")
    with pytest.raises(UnknownComponent) as caught:
        workshop.catalogue().find(role, name)
    assert told in str(caught.value)


def test_a_name_that_two_plugins_offer_needs_the_plugin(workshop):
    workshop.install("acme")
    workshop.install("zeta")
    catalogue = workshop.catalogue()
    with pytest.raises(UnknownComponent, match="'mosaic' is offered by 2 plugins; write acme/mosaic or zeta/mosaic"):
        catalogue.find("critic", "mosaic")
    assert catalogue.find("critic", "zeta/mosaic").plugin == "zeta"
    names = catalogue.names("critic")
    assert {"acme/mosaic", "zeta/mosaic"} < set(names)
    assert "mosaic" not in names


MLP = '''
    from ganflow import hookimpl, settings

    GANFLOW_CONTRACT = 2

    @settings
    class Mlp:
        """Another one."""

        @hookimpl
        def critic(self):
            from torch import nn

            return nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))

    @hookimpl
    def register(offer):
        offer("critic", "mlp", Mlp)
'''


def test_a_plain_name_means_the_built_in_first(workshop):
    workshop.install("acme", MLP)
    workshop.install("zeta", MLP)
    catalogue = workshop.catalogue()
    assert catalogue.find("critic", "mlp").qualified == "networks/mlp"
    assert catalogue.find("critic", "acme/mlp").distribution == "gf-acme"
    assert {"mlp", "acme/mlp", "zeta/mlp"} < set(catalogue.names("critic"))
    assert "networks/mlp" not in catalogue.names("critic")
    assert [c.qualified for c in catalogue.rivals(catalogue.find("critic", "mlp"))] == ["acme/mlp", "zeta/mlp"]
    assert catalogue.find("generator", "mlp").qualified == "networks/mlp"  # of another role: nobody else's
    assert catalogue.rivals(catalogue.find("generator", "mlp")) == []


def test_a_plugin_with_a_built_in_plugins_name_leaves_that_alone(workshop):
    workshop.install("data", MLP, distribution="gf-acme", version="1.2", module="gf_acme")
    catalogue = workshop.catalogue()
    assert catalogue.find("data", "digits").built_in
    (broken,) = catalogue.broken
    assert "plugin 'data' (gf-acme 1.2) is not loaded: the name is that of a plugin that comes with ganflow" in broken.error
    assert "data" in {plugin.name for plugin in catalogue.plugins if not plugin.error}


def test_a_broken_plugin_is_told_when_its_name_is_asked_for(workshop):
    workshop.install("acme", "import gf_no_such_thing")
    catalogue = workshop.catalogue()
    for name in ("acme/mosaic", "nobodys"):
        with pytest.raises(UnknownComponent, match=r"plugin 'acme' \(gf-acme 1.0\) cannot be imported.*gf_no_such_thing"):
            catalogue.find("critic", name)


def test_by_module(workshop):
    workshop.install("acme")
    workshop.install("one", module="gf_shared.one")
    workshop.install("two", module="gf_shared.two")
    find = workshop.catalogue().by_module
    assert find("gf_acme").name == "acme"
    assert find("gf_acme.networks.deep").name == "acme"
    assert find("ganflow_wgan").name == "wgan"
    assert find("gf_shared.two.networks").name == "two"
    assert find("gf_acmeplus") is None
    assert find("torch") is None
    assert find("ganflow") is None
    assert find("") is None


def test_versions(workshop):
    workshop.install("zeta", version="3.1")
    workshop.install("acme")
    catalogue = workshop.catalogue()
    chosen = [Chosen(c, c.settings()) for c in (catalogue.find("critic", name) for name in ("zeta/mosaic", "acme/mosaic"))]
    assert versions([*chosen, chosen[0]]) == {
        "acme": {"distribution": "gf-acme", "version": "1.0"},
        "zeta": {"distribution": "gf-zeta", "version": "3.1"},
    }
    assert list(versions(chosen)) == ["acme", "zeta"]
