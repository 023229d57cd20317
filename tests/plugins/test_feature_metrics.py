"""Metrics on features against the libraries people trust, closed forms and figures by hand; repeats, floors and protocols."""

import dataclasses
import json
import math

import ganflow_metrics
import numpy as np
import pytest
import torch
from ganflow_metrics.classes import inception_score, kl, shares, total_variation
from ganflow_metrics.compared import RealParts, training_examples
from ganflow_metrics.diversity import mean_distance
from ganflow_metrics.extractors import Extractor
from ganflow_metrics.frechet import frechet
from ganflow_metrics.kernel import KernelMetric, kernel_distance
from ganflow_metrics.neighbours import density_coverage, nearest, precision_recall
from ganflow_metrics.repeats import warn_once
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from ganflow.contract.data import StreamData, TensorData
from ganflow.errors import GanflowError


class Player:
    """A game whose samples with a seed are these."""

    def __init__(self, *samples):
        self.each, self.asked = samples, []

    def samples(self, n, seed):
        self.asked.append((n, seed))
        return self.each[len(self.asked) - 1 if len(self.each) > 1 else 0][:n]


def normal(n, d, seed, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def points(train, held_out):
    return TensorData("points", {"real": train}, {"real": held_out})


class Network(torch.nn.Module):
    """A small network of images, whose features are known to nobody else."""

    num_features = 12

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 12), torch.nn.Tanh()).double()
        with torch.no_grad():
            self.layers[1].weight.copy_(normal(12, 64, 9) / 8)

    def forward(self, x):
        return self.layers(x).detach()


def images(n, seed, scale=1.0):
    return scale * normal(n, 64, seed).view(n, 1, 8, 8)


@pytest.mark.parametrize("counts", [(300, 300), (500, 200)])
def test_frechet_agrees_with_torchmetrics(counts):
    real, fake, network = images(counts[0], 0), images(counts[1], 1, 1.5) + 0.1, Network()
    theirs = FrechetInceptionDistance(feature=network, normalize=True, input_img_size=(1, 8, 8)).set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    assert frechet(network(fake), network(real)) == pytest.approx(float(theirs.compute()), rel=1e-6)


BUFFER = "ignore:Metric .* will save all extracted features in buffer"


@pytest.mark.filterwarnings(BUFFER)
def test_kernel_distance_agrees_with_torchmetrics_and_scikit_learn():
    real, fake, network = images(200, 0), images(200, 1, 1.5), Network()
    theirs = KernelInceptionDistance(feature=network, subsets=1, subset_size=200, normalize=True)
    theirs.set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    x, y = network(fake), network(real)
    assert kernel_distance(x, y) == pytest.approx(float(theirs.compute()[0]), rel=1e-6)
    x = x[:150]  # of different counts
    k = [polynomial_kernel(a, b, degree=3, gamma=1 / 12, coef0=1) for a, b in ((x, x), (y, y), (x, y))]
    within = [(m.sum() - np.trace(m)) / (len(m) * (len(m) - 1)) for m in k[:2]]
    assert kernel_distance(x, y) == pytest.approx(within[0] + within[1] - 2 * k[2].mean(), rel=1e-9)


def test_kernel_distance_is_without_bias_where_frechet_is_not():
    same = [(normal(20, 5, 2 * i), normal(20, 5, 2 * i + 1)) for i in range(400)]
    kernels = [kernel_distance(*pair) for pair in same]
    assert abs(np.mean(kernels)) < 3 * np.std(kernels) / 20
    assert min(kernels) < 0
    assert np.mean([frechet(*pair) for pair in same]) > 0.5  # of distributions that are the same


