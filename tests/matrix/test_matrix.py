"""Every shipped loss with every switch of `train`, in double precision: however a batch is cut, put together, shared, traced or
taken up again, the weights are those of the plain run."""

from itertools import combinations, product

import pytest
import torch
from matrix_cases import ALGORITHM, CASES, PLAIN, SWITCHES, compared
from matrix_pairs import every, pairwise
from matrix_play import played, start

from ganflow.plugins import load_catalogue

FULL = ("wasserstein", "cycle")
"""Cases that are played with more: every combination of switches (the first), every pair of them in graphs (slow)."""
FAMILIES = ("wasserstein", "elbo", "cycle with a full pool")
"""One case of each kind of game (against a critic, without one, with pools that are kept), to be compiled."""
EAGER = {**SWITCHES, "traced": ("",)}
GRAPHS = {**SWITCHES, "traced": ("step", "round"), "workers": (1,)}


def rows(case, switches, cover=pairwise):
    """The combinations of switches that a case is played with, as (case, row): every pair. The two which make the algorithm count
    as one, so that each algorithm meets every other switch. And one_pass with nothing else: passes are shared only where
    batches are whole."""
    algorithms = list(product(*(switches[name] for name in ALGORITHM)))
    others = {name: values for name, values in switches.items() if name not in ALGORITHM}
    found = cover({"algorithm": algorithms, **others}, lambda row: compared(case, row))
    found = [{**dict(zip(ALGORITHM, row.pop("algorithm"), strict=True)), **row} for row in found]
    found += [{**PLAIN, **dict(zip(ALGORITHM, algorithm, strict=True)), "one_pass": True} for algorithm in algorithms]
    found = [row for i, row in enumerate(found) if row not in found[:i] and row["traced"] in switches["traced"]]
    return [(case, row) for row in found if any(row[name] != PLAIN[name] for name in others)]


QUICK = [pair for case in CASES for pair in rows(case, EAGER, every if case == FULL[0] else pairwise)]
QUICK += [(row.pop("case"), row) for row in pairwise({"case": list(CASES), **GRAPHS}, lambda row: compared(row["case"], row))]
SLOW = [pair for case in FULL for pair in rows(case, GRAPHS) if pair not in QUICK]


def changes(row):
    """The overrides that a row of switches means."""
    made = [f"train.{name}={str(row[name]).lower()}" for name in ("n_critic", "one_batch", "one_pass", "accumulate")]
    return [*made, "train.compile=never"]


def named(pair):
    case, row = pair
    return " ".join([case, *(k if v is True else f"{k}={v}" for k, v in row.items() if v != PLAIN[k])])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The run to compare with, played once for each algorithm."""
    known = {}

    def found(case, row):
        row = {**PLAIN, **{name: row[name] for name in ALGORITHM}}
        key = (case, *row.values())
        if key not in known:
            recipe = CASES[case].recipe(tmp_path_factory.mktemp("plain") / "plain.yaml", *changes(row))
            known[key] = start(recipe), *played(recipe, row)[0]
        return known[key]

    return found


def check(pair, plain, tmp_path):
    name, row = pair
    case = CASES[name]
    before, expected, expected_report = plain(name, row)
    found, report = played(case.recipe(tmp_path / "case.yaml", *changes(row)), row)[0]
    extra = found.keys() ^ expected.keys()
    assert all(key.endswith(".lr") for key in extra), extra  # numbers that are tensors in graphs
    for key, t in expected.items():
        if key not in found or (row["workers"] > 1 and case.keeps in key):
            continue
        off, way = (found[key] - t).abs().max(), (t - before.get(key, 0)).abs().max()
        assert off <= 1e-9 * max(1e-4, way), (key, float(off), float(way))
    for player in ("game.generator", "game.critic"):
        moved = [float((t - before[key]).abs().max()) for key, t in expected.items() if key.startswith(player)]
        assert not moved or max(moved) > 1e-5
    assert report.terms == pytest.approx(expected_report.terms, rel=1e-5, abs=1e-7)  # read in single precision


def test_every_shipped_loss_and_added_term_is_played():
    shipped = [c for c in load_catalogue().components() if c.distribution == "ganflow"]
    losses = {c.name for c in shipped if c.role == "loss"}
    terms = {c.name for c in shipped if c.role == "modifier" and hasattr(getattr(c.settings, "terms", None), "ganflow_impl")}
    assert losses == {case.loss.partition(",")[0] for case in CASES.values()}
    assert terms == {"gradient_penalty", "r1", "r2", "auxiliary_classifier", "path_length", "ada"}
    assert all(any(f"use: {term}" in case.modifiers for case in CASES.values()) for term in terms)


def test_every_pair_of_values_is_played():
    played = {pair for row in pairwise(SWITCHES) for pair in combinations(row.items(), 2)}
    assert played == {pair for row in every(SWITCHES) for pair in combinations(row.items(), 2)}
    assert len(pairwise(SWITCHES)) <= 12


@pytest.mark.parametrize("pair", QUICK, ids=named)
def test_the_weights_are_those_of_the_plain_run(pair, plain, tmp_path):
    check(pair, plain, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("pair", SLOW, ids=named)
def test_the_weights_are_those_of_the_plain_run_in_further_graphs(pair, plain, tmp_path):
    check(pair, plain, tmp_path)


def test_each_worker_goes_on_with_a_pool_of_its_own(tmp_path):
    """To the bit; and the pools differ."""
    case, row = CASES["cycle with a full pool"], {**PLAIN, "workers": 2}
    recipe = case.recipe(tmp_path / "case.yaml", *changes(row))
    whole, resumed = (played(recipe, {**row, "resume": resume}) for resume in (False, True))
    for (state, _), (again, _) in zip(whole, resumed, strict=True):
        assert all(torch.equal(t, again[key]) for key, t in state.items())
    pools = [next(t for key, t in state.items() if key.endswith("a.kept")) for state, _ in resumed]
    assert not torch.equal(*pools)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*FAMILIES[:2], pytest.param(FAMILIES[2], marks=pytest.mark.rare)])
def test_compiled_rounds_train_what_eager_ones_do(case, plain, tmp_path):
    """By inductor, one loss of each kind of game, to what fused kernels round."""
    row = PLAIN
    before, expected, _ = plain(case, row)
    found, _ = played(CASES[case].recipe(tmp_path / "case.yaml", *changes(row)), {**row, "traced": "compiled"})[0]
    for key, t in expected.items():
        if t.is_floating_point() and key in found:
            off, way = (found[key] - t).abs().max(), (t - before.get(key, 0)).abs().max()
            assert off <= 1e-7 * max(1e-4, way), (key, float(off), float(way))
