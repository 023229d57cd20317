"""Domains: what they draw, and what is said of those that are none."""

import math
import random
import re
from collections import Counter
from statistics import mean, stdev

import pytest

from ganflow.space.scales import DOMAINS, read_domain
from ganflow.space.space import matches

DRAWN = {
    "uniform": [-1, 3],
    "loguniform": [1.0e-5, 1.0e-1],
    "quniform": [0.1, 0.9, 0.2],
    "qloguniform": [0.1, 9, 0.1],
    "randint": [3, 7],
    "lograndint": [3, 70],
    "qrandint": [3, 17, 7],
    "qlograndint": [8, 512, 8],
    "normal": [2, 0.5],
    "choice": ["a", None, {"use": "hinge"}, [1]],
    "grid": [1, True, 2.5],
}
FACTORS = (0.8, 1.2)
KIND_LIST = f"(kinds: {', '.join(DOMAINS)})"


def drawn(kind, *arguments, n=4000):
    domain, rng = read_domain(kind, list(arguments)), random.Random(0)
    return domain, [domain.sample(rng) for _ in range(n)]


def test_uniform():
    domain, values = drawn("uniform", -1, 3)
    assert domain.edges() == [-1.0, 3.0]
    assert all(type(v) is float and -1 <= v <= 3 for v in values)
    assert mean(values) == pytest.approx(1, abs=0.1)


def test_loguniform():
    domain, values = drawn("loguniform", 1e-5, 1e-1)
    assert domain.edges() == [1e-5, 1e-1]
    decades = Counter(math.floor(math.log10(v)) for v in values)
    assert all(decades[d] == pytest.approx(1000, abs=120) for d in (-5, -4, -3, -2))
    assert domain.at(0) == 1e-5
    assert domain.at(1) == 1e-1


def test_quniform_with_a_whole_step_yields_integers_from_low_to_high():
    domain, values = drawn("quniform", 16.0, 64, 16)
    assert sorted(Counter(values)) == [16, 32, 48, 64]
    assert {type(v) for v in values} == {int}
    assert domain.edges() == [16, 32, 48, 64]
    assert {type(v) for v in drawn("quniform", 0.0, 2.5, 1.0)[1]} == {int}  # whatever high is


def test_quniform_counts_from_low_and_does_not_show_rounding_errors():
    _, values = drawn("quniform", 0.1, 0.95, 0.2)
    assert sorted(set(values)) == [0.1, 0.3, 0.5, 0.7, 0.9]


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ([0, 0.3, 0.1], [0, 0.1, 0.2, 0.3]),  # in floating point, 0.3 is 2.9999999999999996 steps from 0
        ([0.2, 0.3, 0.1], [0.2, 0.3]),  # and 0.1 more than 0.3 - 0.2
        ([0.7, 0.9, 0.1], [0.7, 0.8, 0.9]),
        ([0.1, 0.35, 0.1], [0.1, 0.2, 0.3]),
        ([-0.3, 0.3, 0.15], [-0.3, -0.15, 0, 0.15, 0.3]),
        ([0, 10, 2.5], [0, 2.5, 5, 7.5, 10]),
        ([1, 6, 2], [1, 3, 5]),
        ([0, 1.5, 1], [0, 1]),
    ],
)
def test_quniform_has_both_ends(given, values):
    domain = read_domain("quniform", given)
    assert [domain.at(place) for place in range(domain.size)] == list(domain) == values
    assert domain.edges() == values
    assert all(map(domain.contains, values))
    assert domain.clamp(99) == values[-1]
    assert domain.clamp(-99) == values[0]


@pytest.mark.parametrize(
    ("low", "high", "n"), [(0, 1, 10), (0, 3, 30), (0.1, 0.9, 8), (0, 0.7, 7), (-1, 1, 200), (1e-3, 2e-3, 5)]
)
def test_quniform_of_n_steps_has_one_value_more(low, high, n):
    domain = read_domain("quniform", [low, high, float(f"{(high - low) / n:.12g}")])
    assert (domain.size, domain.at(0), domain.at(n)) == (n + 1, low, high)


