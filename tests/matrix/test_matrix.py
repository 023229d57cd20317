"""Every shipped loss with every switch of `train`, in double precision: however a batch is cut, put together, shared, traced or
taken up again, the weights are those of the plain run."""

import pytest
from matrix_cases import ALGORITHM, CASES, PLAIN, SWITCHES, compared
from matrix_pairs import pairwise
from matrix_play import played, start

ROWS = pairwise({"case": list(CASES), **SWITCHES}, lambda row: compared(row["case"], row))


def changes(row):
    """The overrides that a row of switches means."""
    made = [f"train.{name}={str(row[name]).lower()}" for name in ("n_critic", "one_batch", "one_pass", "accumulate")]
    return [*made, "train.compile=never"]


def named(row):
    return " ".join(str(v) if k == "case" else k if v is True else f"{k}={v}" for k, v in row.items() if v != PLAIN.get(k))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The run to compare with, played once for each algorithm."""
    known = {}

    def found(case, row):
        row = {**PLAIN, **{name: row[name] for name in ALGORITHM}}
        key = (case, *row.values())
        if key not in known:
            recipe = CASES[case].recipe(tmp_path_factory.mktemp("plain") / "plain.yaml", *changes(row))
            known[key] = start(recipe), *played(recipe, row)
        return known[key]

    return found


def check(row, plain, tmp_path):
    case = CASES[row["case"]]
    before, expected, expected_report = plain(row["case"], row)
    found, report = played(case.recipe(tmp_path / "case.yaml", *changes(row)), row)
    extra = found.keys() ^ expected.keys()
    assert all(name.endswith(".lr") for name in extra), extra  # numbers that are tensors in graphs
    for name, t in expected.items():
        if name not in found or (row["workers"] > 1 and case.keeps in name):
            continue
        off, way = (found[name] - t).abs().max(), (t - before[name]).abs().max() if name in before else t.abs().max()
        assert off <= 1e-9 * max(1e-3, way), (name, float(off), float(way))
    for player in ("game.generator", "game.critic"):
        moved = [float((t - before[name]).abs().max()) for name, t in expected.items() if name.startswith(player)]
        assert not moved or max(moved) > 1e-4
    assert report.terms == pytest.approx(expected_report.terms, rel=1e-5, abs=1e-7)  # read in single precision


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_pairs(row, plain, tmp_path):
    check(row, plain, tmp_path)
