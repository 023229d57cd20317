"""Wasserstein distances and the maximum mean discrepancy against closed forms and scipy."""

import logging
import math

import ganflow_metrics
import numpy as np
import pytest
import torch
from ganflow_data import Digits, Gaussians
from ganflow_metrics.mmd import median_distance, squared_mmd
from ganflow_metrics.transport import earth_movers, sliced_wasserstein
from metric_helpers import Player, of_mixture
from scipy.spatial.distance import pdist
from scipy.stats import sem, wasserstein_distance

from ganflow.contract.data import Data, Field, TensorData
from ganflow.errors import GanflowError

RING = Gaussians(layout="ring").data()


def normal(n, d, seed, mean=0.0, std=1.0):
    return mean + std * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_emd_on_a_line_is_scipys():
    a, b = normal(300, 1, 0), normal(200, 1, 1, mean=0.4, std=2)
    assert earth_movers(a, b) == pytest.approx(wasserstein_distance(a[:, 0], b[:, 0]), rel=1e-9)


def test_emd_of_gaussians_on_a_line_is_the_difference_of_their_means():
    a, b = normal(1200, 1, 0), normal(1200, 1, 1, mean=1.5)
    assert earth_movers(a, b) == pytest.approx(1.5, abs=4 * math.sqrt(2 / 1200))  # four standard errors of that difference


@pytest.mark.parametrize("d", [2, 5])
def test_emd_of_a_shift_is_its_length(d):
    x, shift = normal(150, d, 0), torch.arange(d, dtype=torch.float64)
    shuffled = x[torch.randperm(150, generator=torch.Generator().manual_seed(0))]
    assert earth_movers(x, shuffled + shift) == pytest.approx(float(shift.norm()), rel=1e-9)
    assert earth_movers(x, shuffled) == pytest.approx(0, abs=1e-12)


def test_emd_by_hand():
    a, b = torch.tensor([[0.0, 0.0], [4.0, 0.0]]).double(), torch.tensor([[4.0, 3.0], [0.0, 1.0]]).double()
    assert earth_movers(a, b) == pytest.approx((1 + 3) / 2)  # not 5 and √17


def test_sliced_wasserstein_of_a_shift():
    # W1 of a shift v along θ is |θ·v|; over the circle its mean is 2|v|/π
    x = normal(100, 2, 0)
    got = sliced_wasserstein(x, x[torch.randperm(100)] + torch.tensor([3.0, 4.0]), 20_000, seed=0)
    assert got == pytest.approx(5 * 2 / math.pi, rel=0.02)
    assert sliced_wasserstein(x, x, 16, seed=0) == 0


def test_sliced_wasserstein_in_one_dimension_is_exact():
    a, b = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[9.0], [0.0], [1.0]])
    assert sliced_wasserstein(a, b, 4, seed=0) == pytest.approx(4 / 3)


def test_mmd_of_gaussians_is_the_closed_form():
    """With a Gaussian kernel of width h in d dimensions E k(x, y) of N(μ, s² I) and N(ν, t² I) is
    (h² / (h² + s² + t²))^(d/2) exp(−|μ − ν|² / (2 (h² + s² + t²)))."""

    def expected_kernel(h, s, t, distance, d):
        total = h**2 + s**2 + t**2
        return (h**2 / total) ** (d / 2) * math.exp(-(distance**2) / (2 * total))

    h, t, mean, d = 1.3, 1.5, 0.8, 2
    far = mean * math.sqrt(d)
    expected = expected_kernel(h, 1, 1, 0, d) + expected_kernel(h, t, t, 0, d) - 2 * expected_kernel(h, 1, t, far, d)
    pairs = ((normal(100, d, seed), normal(100, d, 10_000 + seed, mean=mean, std=t)) for seed in range(300))
    found = [squared_mmd(x, y, h) for x, y in pairs]
    assert np.std(found) / math.sqrt(300) < 0.02 * expected
    assert abs(np.mean(found) - expected) < 3 * np.std(found) / math.sqrt(300)