@pytest.mark.parametrize(
    ("kind", "given", "octaves"),
    [
        ("lograndint", [1, 256], 8),  # high is left out
        ("lograndint", [4, 128], 5),
        ("qlograndint", [8, 120, 8], 4),  # the last step, to 128, is whole
        ("qloguniform", [0.25, 3.75, 0.25], 4),
        ("qloguniform", [0.5, 7.95, 0.05], 4),
    ],
)
def test_logarithmic_steps_are_drawn_equally_often_in_each_octave(kind, given, octaves):
    domain, values = drawn(kind, *given, n=16_000)
    assert set(values) <= set(domain)
    assert {type(v) for v in values} == {float if given[0] < 1 else int}
    shares = Counter(math.floor(math.log2(v / given[0])) for v in values)
    assert sorted(shares) == list(range(octaves))
    expected = len(values) / octaves
    assert all(abs(n - expected) < 4 * math.sqrt(expected) for n in shares.values())


@pytest.mark.parametrize(("kind", "given"), [("lograndint", [1, 9]), ("qlograndint", [4, 32, 4]), ("qloguniform", [0.5, 4, 0.5])])
def test_how_often_a_logarithmic_step_is_drawn(kind, given):
    """As often as loguniform's draws lie between it and the next."""
    domain, values = drawn(kind, *given, n=16_000)
    step = given[2] if len(given) == 3 else 1
    assert list(domain) == [step * n for n in range(1, 9)]
    for value in domain:
        expected = len(values) * math.log((value + step) / value) / math.log(9)
        assert abs(values.count(value) - expected) < 4 * math.sqrt(expected)


@pytest.mark.parametrize("n", [1, 3, 1000, 123_456_789])
@pytest.mark.parametrize("low", [1, 7])
def test_every_logarithmic_integer_has_its_place(low, n):
    domain = read_domain("lograndint", [low, 1_000_000_000])
    assert domain.at(domain.position(n + low)) == n + low
    assert (domain.at(0), domain.at(1)) == (low, 999_999_999)


def test_whole_steps_have_both_ends():
    domain, values = drawn("qrandint", 3, 17.0, 7)
    assert list(domain) == domain.edges() == [3, 10, 17]
    assert {type(v) for v in values} == {int}
    assert [values.count(v) for v in domain] == pytest.approx([1333] * 3, abs=130)


def test_places_on_the_scale():
    """Known values at the ends, in the middle and beside it: a learning searcher knows nothing else."""
    assert [read_domain("uniform", [2, 6]).at(p) for p in (0, 0.25, 1)] == [2, 3, 6]
    assert [read_domain("uniform", [2, 6]).position(v) for v in (2, 3, 6)] == [0, 0.25, 1]
    assert read_domain("loguniform", [1e-4, 1]).at(0.25) == pytest.approx(1e-3)
    assert read_domain("loguniform", [1e-4, 1]).position(1e-3) == pytest.approx(0.25)
    normal = read_domain("normal", [2, 0.5])
    assert [normal.at(p) for p in (0, 0.5, 1)] == pytest.approx([0.5, 2, 3.5])
    assert [normal.position(v) for v in (0.5, 2, 3.5)] == pytest.approx([0, 0.5, 1], abs=1e-12)
    assert normal.at(0.8413447 - 0.0009) == pytest.approx(2.5, abs=0.01)  # one standard deviation
    assert [read_domain("randint", [3, 7]).at(p) for p in (0, 3)] == [3, 6]
    assert read_domain("randint", [3, 7]).position(6) == 3
    assert read_domain("choice", ["a", 1, True]).position(True) == 2


def test_a_number_beside_another():
    """A factor, or the next step where that changes nothing; the sign of the step is the factor's."""
    rng = random.Random(3)
    assert {read_domain("randint", [0, 100]).near(50, FACTORS, rng) for _ in range(50)} == {40, 60}
    assert {read_domain("quniform", [0, 1, 0.25]).near(0.5, FACTORS, rng) for _ in range(50)} == {0.25, 0.75}
    assert {read_domain("quniform", [16, 64, 16]).near(64, FACTORS, rng) for _ in range(50)} == {48, 64}
    assert {read_domain("randint", [0, 9]).near(0, FACTORS, rng) for _ in range(50)} == {0, 1}
    assert {read_domain("normal", [0, 1]).near(1.0, FACTORS, rng) for _ in range(50)} == {0.8, 1.2}


def test_randint_leaves_out_high_like_ray():
    domain, values = drawn("randint", 3, 7)
    assert sorted(Counter(values)) == [3, 4, 5, 6]
    assert domain.edges() == [3, 4, 5, 6]
    assert read_domain("randint", [0, 1_000_000]).edges() == [0, 1, 500_000, 999_999]


