"""Plugins that cannot be used: said when a recipe names them, and no trouble for recipes that do not."""

import re
from pathlib import Path

import pytest

from ganflow.cli.recipes import UNBUILT

SMALL = ("wgan", "-q", "generator.width=4", "train.rounds=2", "train.batch_size=4", "train.compile=never", "track.mlflow=false")
PATCH = ("critic={use: acme/mosaic}",)

GOOD = """
from ganflow import hookimpl, key, settings

GANFLOW_CONTRACT = 2


@settings
class Patch:
    \"\"\"Scores patches.\"\"\"

    width: int = key(4, "channels", ge=1)

    @hookimpl
    def critic(self, data):
        from torch import nn

        return nn.Sequential(nn.Conv2d(data.shape[0], self.width, 4, 2, 1), nn.ReLU(), nn.Conv2d(self.width, 1, 4, 1, 1))


@hookimpl
def register(offer):
    offer("critic", "mosaic", Patch)
"""

LOSS = """
from ganflow import ScoreLoss, hookimpl, settings

GANFLOW_CONTRACT = 2


class Boom(ScoreLoss):
    def critic_loss(self, real, fake):
        raise ValueError("bad maths")

    def generator_loss(self, fake, real=None):
        return -fake.mean()


@settings
class BoomSettings:
    \"\"\"Raises.\"\"\"

    @hookimpl
    def loss(self):
        return Boom()


@hookimpl
def register(offer):
    offer("loss", "boom", BoomSettings)
"""


@pytest.fixture
def acme(workshop, command):
    """Installs the plugin acme, GOOD with a change."""

    def install(old="", new="", **options):
        assert old in GOOD
        workshop.install("acme", GOOD.replace(old, new, 1), **options)
        workshop.catalogue()

    return install


def test_a_good_one_trains(acme, command):
    acme()
    assert command("run", *SMALL, *PATCH)[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "trouble"),
    [
        ("from ganflow import hookimpl", "import nosuchmodule\nfrom ganflow import hookimpl",
         "cannot be imported: ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("import hookimpl", "import hookimp", "cannot be imported: ImportError: cannot import name 'hookimp'"),
        ("class Patch", "clas Patch", "cannot be imported: SyntaxError: invalid syntax (/"),
        ("class Patch", "clas Patch", "gf_acme/__init__.py:8)"),
        ("def critic(", "def critc(", "there is no hook 'critc'; did you mean 'critic'?"),
        ("self, data", "self, dat", "hook 'critic' has no argument 'dat'; did you mean 'data'?"),
        ("self, data", "self, data=None", "hook 'critic': argument 'data' has a default"),
        ("    @hookimpl\n", "", "the builder is not marked with @hookimpl: a critic needs a method 'critic'"),
        ("@settings\n", "", "Patch is not a settings class; mark it with @settings"),
        ('"critic", "mosaic"', '"crtic", "mosaic"', "unknown role 'crtic'; did you mean 'critic'?"),
        ("def register(offer)", "def regster(offer)", "a module's only hook is 'register', not 'regster'"),
        ("CONTRACT = 2", "CONTRACT = 99",
         "it was written for version 99 of the plugin contract, and this ganflow has version 2; install versions of the two"),
        ("GANFLOW_CONTRACT = 2", "",
         "it was written for version 1 of the plugin contract, and this ganflow has version 2; docs/porting.md says how"),
    ],
)  # fmt: skip
def test_a_broken_one_is_reported_when_its_name_is_asked_for(acme, command, tmp_path, old, new, trouble):
    acme(old, new)
    said = command.refused("run", *SMALL, *PATCH)
    assert said.startswith("ganflow: command line: unknown critic 'acme/mosaic': plugin 'acme' (gf-acme 1.0)")
    assert trouble in said
    assert "\n" not in said
    assert "acme" in command.refused("check", "wgan", "critic=mosaic")
    assert command("check", "wgan", "gan")[:2] == (0, "wgan: ok\ngan: ok\n")  # hurts no one else
    code, out, err = command("plugins", "--brief")
    assert code == 0
    assert trouble in out
    assert err.startswith("ganflow: 1 of ")
    assert command.refused("plugins", "show", "acme").startswith("ganflow: nothing is offered: plugin 'acme' (gf-acme 1.0)")
    assert not (tmp_path / "runs").exists()


