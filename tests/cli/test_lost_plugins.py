"""A run that was made with a plugin which is not installed any more, or in another version: which, and how to get it."""

import json
import shutil

import pytest

from ganflow.runs.finding import find_run

CODE = """
from ganflow import ScoreLoss, hookimpl, settings

GANFLOW_CONTRACT = 2


class Plain(ScoreLoss):
    def critic_loss(self, real, fake):
        return fake.mean() - real.mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()


@settings
class PlainSettings:
    \"\"\"The difference of scores.\"\"\"

    @hookimpl
    def loss(self):
        return Plain()


@hookimpl
def register(offer):
    offer("loss", "plain", PlainSettings)
"""
SMALL = ("wgan", "-q", "loss=acme/plain", "generator.width=4", "critic.width=4", "train.rounds=2", "train.batch_size=4",
         "train.compile=never", "track.mlflow=false", "metrics=[sliced_wasserstein]")  # fmt: skip
GET = "get it by: pip install gf-acme==1.0 (or from its folder: pip install FOLDER)"


@pytest.fixture
def lost(workshop, command, tmp_path):
    """A run of a plugin that is uninstalled after it."""
    site = workshop.install("acme", CODE)
    workshop.catalogue()
    assert command("run", *SMALL)[0] == 0
    workshop.clean()
    shutil.rmtree(site)
    workshop.catalogue()
    return find_run("latest", tmp_path / "runs")


@pytest.mark.parametrize("words", [
    ("sample", "latest", "-n", "4"), ("run", "--resume", "latest", "train.rounds=3", "-q"), ("evaluate", "latest"),
], ids=lambda words: words[0])  # fmt: skip
def test_every_command_names_it(lost, command, words):
    said = command.refused(*words)
    assert said == f"ganflow: run {lost.id} was made with plugin 'acme' of gf-acme 1.0, which is not installed; {GET}"


def test_the_run_is_shown_all_the_same(lost, command):
    code, out, err = command("runs", "show", "latest")
    assert (code, err) == (0, "")
    assert f"gf-acme 1.0; {GET}" in " ".join(out.split())
    facts = json.loads(command("runs", "show", "latest", "--json")[1])
    assert facts["absent"] == {"acme": {"distribution": "gf-acme", "version": "1.0"}}


def test_another_version_that_lacks_the_component(lost, command, workshop):
    workshop.install("acme", version="2.0", folder="second")  # which offers a critic alone
    workshop.catalogue()
    said = command.refused("sample", "latest", "-n", "4")
    assert said == f"ganflow: run {lost.id} was made with plugin 'acme' of gf-acme 1.0, and there is gf-acme 2.0 now; {GET}"


def test_another_version_that_has_it_is_used(lost, command, workshop):
    workshop.install("acme", CODE, version="2.0", folder="second")
    workshop.catalogue()
    assert command("sample", "latest", "-n", "4", "-o", "grid.png")[0] == 0


@pytest.mark.parametrize("plugin", [{"distribution": "--pre", "version": "1.0"}, {"distribution": "a", "version": "1; b"}])
def test_a_strangers_record_gives_no_command(lost, command, plugin):
    lost.update(plugins={"acme": plugin})
    assert command.refused("sample", "latest").endswith("which is not installed; install what offers it")