def test_normal_ends_at_three_standard_deviations():
    domain, values = drawn("normal", 2, 0.5)
    assert domain.edges() == [0.5, 3.5]
    assert min(values) >= 0.5
    assert max(values) <= 3.5
    assert mean(values) == pytest.approx(2, abs=0.05)
    assert stdev(values) == pytest.approx(0.49, abs=0.03)


@pytest.mark.parametrize("kind", ["choice", "grid"])
def test_options_are_any_values(kind):
    options = ["no", None, {"use": "hinge", "margin": 2}, [{"use": "ema"}]]
    domain, values = drawn(kind, *options)
    assert domain.edges() == options
    assert [values.count(option) for option in options] == pytest.approx([1000] * 4, abs=120)


@pytest.mark.parametrize("kind", DOMAINS)
def test_every_value_has_its_place_on_the_scale(kind):
    domain, values = drawn(kind, *DRAWN[kind], n=200)
    for value in values:
        assert domain.contains(value)
        again = domain.at(domain.position(value))
        assert type(again) is type(value)
        assert again == (pytest.approx(value, rel=1e-9, abs=1e-9) if type(value) is float else value)


@pytest.mark.parametrize("kind", DOMAINS)
def test_mutations_stay_in_the_space_and_move(kind):
    domain, values = drawn(kind, *DRAWN[kind], n=50)
    rng = random.Random(1)
    for value in values:
        mutated = [domain.mutate(value, 0.25, FACTORS, rng) for _ in range(20)]
        assert all(map(domain.contains, mutated))
        assert any(m != value or type(m) is not type(value) for m in mutated)


def test_a_mutation_is_a_factor_a_neighbour_or_another_draw():
    rng = random.Random(0)
    near = Counter(round(read_domain("loguniform", [1e-6, 1]).mutate(1e-3, 0.25, FACTORS, rng), 9) for _ in range(1000))
    assert near[8e-4] + near[1.2e-3] == pytest.approx(750, abs=60)
    at_the_top = {read_domain("uniform", [0, 1]).near(1.0, FACTORS, rng) for _ in range(50)}
    assert at_the_top == {0.8, 1.0}
    assert {read_domain("randint", [0, 9]).near(1, FACTORS, rng) for _ in range(50)} == {0, 2}
    assert {read_domain("choice", list("abcd")).near("c", FACTORS, rng) for _ in range(50)} == {"b", "d"}
    assert {read_domain("choice", list("abcd")).near("a", FACTORS, rng) for _ in range(50)} == {"b"}
    assert read_domain("choice", ["only"]).near("only", FACTORS, rng) == "only"


@pytest.mark.parametrize(
    ("kind", "written", "value", "factors", "near"),
    [
        ("uniform", [0, 10], 2.0, [0.5], {1.0}),
        ("uniform", [0, 10], 2.0, [0.5, 2, 3], {1.0, 4.0, 6.0}),
        ("loguniform", [1e-6, 1], 1e-3, [1], {1e-3}),
        ("randint", [0, 100], 50, [0.5, 1.5], {25, 75}),
        ("randint", [0, 9], 4, [1], {4}),  # and not the next one
        ("randint", [0, 9], 2, [0.9, 1.1], {1, 3}),  # one step at least
        ("choice", ["a", "b", "c"], "b", [1], {"a", "c"}),  # what is no number has no factor
    ],
)
def test_factors_and_the_probability_of_another_draw_are_as_they_are_given(kind, written, value, factors, near):
    rng, domain = random.Random(0), read_domain(kind, written)
    assert {domain.mutate(value, 0.0, factors, rng) for _ in range(100)} == near
    drawn = {domain.mutate(value, 1.0, [1], rng) for _ in range(300)}
    assert drawn == set(domain.options) if kind == "choice" else len(drawn - near) > 5


def test_clamp():
    assert read_domain("uniform", [0, 1]).clamp(7) == 1.0
    assert read_domain("normal", [0, 1]).clamp(-9) == -3.0
    assert read_domain("quniform", [16, 64, 16]).clamp(41) == 48
    assert read_domain("randint", [0, 9]).clamp(99) == 8
    assert read_domain("choice", [1, 10, 100]).clamp(30) == 10
    assert read_domain("choice", ["a", "b"]).clamp("c") == "a"
    assert read_domain("choice", [1, True]).clamp(True) is True