def test_kernel_distance_of_parts():
    data = points(normal(400, 3, 0), normal(300, 3, 1))
    fake = normal(500, 3, 2) + 0.5
    whole = ganflow_metrics.KernelDistance(samples=500, repeats=1).metric(data).evaluate(Player(fake))["kernel_distance_500"]
    metric = ganflow_metrics.KernelDistance(samples=500, subset=100, subsets=60, repeats=1).metric(data)
    parts = metric.evaluate(Player(fake))["kernel_distance_500"]
    assert whole == pytest.approx(kernel_distance(fake, data.held_out["real"]))
    assert parts == pytest.approx(whole, rel=0.1)
    assert parts != whole
    assert metric.protocol["subset"] == 100


def balls(x, k):
    """Distances of the k-th neighbours among the others, by scikit-learn."""
    return NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, k]


@pytest.mark.parametrize("counts", [(200, 200), (150, 260)])
def test_neighbourhoods_agree_with_scikit_learn(counts):
    made, real = normal(counts[0], 4, 0).numpy() * 0.7 + 0.3, normal(counts[1], 4, 1).numpy()
    found = (*precision_recall(*map(torch.from_numpy, (made, real))), *density_coverage(*map(torch.from_numpy, (made, real))))
    distances = np.linalg.norm(made[:, None] - real[None], axis=2)
    precision = (distances <= balls(real, 3)[None]).any(1).mean()
    recall = (distances <= balls(made, 3)[:, None]).any(0).mean()
    density = (distances <= balls(real, 5)[None]).sum() / (5 * counts[0])
    coverage = (NearestNeighbors(n_neighbors=1).fit(made).kneighbors(real)[0][:, 0] <= balls(real, 5)).mean()
    assert found == pytest.approx((precision, recall, density, coverage), abs=1e-12)
    assert 0.3 < coverage < 1


def test_neighbourhoods_by_hand():
    # on a line, real 0, 1, 2, 10; first neighbours are 1, 1, 1 and 8 away: balls [−1, 1], [0, 2], [1, 3] and [2, 18]
    real, made = torch.tensor([[0.0], [1], [2], [10]]).double(), torch.tensor([[-0.5], [1.5], [2.5], [19], [-9]]).double()
    # made: −0.5 in one ball, 1.5 in two, 2.5 in two; 19 and −9 in none
    assert precision_recall(made, real, k=1)[0] == pytest.approx(3 / 5)
    assert density_coverage(made, real, k=1) == (pytest.approx(5 / 5), 1)
    # made's own first neighbours: −0.5 and 1.5: 2 and 1, 2.5: 1, 19: 16.5, −9: 8.5; balls [−2.5, 1.5], [.5, 2.5], …, [2.5, 35.5]
    assert precision_recall(made, real, k=1)[1] == 1
    assert precision_recall(made[:3], real, k=1)[1] == pytest.approx(3 / 4)  # 10 is in none
    assert density_coverage(made[:1], real, k=1) == (1, pytest.approx(1 / 4))


def test_density_and_coverage_of_samples_of_one_distribution():
    # Naeem et al. 2020: the means are 1 and 1 − (N − 1) … (N − k) / (2N − 1) … (2N − k), 0.9695 for N = 200, k = 5
    wanted = 1 - math.prod((200 - i) / (400 - i) for i in range(1, 6))
    found = np.array([density_coverage(normal(200, 3, 2 * i), normal(200, 3, 2 * i + 1)) for i in range(60)])
    errors = found.std(0) / math.sqrt(60)
    assert abs(found[:, 0].mean() - 1) < 3.5 * errors[0]
    assert abs(found[:, 1].mean() - wanted) < 3.5 * errors[1]


def test_precision_and_recall_of_what_is_narrow_and_of_what_is_noise():
    data = points(normal(500, 2, 0), normal(300, 2, 1))
    metric = ganflow_metrics.PrecisionRecall(repeats=1).metric(data)
    narrow, wide = (metric.evaluate(Player(scale * normal(300, 2, 2))) for scale in (0.1, 20))
    assert metric.names[::2] == ["precision_300", "recall_300", "density_300", "coverage_300"]
    assert metric.names[1] == "precision_300_floor"
    assert narrow["precision_300"] > 0.75 > 0.2 > narrow["recall_300"]
    assert wide["precision_300"] < 0.1 < 0.5 < wide["recall_300"]
    assert narrow["coverage_300"] < 0.3
    assert narrow["coverage_300_floor"] == pytest.approx(0.97, abs=0.03)