def test_one_that_cannot_be_imported_is_named_once_and_the_rest_goes_on(acme, command, caplog):
    acme("import hookimpl", "import hookimp")
    assert command("check", "wgan", "gan")[0] == 0
    assert command("run", *SMALL)[0] == 0
    (said,) = [record.getMessage() for record in caplog.records if "acme" in record.getMessage()]
    assert said.startswith("plugin 'acme' (gf-acme 1.0) cannot be imported: ImportError: cannot import name 'hookimp'")
    assert said.endswith("; all others can be used")
    caplog.clear()
    command.refused("check", "wgan", *PATCH)  # the reason is in the sentence
    assert not caplog.records


def test_two_distributions_with_one_name(acme, command, workshop, tmp_path):
    acme()
    workshop.install("acme", GOOD, distribution="gf-rival", version="2.0", module="gf_rival")
    workshop.catalogue()
    said = command.refused("run", *SMALL, *PATCH)
    assert "both claim the name: gf-acme 1.0 (module gf_acme) and gf-rival 2.0 (module gf_rival); uninstall one of them" in said
    assert not (tmp_path / "runs").exists()
    assert command("check", "wgan")[0] == 0


def test_two_plugins_with_one_component_name(acme, command, workshop):
    acme()
    workshop.install("rival", GOOD)
    workshop.catalogue()
    said = command.refused("check", "wgan", "critic=mosaic")
    assert said == "command line: critic 'mosaic' is offered by 2 plugins; write acme/mosaic or rival/mosaic"
    assert command("check", "wgan", "critic=rival/mosaic")[0] == 0


def test_one_whose_network_does_not_fit(acme, command, tmp_path):
    acme("data.shape[0]", "3")
    said = command.refused("run", *SMALL, *PATCH)
    assert said.startswith("ganflow: critic 'mosaic' does not take examples of shape (1, 16, 16), which data 'digits' has")
    assert not (tmp_path / "runs").exists()


def test_one_whose_loss_or_network_raises_is_named_with_the_line(acme, command, workshop, tmp_path):
    network = ("class Net(nn.Module):", "    def forward(self, x):", "        raise ValueError('bad maths')", "return Net()")
    acme("from torch import nn\n", "\n        ".join(("from torch import nn", *network, "")))
    workshop.install("rival", LOSS)
    workshop.catalogue()
    raised = "ValueError: bad maths, in plugin '{0}' (gf-{0} 1.0), {1}/"
    for name, change in {"acme": PATCH[0], "rival": "loss=rival/boom"}.items():
        for command_line in (("run", *SMALL), ("check", "wgan", "--build")):
            said = command.refused(*command_line, change)
            assert raised.format(name, "").rstrip("/") in said
            file, line = re.search(r" (/\S+):(\d+);", said).groups()
            assert "bad maths" in Path(file).read_text().splitlines()[int(line) - 1]
            assert said.endswith("; --debug shows the traceback")
            assert "\n" not in said
    assert not (tmp_path / "runs").exists()


def test_one_that_fails_while_it_builds(acme, command, tmp_path):
    acme("from torch import nn\n", "from torch import nn\n        raise KeyError('no such thing')\n")
    said = command.refused("run", *SMALL, *PATCH)
    assert said.startswith("ganflow: plugin 'acme' (gf-acme 1.0) failed")
    assert re.search(r"KeyError: 'no such thing' \(/\S+gf_acme/__init__.py:\d+\); --debug shows the traceback$", said)
    assert not (tmp_path / "runs").exists()


