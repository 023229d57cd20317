"""Domains as Optuna's distributions: what its samplers draw is in the domain, and every value goes there and back unchanged."""

import random

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ganflow.space.domains import Discrete
from ganflow.space.scales import read_domain

SECTIONS = [{"use": "wgan/wasserstein"}, [{"use": "gradient_penalty", "weight": 10}], "hinge"]
LONG = [{"use": "mlp", "width": 128, "norm": "layer", "depth": depth} for depth in (2, 3)]
CASES = [
    ("uniform", [-1, 3], FloatDistribution(-1, 3)),
    ("loguniform", [1e-5, 1e-1], FloatDistribution(1e-5, 1e-1, log=True)),
    ("quniform", [0.1, 0.95, 0.2], FloatDistribution(0.1, 0.9, step=0.2)),
    ("quniform", [16, 70, 16], IntDistribution(16, 64, step=16)),
    ("quniform", [0, 1, 1 / 3], IntDistribution(0, 3)),  # three steps of 0.3333333333333333 do not meet 1
    ("randint", [3, 7], IntDistribution(3, 6)),
    ("qrandint", [3, 17, 7], IntDistribution(3, 17, step=7)),
    ("lograndint", [1, 1000], IntDistribution(1, 999, log=True)),
    ("qlograndint", [8, 512, 8], FloatDistribution(8, 520, log=True)),  # to the last step's end
    ("qloguniform", [0.1, 9, 0.1], FloatDistribution(0.1, 9.1, log=True)),
    ("qloguniform", [1e-4, 1e-2, 1e-4], FloatDistribution(1e-4, 1.01e-2, log=True)),
    ("normal", [2, 0.5], FloatDistribution(0, 1)),
    ("normal", [-1e-4, 1e-5], FloatDistribution(0, 1)),
    ("choice", ["a", None, 2, 0.5, False], CategoricalDistribution(["a", None, 2, 0.5, False])),
    ("choice", SECTIONS, CategoricalDistribution(
        ["{use: wgan/wasserstein}", "[{use: gradient_penalty, weight: 10}]", "hinge"])),
    ("choice", LONG, CategoricalDistribution(
        ["{use: mlp, width: 128, norm: layer, dep… #1", "{use: mlp, width: 128, norm: layer, dep… #2"])),
    ("grid", [1, True, "true"], CategoricalDistribution(["1 #1", "true #2", "true"])),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "given", "distribution"), CASES)
def test_the_same_distribution(kind, given, distribution):
    assert read_domain(kind, given).distribution == distribution


@pytest.mark.parametrize(("kind", "given"), [case[:2] for case in CASES])
def test_every_value_goes_there_and_back(kind, given):
    domain, rng = read_domain(kind, given), random.Random(0)
    every = domain if isinstance(domain, Discrete) else ()
    for value in [*every, *domain.edges(), *(domain.sample(rng) for _ in range(500))]:
        again = domain.external(domain.internal(value))
        assert (again, type(again)) == (value, type(value))


def test_normal_values_go_there_and_back_whatever_the_scale():
    rng = random.Random(1)
    for _ in range(1000):
        domain = read_domain("normal", [rng.uniform(-1, 1) * 10 ** rng.randint(-6, 6), 10 ** rng.uniform(-6, 6)])
        for value in [*domain.edges(), domain.sample(rng)]:
            assert domain.external(domain.internal(value)) == value


@pytest.mark.parametrize(("kind", "given"), [case[:2] for case in CASES])
def test_what_a_study_asks_for_is_in_the_domain(kind, given, tmp_path):
    """Through a study in a file, as Optuna's dashboard reads it."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "study")))
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    domain = read_domain(kind, given)
    for _ in range(20):
        trial = study.ask({"key": domain.distribution})
        value = domain.external(trial.params["key"])
        assert domain.contains(value)
        assert domain.distribution._contains(domain.distribution.to_internal_repr(domain.internal(value)))
        study.tell(trial, 0.0)
    kept = optuna.load_study(study_name=study.study_name, storage=storage)
    assert all(trial.distributions["key"] == domain.distribution for trial in kept.trials)