def test_inception_score_in_closed_form():
    assert inception_score(torch.eye(7).double().repeat(3, 1)) == pytest.approx(7)  # sure, and all as frequent
    assert inception_score(torch.full((20, 7), 1 / 7).double()) == pytest.approx(1)  # knows nothing
    assert inception_score(torch.eye(7).double()[torch.zeros(20).long()]) == pytest.approx(1)  # one class alone
    # two sure classes of shares ¼ and ¾: the exponential of their entropy
    rows = torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1]]).double()
    assert inception_score(rows) == pytest.approx(4 / 3**0.75)


@pytest.mark.filterwarnings(BUFFER, "ignore:std")  # of a single split
def test_inception_score_agrees_with_torchmetrics():
    pictures, network = images(100, 3), Network()
    theirs = InceptionScore(feature=network, splits=1).set_dtype(torch.float64)
    theirs.update(pictures)
    assert inception_score(network(pictures).softmax(1)) == pytest.approx(float(theirs.compute()[0]), rel=1e-6)


def test_balance_of_classes_in_closed_form():
    p, q = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.25, 0.25, 0.5]).double()
    assert total_variation(p, q) == pytest.approx(0.5)
    assert kl(p, q) == pytest.approx(math.log(2))
    assert kl(q, p) == math.inf
    assert kl(q, q) == total_variation(q, q) == 0
    assert shares(torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.6, 0.4], [0.0, 1.0]])).tolist() == [0.25, 0.75]


def test_copied_training_examples_are_found_out():
    train, held_out = normal(400, 5, 0, torch.float32), normal(200, 5, 1, torch.float32)
    metric = ganflow_metrics.NearestNeighbours(samples=300, repeats=1).metric(points(train, held_out))
    assert metric.names == ["nearest_ratio_300", "copies_300"]
    copied = metric.evaluate(Player(train[torch.randperm(400)]))
    assert copied == {"nearest_ratio_300": pytest.approx(0, abs=1e-4), "copies_300": 1}
    fresh = metric.evaluate(Player(normal(300, 5, 2, torch.float32)))
    assert fresh["nearest_ratio_300"] == pytest.approx(1, abs=0.1)
    assert fresh["copies_300"] < 0.05
    half = metric.evaluate(Player(torch.cat([train[:150], normal(150, 5, 2, torch.float32)])))
    assert half["copies_300"] == pytest.approx(0.5, abs=0.03)
    assert half["nearest_ratio_300"] == pytest.approx(0.5, abs=0.06)


def test_nearest_agrees_with_scikit_learn():
    x, among = normal(50, 3, 0), normal(9000, 3, 1)  # more than are compared at once
    wanted = NearestNeighbors(n_neighbors=1).fit(among).kneighbors(x)[0][:, 0]
    torch.testing.assert_close(nearest(x, among), torch.from_numpy(wanted))


def test_diversity_is_that_of_the_data_at_one():
    x = normal(60, 4, 0)
    assert mean_distance(x) == pytest.approx(pdist(x.numpy()).mean())
    data = points(normal(500, 4, 1), normal(400, 4, 2))
    metric = ganflow_metrics.Diversity(repeats=1).metric(data)
    found = [metric.evaluate(Player(scale * data.held_out["real"] + 3))["diversity_256"] for scale in (1, 0.5, 0)]
    assert found == pytest.approx([1, 0.5, 0], rel=0.05, abs=1e-3)
    assert metric.evaluate(Player(x.repeat(5, 1)))["diversity_256_floor"] == pytest.approx(1, abs=0.1)


