"""What a run calls, and when: pinned once, as one list; and numbers of one's own in its reports."""

import json

import pytest

from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs.loading import load_game
from ganflow.runs.start import resume, start

LISTENS = '''
from ganflow import AddedTerms, Metric, hookimpl, key, settings

GANFLOW_CONTRACT = 2
happened = []


class Term(AddedTerms):
    def critic_terms(self, step):
        return {"kept": step.score(step.real()).square().mean()}

    def critic_stepped(self, values):
        happened.append("the critic's terms")

    def generator_stepped(self, values):
        happened.append("the generator's terms")


class One(Metric):
    goal = "max"

    def evaluate(self, game):
        happened.append("metric")
        return {"one": 1.0}


@settings
class Listens:
    """Writes down what is called."""

    name: str = key("mine", "of a number of its own")

    @hookimpl
    def terms(self):
        return Term()

    @hookimpl
    def game_built(self, game):
        happened.append("game_built")

    @hookimpl
    def run_started(self, game):
        happened.append(f"run_started {int(game.round)}")

    @hookimpl
    def critic_stepped(self, game):
        happened.append("critic_stepped")

    @hookimpl
    def generator_stepped(self, game):
        happened.append("generator_stepped")

    @hookimpl
    def round_reported(self, game, report):
        happened.append(f"round_reported {int(game.round)}")
        report.log(self.name, report.round / 2)

    @hookimpl
    def evaluated(self, game, round, scores):
        happened.append(f"evaluated {round}")

    @hookimpl
    def checkpointed(self, game, round, path):
        happened.append(f"checkpointed {round}")

    @hookimpl
    def run_ended(self, game, status):
        happened.append(f"run_ended {status}")


@settings
class Ones:
    """One."""

    @hookimpl
    def metric(self):
        return One()


@hookimpl
def register(offer):
    offer("modifier", "listens", Listens)
    offer("metric", "one", Ones)
'''
RECIPE = """
name: events
data: {use: gaussians, layout: ring, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4, depth: 1}
critic: {use: mlp, width: 4, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
modifiers: [{use: listens}]
metrics: [{use: one}]
train: {rounds: 2, n_critic: 2, batch_size: 8, compile: never, threads: 1, report_every: 1, evaluate_every: 2,
        checkpoint_every: 2, sample_every: 100}
track: {mlflow: false}
"""


@pytest.fixture
def heard(plugin, work):
    """The list of what is called."""
    plugin("listens", LISTENS)
    (work / "events.yaml").write_text(RECIPE)
    read_recipe(work / "events.yaml")

    from gf_listens import happened

    return happened


ROUND = [*2 * ["the critic's terms", "critic_stepped"], "the generator's terms", "generator_stepped"]


def test_the_order_of_a_runs_events(heard, work):
    folder = start(read_recipe(work / "events.yaml"), work / "runs", quiet=True).folder
    seen = ["metric", "evaluated 2", "checkpointed 2"]
    assert heard == ["game_built", "run_started 0", *ROUND, "round_reported 1", *ROUND, "round_reported 2", *seen,
                     "run_ended finished"]  # fmt: skip
    heard.clear()
    resume(folder, quiet=True, overrides=["train.rounds=3"])
    seen = ["metric", "evaluated 3", "checkpointed 3"]
    assert heard == ["game_built", "run_started 2", *ROUND, "round_reported 3", *seen, "run_ended finished"]
    heard.clear()
    load_game(folder)  # to be sampled from
    assert heard == ["game_built"]


def test_numbers_of_ones_own_and_what_the_players_descend_are_in_the_journal(heard, work):
    folder = start(read_recipe(work / "events.yaml"), work / "runs", quiet=True).folder
    lines = [json.loads(line)["values"] for line in folder.journal.read_text().splitlines()]
    lines = [values for values in lines if "mine" in values]
    assert [values["mine"] for values in lines] == [0.5, 1.0]
    for values in lines:
        assert values["critic_loss"] == pytest.approx(values["critic/wasserstein"] + values["critic/kept"])
        assert values["generator_loss"] == pytest.approx(values["generator/wasserstein"])


def test_a_number_of_ones_own_needs_a_name_of_its_own(heard, work):
    with pytest.raises(GanflowError, match=r"plugin 'listens' .*'critic_loss' is reported already; use another name"):
        start(read_recipe(work / "events.yaml", ["modifiers=[{use: listens, name: critic_loss}]"]), work / "runs", quiet=True)