def test_mmd_by_hand_and_unbiased():
    x, y = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([[0.0], [2.0], [2.0]]).double()
    k = {distance: math.exp(-(distance**2) / 2) for distance in (0, 1, 2)}
    expected = k[1] + (2 * k[2] + k[0]) / 3 - 2 * (k[0] + 2 * k[2] + k[1] + 2 * k[1]) / 6
    assert squared_mmd(x, y, 1.0) == pytest.approx(expected, rel=1e-12)
    found = [squared_mmd(normal(40, 2, seed), normal(40, 2, 10_000 + seed), 1.0) for seed in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(200)
    assert min(found) < 0


def test_the_median_rule():
    x = normal(101, 3, 0)
    assert median_distance(x) == pytest.approx(np.median(pdist(x.numpy())), rel=1e-9)
    metric = ganflow_metrics.MMD(samples=200).metric(RING)
    sides = pdist(RING.held_out["real"].double().numpy()[:2000])
    assert metric.protocol["bandwidth"] == pytest.approx(np.median(sides), rel=0.1)
    assert ganflow_metrics.MMD(samples=200, bandwidth=0.3).metric(RING).protocol["bandwidth"] == 0.3


@pytest.mark.parametrize("kind", [ganflow_metrics.EarthMovers, ganflow_metrics.MMD, ganflow_metrics.SlicedWasserstein])
def test_right_samples_score_about_the_floor_and_wrong_ones_do_not(kind):
    metric = kind(samples=400).metric(RING)
    game = of_mixture(RING)
    right, wrong = metric.evaluate(game), metric.evaluate(of_mixture(RING, weights=[1.0, 1, 1, 1, 0, 0, 0, 0]))
    name = metric.names[0]
    assert game.asked == [(400, 0), (400, 1), (400, 2)]
    assert list(right) == list(metric.names) == [name, f"{name}_error", f"{name}_floor", f"{name}_floor_error"]
    assert right[f"{name}_floor"] == wrong[f"{name}_floor"]
    assert abs(right[name] - right[f"{name}_floor"]) < 6 * right[f"{name}_error"]
    assert wrong[name] > right[name] + 5 * right[f"{name}_error"]
    assert metric.goal == "min"


def test_repeats_are_compared_with_disjoint_held_out_examples():
    real = torch.arange(120.0)[:, None]
    data = TensorData("line", {"real": real + 1000}, {"real": real})
    metric = ganflow_metrics.EarthMovers(samples=40).metric(data)
    compared = torch.cat([metric._real_samples.reference(repeat) for repeat in range(3)])
    assert sorted(compared[:, 0].tolist()) == real[:, 0].tolist()
    noted = {key: value for key, value in metric.protocol.items() if key != "reference_digest"}
    assert noted == {"samples": 40, "seed": 0, "repeats": 3, "cost": "Euclidean", "reference": "3 × 40 held-out examples",
                     "floor": "3 disjoint pairs of 40 held-out and training examples"}  # fmt: skip
    scores = metric.evaluate(Player(real))
    assert scores["emd_40_floor"] == pytest.approx(1000, abs=60)  # held-out examples against training examples


@pytest.mark.parametrize(("held_out", "trained", "pairs"), [(3, 7, 5), (1, 1, 1), (4, 1, 2), (2, 0, 1), (1, 3, 2), (5, 40, 16)])
def test_pairs_of_the_floor_are_disjoint_and_their_mean_has_its_standard_error(held_out, trained, pairs):
    n = 30
    x = normal(n * (held_out + trained) + 5, 1, 0)
    data = TensorData("line", {"real": x[n * held_out :]}, {"real": x[: n * held_out]})
    metric = ganflow_metrics.EarthMovers(samples=n).metric(data)
    each = [metric._real_samples.pair(i) for i in range(pairs)]
    assert len(torch.cat([sample for pair in each for sample in pair]).unique()) == 2 * n * pairs
    found = [wasserstein_distance(a[:, 0], b[:, 0]) for a, b in each]
    scores = metric.evaluate(Player(x))
    assert scores["emd_30_floor"] == pytest.approx(np.mean(found), rel=1e-5)
    assert scores.get("emd_30_floor_error", "none") == ("none" if pairs == 1 else pytest.approx(sem(found), rel=1e-5))


@pytest.mark.parametrize("n", [100, 400])
def test_the_floor_of_the_ring_is_known_to_its_error(n):
    """Against 60 pairs of fresh samples of the mixture."""
    game = of_mixture(RING)
    fresh = [earth_movers(*(game.samples(n, 2 * i + j).double() for j in (0, 1))) for i in range(60)]
    scores = ganflow_metrics.EarthMovers(samples=n).metric(RING).evaluate(game)
    floor, error = scores[f"emd_{n}_floor"], scores[f"emd_{n}_floor_error"]
    assert error == pytest.approx(np.std(fresh) / 4, rel=0.6)  # of 16 pairs; s of 16 varies by 18 %
    assert abs(floor - np.mean(fresh)) < 4 * math.hypot(error, sem(fresh))


@pytest.mark.parametrize("kind", [ganflow_metrics.EarthMovers, ganflow_metrics.MMD, ganflow_metrics.SlicedWasserstein])
def test_seeds_compare_with_other_held_out_examples_and_have_other_pairs(kind):
    variants = [kind(samples=1000, seed=seed).metric(RING)._real_samples for seed in (0, 3, 6)]
    held_out = RING.held_out["real"]
    for k, variant in enumerate(variants):
        for repeat in range(3):
            at = 1000 * ((3 * k + repeat) % (len(held_out) // 1000))
            assert torch.equal(variant.reference(repeat), held_out[at : at + 1000].double())
    samples = torch.cat([sample for variant in variants for i in range(variant.pairs) for sample in variant.pair(i)])
    assert len(samples.unique(dim=0)) == 3 * 16 * 2 * 1000
    assert torch.equal(variants[2].first, held_out[:1000].double())  # whose median distance is the bandwidth, whatever the seed


def test_large_samples_have_fewer_pairs():
    data = Gaussians(samples=30_000, held_out=6000).data()
    assert [ganflow_metrics.EarthMovers(samples=n).metric(data)._real_samples.pairs for n in (500, 1000, 2000, 5000)] == [
        16, 16, 4, 3
    ]  # fmt: skip


class Streamed(Data):
    """Data whose training examples are not in memory."""

    def __init__(self, held_out):
        self.name, self.fields, self.size, self.held_out = "streamed", {"real": Field((2,))}, 1000, {"real": held_out}

    def fingerprint(self):
        return ""


def test_a_floor_without_training_examples_in_memory():
    data = Streamed(normal(400, 2, 0).float())
    metric = ganflow_metrics.EarthMovers(samples=200).metric(data)
    scores = metric.evaluate(Player(normal(200, 2, 5)))
    assert 0 < scores["emd_200_floor"] == pytest.approx(scores["emd_200"], rel=0.5)
    assert metric.protocol["floor"] == "a pair of 200 held-out examples"
    assert "emd_200_floor_error" not in scores
    said = r"metric emd wants 600 held-out examples, 300 to compare with and 300 for its floor, and data streamed has 400; raise "
    said += "data.held_out of a new run, or lower samples"
    with pytest.raises(GanflowError, match=said):
        ganflow_metrics.EarthMovers(samples=300).metric(data)


@pytest.mark.parametrize("component", [ganflow_metrics.EarthMovers(), ganflow_metrics.MMD()])
def test_too_few_held_out_examples_say_how_many_it_takes(component):
    data = Gaussians(samples=2000, held_out=300).data()
    said = r"compares with 1000 held-out examples, and data gaussians \(ring\) has 300; raise data\.held_out of a new run, "
    said += "or lower samples"
    with pytest.raises(GanflowError, match=said):
        component.metric(data)


def test_sliced_wasserstein_makes_do_with_less_and_says_so(caplog):
    data = Gaussians(samples=10, held_out=500).data()
    with caplog.at_level(logging.WARNING, "ganflow"):
        metric = ganflow_metrics.SlicedWasserstein(samples=2048).metric(data)
    assert "compares with 500 held-out examples instead of 2048" in caplog.text
    assert metric.evaluate(Player(data.held_out["real"])) == {"sliced_w1_500": 0, "sliced_w1_500_error": 0}  # and no floor
    assert metric.evaluate(Player(data.held_out["real"] + 1))["sliced_w1_500"] > 0.5


def test_a_seed_is_of_the_projections_and_of_the_priors_draws():
    x = normal(50, 2, 0)
    y = x * torch.tensor([3.0, 1.0])
    first, again, other = (sliced_wasserstein(x, y, 4, seed) for seed in (0, 0, 1))
    assert first == again != other
    component, game = ganflow_metrics.SlicedWasserstein(samples=50, seed=7), Player(RING.held_out["real"] * 2)
    scores = component.metric(RING).evaluate(game)
    assert [seed for _, seed in game.asked] == [7, 8, 9]
    component.seed = 8
    assert component.metric(RING).evaluate(game) != scores


@pytest.mark.parametrize("component", [ganflow_metrics.EarthMovers(samples=100), ganflow_metrics.MMD(samples=100)])
def test_images_are_compared_only_when_asked(component):
    data = Digits(size=8).data()
    with pytest.raises(GanflowError, match=r"data digits are images: use metric frechet, or set flatten: true"):
        component.metric(data)
    component.flatten = True
    metric = component.metric(data)
    noise = torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    right, wrong = metric.evaluate(Player(data.train["real"])), metric.evaluate(Player(noise))
    assert right[metric.names[0]] < 0.6 * wrong[metric.names[0]]


def test_more_numbers_than_fit_are_refused():
    data = TensorData("large", {"real": torch.zeros(1, 3, 1024, 1024)}, {"real": torch.zeros(1, 3, 1024, 1024)})
    with pytest.raises(GanflowError, match=r"compare 1000 examples of 3,145,728 numbers each, .* is the limit: lower samples"):
        ganflow_metrics.EarthMovers(flatten=True).metric(data)


def test_equal_examples_have_no_bandwidth():
    data = TensorData("one", {"real": torch.ones(20, 2)}, {"real": torch.ones(20, 2)})
    with pytest.raises(GanflowError, match=r"median distance between real examples as its bandwidth, and that of data one is 0"):
        ganflow_metrics.MMD(samples=10).metric(data)


def test_a_process_computes_a_floor_once_for_what_is_equal():
    counted = []

    class Counting(ganflow_metrics.transport.EarthMovers):
        def floor(self, pair):
            counted.append(pair)
            return super().floor(pair)

    def computed(n=100, seed=0, **of):
        """Floors computed for a metric of data that are built again, whose mean is that of its pairs."""
        counted.clear()
        metric = Counting(Gaussians(**{"layout": "ring", "samples": 2000, "held_out": 400, **of}).data(), n, False, seed, 2)
        scores, real = metric.evaluate(Player(torch.randn(n, 2))), metric._real_samples
        wanted = [earth_movers(*real.pair(pair)) for pair in range(real.pairs)]
        assert scores[f"emd_{n}_floor"] == pytest.approx(np.mean(wanted), rel=1e-12)
        assert scores[f"emd_{n}_floor_error"] == pytest.approx(sem(wanted), rel=1e-12)
        return len(counted)

    # four samples of held-out points with as many of the training points, of which sixteen more make eight pairs
    assert [computed(), computed(), computed()] == [12, 0, 0]
    assert computed(n=200) == 6
    assert computed(seed=2) == 12  # other draws are compared with other examples
    assert computed(std=0.02) == 12
    assert computed(samples=1000) == 7
    assert computed() == 0