REPEATED = {
    "frechet_200": ganflow_metrics.Frechet(samples=200, repeats=3, seed=5),
    "kernel_distance_200": ganflow_metrics.KernelDistance(samples=200, seed=5),
    "precision_200": ganflow_metrics.PrecisionRecall(samples=200, seed=5),
    "diversity_200": ganflow_metrics.Diversity(samples=200, seed=5),
    "nearest_ratio_200": ganflow_metrics.NearestNeighbours(samples=200, repeats=3, seed=5),
}


@pytest.mark.parametrize("name", REPEATED)
def test_a_score_is_the_mean_over_draws_and_has_an_error_and_a_protocol(name):
    data, component = points(normal(300, 3, 0), normal(250, 3, 1)), REPEATED[name]
    draws = [normal(200, 3, 2), normal(200, 3, 3) * 1.2, normal(200, 3, 4) + 0.2]
    metric, game = component.metric(data), Player(*draws)
    scores = metric.evaluate(game)
    assert list(scores) == metric.names
    assert game.asked == [(200, 5), (200, 6), (200, 7)]
    component.repeats = 1
    alone = component.metric(data)
    each = [alone.evaluate(Player(draw))[name] for draw in draws]
    component.repeats = 3
    assert f"{name}_error" not in alone.names
    assert scores[name] == pytest.approx(np.mean(each))
    assert scores[f"{name}_error"] == pytest.approx(np.std(each, ddof=1) / math.sqrt(3))
    if not name.startswith("nearest"):
        floor = alone.evaluate(Player(training_examples(data, 200)))[name]  # as many real examples, none of them held out
        assert scores[f"{name}_floor"] == pytest.approx(floor)
        assert f"{name}_floor_error" not in scores  # of 200 examples, of 300, there is one sample
    assert json.loads(json.dumps(metric.protocol)) == metric.protocol
    assert {**metric.protocol, "samples": 200, "seed": 5, "repeats": 3} == metric.protocol
    other = component.metric(points(normal(300, 3, 0), normal(250, 3, 9)))
    assert other.protocol != metric.protocol


@pytest.mark.parametrize("name", REPEATED)
def test_what_is_not_finite_is_not_the_best_score(name):
    metric = REPEATED[name].metric(points(normal(300, 3, 0), normal(250, 3, 1)))
    scores = metric.evaluate(Player(torch.full((200, 3), math.nan)))
    assert list(scores) == metric.names
    assert math.isnan(scores[name])


FEW = {"frechet": 10, "kernel_distance": 10, "precision_recall": 30, "diversity": 10, "nearest_neighbours": 10}


@pytest.mark.parametrize(("component", "wanted"), [*zip(REPEATED.values(), FEW.items(), strict=True)])
def test_too_few_held_out_examples_are_refused(component, wanted):
    name, least = wanted
    with pytest.raises(GanflowError, match=rf"metric {name} compares with held-out examples, and data points has 3; "
                                           rf"raise data\.held_out of a new run: it wants {least} at least"):  # fmt: skip
        component.metric(points(normal(300, 3, 0), normal(3, 3, 1)))


@pytest.mark.parametrize("name", [name for name in REPEATED if not name.startswith("nearest")])
def test_a_floor_is_of_the_same_counts_or_there_is_none(name, caplog):
    """199 examples score otherwise than 200 do: Fréchet distances of fewer are larger."""
    warn_once.cache_clear()
    metric = REPEATED[name].metric(points(normal(199, 3, 0), normal(250, 3, 1)))
    assert f"{name}_floor" not in metric.names
    assert metric.protocol["floor"] == "none"
    scores = metric.evaluate(Player(normal(200, 3, 2), normal(200, 3, 3), normal(200, 3, 4)))
    assert list(scores) == metric.names
    (said,) = [text for text in caplog.messages if "floor" in text]
    assert "it draws 200 samples, and data points has 199 training examples; with samples=199 it would have one" in said
    enough = dataclasses.replace(REPEATED[name], samples=199).metric(points(normal(199, 3, 0), normal(250, 3, 1)))
    assert enough.protocol["floor"] == "1 × 199 training examples"


