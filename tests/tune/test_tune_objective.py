"""What trials are judged by: names known before anything is trained, mistakes told by line."""

import pytest
import torch

from ganflow import hookimpl, settings
from ganflow.contract.game import Metric
from ganflow.errors import GanflowError, RecipeError
from ganflow.plugins import Component
from ganflow.recipe import read_recipe
from ganflow.testing import check_component
from ganflow.tune.objectives import Reports, find_objectives

RECIPE = """
name: small
data: {use: gaussians, layout: ring, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: {use: wasserstein}
optimizer: {use: adam, lr: 1.0e-3}
modifiers: [{use: ema}]
train: {rounds: 20, batch_size: 16, n_critic: 3, accumulate: 2, precision: bf16, device: "cuda:3"}
"""


@pytest.fixture
def write(tmp_path):
    def write(tune, metrics="[]"):
        file = tmp_path / "small.yaml"
        file.write_text(f"{RECIPE}metrics: {metrics}\ntune:\n" + "".join(f"  {line}\n" for line in tune.split("; ")))
        return read_recipe(file)

    return write


TWICE = "[{use: frechet, samples: 50}, {use: modes, samples: 50}, {use: frechet, samples: 50}, {use: modes, samples: 50}]"
FRECHET = "[{use: frechet, samples: 100}, {use: modes, samples: 50}]"


@pytest.mark.parametrize(
    ("tune", "metrics", "found"),
    [
        ("trials: 2", FRECHET, ("frechet_100", "min")),
        ("metric: modes_50", FRECHET, ("modes_50", "max")),
        ("metric: modes", FRECHET, ("modes_50", "max")),
        ("metric: metrics/modes", FRECHET, ("modes_50", "max")),
        ("metric: modes_50; mode: min", FRECHET, ("modes_50", "min")),
        ("metric: high_quality_50; mode: max", FRECHET, ("high_quality_50", "max")),
        ("trials: 2", TWICE, ("frechet_50", "min")),
        ("metric: frechet_50_2", TWICE, ("frechet_50_2", "min")),
        ("metric: modes_50_2", TWICE, ("modes_50_2", "max")),
        ("metric: high_quality_50_2; mode: max; stop: {high_quality_50: 1}", TWICE, ("high_quality_50_2", "max")),
        ("metric: w_estimate; mode: min", "[]", ("w_estimate", "min")),
        ("metric: critic/wasserstein; mode: max", FRECHET, ("critic/wasserstein", "max")),
        ("metric: modes_50; stop: {round: 5, seconds: 9, modes_50: 8, w_estimate: 0}", FRECHET, ("modes_50", "max")),
    ],
)
def test_found(write, tune, metrics, found):
    """On a machine without the recipe's device."""
    assert find_objectives(write(tune, metrics)) == dict([found])


@pytest.mark.parametrize(
    ("tune", "metrics", "said"),
    [
        ("metric: frechett", FRECHET, "tune.metric: 'frechett' is not among what this recipe reports; did you mean 'frechet'?"),
        ("metric: frechet_10", FRECHET, "did you mean 'frechet_100'?"),
        ("metric: wasserstein", "[]", "did you mean 'critic/wasserstein'?"),
        ("metric: loss", "[]",
         "(terms: critic/wasserstein, generator/wasserstein, generator_loss, critic_loss; estimates: w_estimate)"),
        ("metric: loss", FRECHET,
         "(scores: frechet_100, modes_50, high_quality_50, sigma_inside_50, reverse_kl_50; terms: critic/wasserstein, "),
        ("trials: 3", "[]", "tune.metric: needed, for the recipe has no metrics; name one of terms: critic/wasserstein"),
        ("metric: w_estimate", "[]", "tune.mode: needed, for nothing says whether a smaller 'w_estimate' is better"),
        ("metric: high_quality_50", FRECHET, "tune.mode: needed"),
        ("stop: {rounds: 7}", FRECHET, "tune.stop: 'rounds' is not among what this recipe reports; did you mean 'round'?"),
        ("stop: {seconds: 0}", FRECHET,
         "tune.stop: every trial would end at its first report, for seconds: 0; use a number above 0"),
        ("metric: [frechet, frechet_100]", FRECHET, "tune.metric[1]: 'frechet_100' is named already; name each metric once"),
    ],
)
def test_refused_by_line(write, tune, metrics, said):
    with pytest.raises(RecipeError) as refused:
        find_objectives(write(tune, metrics))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    line = 13 if tune.startswith(("metric", "stop")) else 12
    assert f"small.yaml:{line}: " in str(refused.value)