OPTIMIZER = """
import torch

from ganflow import hookimpl, settings

GANFLOW_CONTRACT = 2


class Plain(torch.optim.Optimizer):
    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    def step(self):
        for p in self.param_groups[0]["params"]:
            p -= 0.1 * p.grad


@settings
class PlainSettings:
    \"\"\"Descent.\"\"\"

    @hookimpl
    def optimizer(self, parameters):
        return Plain(parameters)


@hookimpl
def register(offer):
    offer("optimizer", "plain", PlainSettings)
"""


@pytest.mark.parametrize(("old", "new", "why"), [
    ("    def step", "    state_dict = None\n\n    def step", "TypeError: 'NoneType' object is not callable"),
    ("    def step", "    def state_dict(self):\n        raise NotImplementedError\n\n    def step", "NotImplementedError"),
    ("    def step", "    def load_state_dict(self, state):\n        raise KeyError('m')\n\n    def step", "KeyError: 'm'"),
    ('super().__init__(parameters, {"lr": 0.1})', 'self.param_groups = [{"params": parameters}]',
     "AttributeError: 'Plain' object has no attribute "),
    ('{"lr": 0.1}', '{"lr": 0.1, "rule": len}', "optimizer.generator.param_groups.0.rule: a builtin_function_or_method cannot"),
    ("(torch.optim.Optimizer)", "", "gave Plain, not a torch.optim.Optimizer"),
], ids=["none", "not written", "not loaded", "not begun", "a function", "another class"])  # fmt: skip
def test_an_optimizer_that_no_checkpoint_can_keep(workshop, command, tmp_path, old, new, why):
    assert old in OPTIMIZER
    code = OPTIMIZER.replace(old, new, 1)
    workshop.install("acme", code.replace("super().__init__(parameters, ", "dict(") if why.startswith("gave") else code)
    workshop.catalogue()
    said = command.refused("run", *SMALL, "optimizer={use: acme/plain}")
    assert said.startswith("ganflow: optimizer 'acme/plain' (gf-acme 1.0): ")
    assert why in said
    assert "\n" not in said
    assert not (tmp_path / "runs").exists()


def test_a_plain_optimizer_trains_and_goes_on(workshop, command):
    workshop.install("acme", OPTIMIZER)
    workshop.catalogue()
    assert command("run", *SMALL, "optimizer={use: acme/plain}")[0] == 0
    assert command("run", "--resume", "latest", "train.rounds=3", "-q")[0] == 0


def test_a_plugin_may_offer_a_built_in_name_and_the_shipped_recipe_runs_as_before(acme, command):
    acme('offer("critic", "mosaic"', 'offer("critic", "dcgan"')
    note = "critic 'dcgan' means the built-in networks/dcgan; to have the other, write acme/dcgan (gf-acme 1.0)\n"
    assert command("check", "wgan") == (0, "wgan: ok\n", f"wgan: {note}{UNBUILT}\n")
    code, out, err = command("show", "wgan")
    assert (code, err) == (0, note)
    assert "critic:\n  use: networks/dcgan\n" in out
    loud = [word for word in SMALL if word != "-q"]
    code, _, err = command("run", *loud)
    assert code == 0
    assert err.count(note) == 1
    assert command("run", "--resume", "latest", "train.rounds=3", "-q")[0] == 0
    code, _, err = command("run", "--resume", "latest", "train.rounds=4")
    assert (code, note in err) == (0, False)  # what was kept of the recipe names the plugin
    assert command("run", *SMALL)[2] == ""
    code, _, err = command("run", *loud, "critic={use: acme/dcgan, width: 4}")
    assert (code, "built-in" in err) == (0, False)
    code, _, err = command("plugins", "--brief")
    assert code == 0
    assert err == (
        "ganflow: critic 'acme/dcgan' (gf-acme 1.0): 'dcgan' alone means the built-in networks/dcgan; write acme/dcgan\n"
    )
    assert "critic: {use: acme/dcgan" in command("plugins", "show", "acme/dcgan")[1]
    assert "critic: {use: dcgan" in command("plugins", "show", "networks/dcgan")[1]