@pytest.mark.parametrize("name", [name for name in REPEATED if not name.startswith("nearest")])
def test_a_floor_of_several_samples_is_their_mean_with_its_standard_error(name):
    """The samples are taken from the training examples by hand, in the order of one random permutation."""
    data = points(normal(2050, 3, 0), normal(250, 3, 1))
    rows = torch.randperm(2050, generator=torch.Generator().manual_seed(0)).split(200)[:10]
    alone = dataclasses.replace(REPEATED[name], repeats=1, seed=0).metric(data)
    each = [alone.evaluate(Player(data.train["real"][some]))[name] for some in rows]
    found = alone.evaluate(Player(data.train["real"]))
    assert found[f"{name}_floor"] == pytest.approx(np.mean(each))
    assert found[f"{name}_floor_error"] == pytest.approx(np.std(each, ddof=1) / math.sqrt(10))


def test_seeds_have_other_training_examples_for_the_floor_and_other_held_out_ones_where_as_many_are_taken():
    data = points(normal(8000, 3, 0), normal(250, 3, 1))
    first, second, third = (ganflow_metrics.PrecisionRecall(samples=100, seed=seed).metric(data) for seed in (0, 3, 6))
    assert len(torch.cat([first.real, second.real]).unique(dim=0)) == 200
    assert torch.equal(first.real, third.real)  # of 250 there are two samples
    others = torch.cat([metric._others[i][:] for metric in (first, second, third) for i in range(16)])
    assert len(others.unique(dim=0)) == 4800


def test_a_network_reads_as_many_real_samples_as_generated_ones():
    """Its features take long: so the floor takes as long as the score."""

    class Network(Extractor):
        label, digest = "_net", "1"

        def features(self, examples):
            return examples.double()

    data = points(normal(2000, 3, 0), normal(250, 3, 1))
    made = [KernelMetric(data, Network(), 100, 0, repeats, 1000, 10) for repeats in (3, 1)]
    assert [len(metric._others) for metric in made] == [3, 1]
    assert [f"{metric.names[0]}_floor_error" in metric.names for metric in made] == [True, False]


def test_a_singular_covariance_is_said_and_what_would_do(caplog):
    pictures = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    ganflow_metrics.Frechet(samples=80).metric(points(pictures, pictures[:50] + 0.01))
    (said,) = caplog.messages
    assert "the covariance of 50 held-out examples in 64 dimensions is singular" in said
    assert "65 are wanted (data.held_out of a new run)" in said
    caplog.clear()
    ganflow_metrics.Frechet(samples=80).metric(points(pictures, pictures[:70] + 0.01))
    assert not caplog.messages


def test_examples_of_folders_are_loaded_and_none_of_iterables():
    class Stream(StreamData):
        name, size, held_out = "stream", 40, {"real": normal(30, 2, 1)}
        fields = TensorData("", {"real": torch.zeros(1, 2)}).fields

        def load(self, index, rng):
            return None if index == 7 else {"real": torch.tensor([float(index), float(torch.rand((), generator=rng))])}

        def fingerprint(self):
            return ""

    found = training_examples(Stream(), 100)
    assert sorted(found[:, 0].tolist()) == [i for i in range(40) if i != 7]
    assert torch.equal(found, training_examples(Stream(), 100))
    assert len(training_examples(Stream(), 20)) in (19, 20)
    parts = RealParts(Stream(), "frechet", 9, 0, 3)  # read from files: as many as draws, of what can be read
    indices = torch.cat([parts[i][:][:, 0] for i in range(len(parts))]).tolist()
    assert len(parts) in (2, 3)
    assert len(set(indices)) == 9 * len(parts)
    assert 7 not in indices
    assert len(RealParts(Stream(), "frechet", 41, 0, 3)) == 0
