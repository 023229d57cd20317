"""Every shipped loss with every switch of `train`, in double precision: however a batch is cut, put together, shared, traced or
taken up again, the weights are those of the plain run."""

import pytest
from matrix_cases import ALGORITHM, CASES, PLAIN, SWITCHES, compared
from matrix_pairs import every, pairwise
from matrix_play import played, start

FULL = ("wasserstein", "cycle")
"""Cases that are played with every combination of switches."""
EAGER = {**SWITCHES, "traced": ("",)}
GRAPHS = {**SWITCHES, "traced": ("step", "round"), "workers": (1,)}


def rows(case, switches, cover=pairwise):
    """The combinations of switches that a case is played with, as (case, row)."""
    found = cover(switches, lambda row: compared(case, row))
    return [(case, row) for row in found if any(row[name] != PLAIN[name] for name in PLAIN if name not in ALGORITHM)]


QUICK = [pair for case in CASES for pair in rows(case, EAGER, every if case in FULL else pairwise)]
QUICK += [(row.pop("case"), row) for row in pairwise({"case": list(CASES), **GRAPHS}, lambda row: compared(row["case"], row))]
SLOW = [pair for case in CASES for pair in rows(case, GRAPHS, every if case in FULL else pairwise) if pair not in QUICK]


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


@pytest.mark.parametrize("pair", QUICK, ids=named)
def test_the_weights_are_those_of_the_plain_run(pair, plain, tmp_path):
    check(pair, plain, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("pair", SLOW, ids=named)
def test_the_weights_are_those_of_the_plain_run_in_further_graphs(pair, plain, tmp_path):
    check(pair, plain, tmp_path)
