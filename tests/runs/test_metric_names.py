"""Scores that several metrics call alike: none takes another's place, and the first metric says what is best."""

import json

import pytest

from ganflow.contract.game import Metric, Scores

FIXED = '''
    from ganflow import Metric, hookimpl, key, settings

    class Row(Metric):
        """Scores from a list, one after another."""

        def __init__(self, scores, goal):
            self.scores, self.goal = [dict(s) for s in scores], goal

        def evaluate(self, game):
            return {name: float(score) for name, score in self.scores.pop(0).items()}

    @settings
    class Fixed:
        """Scores that are known beforehand."""

        scores: list[dict] = key([], "at each evaluation")
        goal: str = key("min", "which is better")

        @hookimpl
        def metric(self):
            return Row(self.scores, self.goal)

    GANFLOW_CONTRACT = 2

    @hookimpl
    def register(offer):
        offer("metric", "fixed", Fixed)
'''
SMALL = (
    "ring", "generator.width=4", "critic.width=4", "data.samples=100", "train.rounds=3", "train.batch_size=4",
    "train.evaluate_every=1", "train.report_every=1", "train.compile=never", "track.mlflow=false",
)  # fmt: skip


@pytest.fixture
def played(command, workshop, tmp_path):
    """Plays three rounds with these metrics: run.json, the scores by round, and what was said."""
    workshop.install("acme", FIXED)
    workshop.catalogue()

    def play(*metrics):
        code, _, err = command("run", *SMALL, f"metrics=[{', '.join(metrics)}]")
        assert code == 0, err
        (folder,) = (tmp_path / "runs" / "ring").iterdir()
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        scores = [line["values"] for line in lines if "rounds_per_second" not in line["values"]]
        return json.loads((folder / "run.json").read_text()), scores, err

    return play


def test_one_metric_twice(played):
    about, scores, said = played("{use: sliced_wasserstein, samples: 60, projections: 8}",
                                 "{use: sliced_wasserstein, samples: 30, projections: 8, seed: 1}",
                                 "{use: sliced_wasserstein, samples: 60, projections: 8}")  # fmt: skip
    names = ["sliced_w1_60", "sliced_w1_30", "sliced_w1_60_2"]
    beside = [name + ending for name in names for ending in ("", "_error", "_floor", "_floor_error")]
    assert [list(each) for each in scores] == [beside] * 3
    assert all(each["sliced_w1_60"] == each["sliced_w1_60_2"] != each["sliced_w1_30"] for each in scores)
    assert about["best"]["metric"] == "sliced_w1_60"
    assert said.count("metrics[2] calls a score 'sliced_w1_60' as another metric does; here it is 'sliced_w1_60_2'\n") == 1


def test_the_first_metric_says_what_is_best(played):
    first = "{use: fixed, scores: [{a: 3, b: 1}, {a: 1, b: 1}, {a: 2, b: 1}], goal: min}"
    second = "{use: fixed, scores: [{b: 5, a: 1}, {b: 9, a: 2}, {b: 7, a: 1}], goal: max}"
    about, scores, _ = played(first, second)
    assert scores == [
        {"a": 3, "b": 1, "b_2": 5, "a_2": 1},
        {"a": 1, "b": 1, "b_2": 9, "a_2": 2},
        {"a": 2, "b": 1, "b_2": 7, "a_2": 1},
    ]
    assert about["best"] == {"metric": "a", "score": 1.0, "round": 2}


def test_where_the_first_metric_has_no_score_no_other_decides(played):
    other = "{use: fixed, scores: [{c: 1}, {c: 2}, {c: 0}], goal: max}"
    about, scores, _ = played("{use: fixed, scores: [{}, {a: 4}, {}]}", other)
    assert scores == [{"c": 1}, {"a": 4, "c": 2}, {"c": 0}]
    assert about["best"] == {"metric": "a", "score": 4.0, "round": 2}


def test_a_score_called_like_a_term_is_refused(command, workshop):
    workshop.install("acme", FIXED)
    workshop.catalogue()
    said = command.refused("run", *SMALL, "-q", "metrics=[{use: fixed, scores: [{lr/critic: 1}]}]")
    assert said == "ganflow: a metric calls a score 'lr/critic', which is the name of a term or an estimate of the loss"


class Named(Metric):
    def __init__(self, *names):
        self.called = names

    def evaluate(self, game):
        return {name: float(i) for i, name in enumerate(self.called)}


def test_numbered_names_are_free_ones():
    scores = Scores([Named("a", "a_2"), Named("a"), Named("a_2", "a"), Named()])
    assert scores.evaluate(lambda metric: metric.evaluate(None)) == [{"a": 0, "a_2": 1}, {"a_3": 0}, {"a_2_2": 0, "a_4": 1}, {}]
    again = Scores(scores.metrics)
    assert again.names(lambda: None) == [["a", "a_2"], ["a_3"], ["a_2_2", "a_4"], []]  # a sweep knows them beforehand