def test_every_loss_of_the_space_must_report_it(write):
    recipe = write("metric: w_estimate; mode: min")
    others = [read_recipe(recipe.file, [f"loss={loss}"]) for loss in ("wasserstein", "hinge")]
    assert find_objectives(recipe, others[:1]) == {"w_estimate": "min"}
    with pytest.raises(RecipeError, match="'w_estimate' is not reported by trials with loss: vanilla/hinge, which the space"):
        find_objectives(recipe, others)


def test_no_game_is_built_for_a_score(write, monkeypatch):
    from ganflow.engine import build

    monkeypatch.setattr(build, "build_game", None)
    assert find_objectives(write("trials: 2", FRECHET)) == {"frechet_100": "min"}
    with pytest.raises(TypeError):
        Reports(write("trials: 2", FRECHET)).names  # noqa: B018


LATE = """
from ganflow import AddedTerms, hookimpl, settings

GANFLOW_CONTRACT = 2

class Term(AddedTerms):
    begin = 15
    def critic_terms(self, step):
        return {"late": step.scores()[0].mean()}

@settings
class Late:
    @hookimpl
    def terms(self):
        return Term()

@hookimpl
def register(offer):
    offer("modifier", "late", Late)
"""


def test_a_term_that_begins_late_has_a_name(workshop, write):
    workshop.install("lates", LATE)
    workshop.catalogue()
    recipe = read_recipe(write("metric: critic/late; mode: min").file, ["modifiers=[{use: late}]"])
    assert find_objectives(recipe) == {"critic/late": "min"}


def test_a_metric_that_scores_nothing_is_passed_over(workshop, write):
    workshop.install("rulers", SILENT.replace('return {"mean": float(game.samples(4).mean()), "more": 0.0}', "return {}"))
    workshop.catalogue()
    assert find_objectives(write("trials: 2", "[{use: silent}, {use: modes, samples: 50}]")) == {"modes_50": "max"}


SILENT = """
import torch
from ganflow import hookimpl, settings
from ganflow.contract.game import Metric

GANFLOW_CONTRACT = 2

class Mean(Metric):
    goal = "max"
    def evaluate(self, game):
        return {"mean": float(game.samples(4).mean()), "more": 0.0}

@settings
class Silent:
    @hookimpl
    def metric(self, data):
        return Mean()

@settings
class Broken:
    @hookimpl
    def metric(self, data):
        raise RuntimeError("no ruler")

@hookimpl
def register(offer):
    offer("metric", "silent", Silent)
    offer("metric", "broken", Broken)
"""


def test_a_metric_that_does_not_say_its_names_is_evaluated_once(workshop, write):
    workshop.install("rulers", SILENT)
    workshop.catalogue()
    assert find_objectives(write("trials: 2", "[{use: silent}]")) == {"mean": "max"}
    with pytest.raises(GanflowError, match=r"'rulers' .* failed when the sweep's objective was looked for: .*no ruler"):
        find_objectives(write("trials: 2", "[{use: broken}]"))


def test_a_first_round_that_diverges_has_names_all_the_same(write):
    recipe = write("metric: critic/wasserstein; mode: max")
    recipe.optimizers["critic"].settings.lr = 1e38
    recipe.train.seed = 1
    assert find_objectives(recipe) == {"critic/wasserstein": "max"}


class Lying(Metric):
    names = ("one",)

    def evaluate(self, game):
        return {"two": float(torch.zeros(()))}


@settings
class LyingSettings:
    """Says another name than its score has."""

    @hookimpl
    def metric(self, data):
        return Lying()


def test_the_conformance_suite_compares_the_names():
    with pytest.raises(AssertionError, match=r"'names' says \('one',\), and the scores are called \('two',\)"):
        check_component(Component("metric", "lying", "testing", LyingSettings))