@pytest.mark.parametrize(
    ("kind", "outside"),
    [("uniform", [0.9, 4, "x", True, None]), ("quniform", [16, 17, 80]), ("randint", [4, 0, 2.5, "1"]), ("choice", ["b", None])],
)
def test_what_a_domain_does_not_contain(kind, outside):
    given = {"uniform": [1, 3], "quniform": [32, 64, 16], "randint": [1, 4], "choice": ["a"]}[kind]
    assert not any(map(read_domain(kind, given).contains, outside))


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("loguniforn", [1, 2], f"unknown kind of domain 'loguniforn'; did you mean 'loguniform'? {KIND_LIST}"),
        ("beta", [1, 2], f"unknown kind of domain 'beta' {KIND_LIST}"),
        ("uniform", 3, "uniform takes a list, [low, high], not 3"),
        ("choice", {"a": 1}, "choice takes a list, [value, …], not {a: 1}"),
        ("uniform", [1, 2, 3], "uniform takes 2 numbers, [low, high], not 3"),
        ("quniform", [1, 2], "quniform takes 3 numbers, [low, high, q], not 2"),
        ("normal", [], "normal takes 2 numbers, [mean, sd], not 0"),
        ("uniform", ["a", 2], "uniform [low, high]: a is not a number"),
        ("uniform", ["1", 2], "uniform [low, high]: '1' is not a number"),
        ("uniform", [True, 2], "uniform [low, high]: true is not a number"),
        ("uniform", [0, math.inf], "uniform [low, high]: .inf is not a number"),
        ("uniform", [2, 1], "uniform [low, high]: low must be below high, not 2 and 1"),
        ("loguniform", [1e-5, 1e-5], "loguniform [low, high]: low must be below high, not 1.0e-05 and 1.0e-05"),
        ("loguniform", [0, 1], "loguniform [low, high]: low must be above 0, not 0"),
        ("loguniform", [-1, 1], "loguniform [low, high]: low must be above 0, not -1"),
        ("quniform", [1, 3, 0], "quniform [low, high, q]: q must be above 0 and at most high - low, not 0"),
        ("quniform", [1, 3, 3], "quniform [low, high, q]: q must be above 0 and at most high - low, not 3"),
        ("randint", [1, 2.5], "randint [low, high]: 2.5 is not an integer"),
        ("randint", [3, 3], "randint [low, high]: low must be below high, not 3 and 3"),
        ("lograndint", [0, 9], "lograndint [low, high]: low must be above 0, not 0"),
        ("lograndint", [1, 2.5], "lograndint [low, high]: 2.5 is not an integer"),
        ("qrandint", [1, 9, 0.5], "qrandint [low, high, q]: 0.5 is not an integer"),
        ("qlograndint", [0, 64, 8], "qlograndint [low, high, q]: low must be above 0, not 0"),
        ("qloguniform", [1, 3, 3], "qloguniform [low, high, q]: q must be above 0 and at most high - low, not 3"),
        ("normal", [1, 0], "normal [mean, sd]: sd must be above 0, not 0"),
        ("choice", [], "choice needs at least one value"),
        ("grid", [], "grid needs at least one value"),
    ],
)
def test_what_is_no_domain(kind, given, said):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read_domain(kind, given)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (3, 3), (3, 3.0), ("a", "a"), (True, True), (None, None), ([1, 2], [1, 2]), ([1, 2], 2),
        ({"use": "hinge"}, "hinge"), ({"use": "vanilla/hinge", "margin": 2}, "hinge"), ({"use": "hinge"}, "vanilla/hinge"),
        ("hinge", "vanilla/hinge"), ({"use": "hinge", "margin": 2}, {"use": "hinge"}),
        ([{"use": "ema"}, {"use": "wgan/gradient_penalty"}], "gradient_penalty"), (["ema", "r1"], "r1"),
    ],
)  # fmt: skip
def test_conditions_that_hold(value, wanted):
    assert matches(value, wanted)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (3, 4), (1, True), (False, 0), (None, False), ("a", "b"), ({"use": "hinge"}, "hing"), ([], "ema"), ({"a": 1}, "a"),
        ({"use": "vanilla/hinge"}, "acme/hinge"), ({"use": "hinge"}, {"use": "hinge", "margin": 2}), ("1", 1), (None, "null"),
    ],
)  # fmt: skip
def test_conditions_that_do_not_hold(value, wanted):
    assert not matches(value, wanted)
