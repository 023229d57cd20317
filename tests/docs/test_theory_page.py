"""docs/theory.md: its commands, its pictures and its tables of numbers are those of `ganflow theory`.

GANFLOW_WRITE_DOCS=1 with the slow tests plays every part with its defaults, and writes the tables and the pictures anew."""

import json
import math
import os
import re
from pathlib import Path

import pytest
from docs_helpers import DOCS, between, compare
from ganflow_theory.command import PARTS
from ganflow_theory.duality import WAYS

PAGE = DOCS / "theory.md"
TEXT = PAGE.read_text(encoding="utf-8")
LOOSE = {"saturation": 30, "collapse": 3}
"""Factors by which a machine's numbers may differ, where it is not a tenth."""


def claims(part, n):
    """What the page says of a part's numbers, true or false each."""
    match part:
        case "disjoint":
            yield abs(n["jsd"] - math.log(2)) < 1e-5 and n["w1"] == 1 and n["jsd_at_zero"] == n["jsd_gradient"] == 0
            yield n["theta_minimax"] > 0.9 and abs(n["theta_wasserstein"]) < 0.2
        case "optimal-critic":
            yield n["error"] <= 0.02
            yield -0.01 <= n["value"] - n["jsd_minus_log2"] <= 1e-6
        case "saturation":
            yield n["ratio"] > 1000 and n["non_saturating"] > 5
            yield 0.8 < n["wasserstein"] < 1.3
        case "duality":
            yield max(n[f"{way}_ratio"] for way in WAYS) <= 1
            yield n["clip_ratio"] < 0.7 and n["gradient_penalty_ratio"] > 0.6
            yield n["one_sided_ratio"] > 0.9 and n["spectral_norm_ratio"] > 0.9
        case "elbo":
            yield 0 <= n["gap"] <= 0.01 and abs(n["kl_posterior"] - n["gap"]) < 1e-8
            yield abs(n["log_likelihood"] - n["true_log_likelihood"]) < 0.01
        case "collapse":
            yield n["collapse_modes"] <= 4 and n["no_collapse_modes"] == 8
            yield n["collapse_high_quality"] < 0.5 < n["no_collapse_high_quality"]


def documented(part):
    """Number by name, of a part's table."""
    return dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", between(TEXT, part)[1], re.MULTILINE))


def test_every_part_has_a_section_a_picture_and_its_command():
    assert re.findall(r"^## ([\w-]+)$", TEXT, re.MULTILINE) == list(PARTS)
    assert re.findall(r"images/theory-([\w-]+)\.png", TEXT) == list(PARTS)
    assert re.findall(r"^    ganflow theory ([\w-]+)", TEXT, re.MULTILINE) == list(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_its_table_has_the_numbers_that_are_printed(part, command):
    shorter = ("--rounds", "2", "train.batch_size=16", "data.samples=100", "data.held_out=50")
    code, out, _ = command("theory", part, "--json", *shorter)
    assert code == 0
    assert list(documented(part)) == [name for name in json.loads(out) if name != "picture"]


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_what_it_says_is_so_and_its_table_has_about_the_numbers_of_this_machine(part, command):
    code, out, _ = command("theory", part, "-o", "shown.png")
    assert code == 0
    rows = [re.match(r"(\w+) +(\S+)  (.+)", line).groups() for line in out.splitlines()[:-1]]
    assert all(claims(part, {name: float(value) for name, value, _ in rows}))
    if os.environ.get("GANFLOW_WRITE_DOCS"):
        table = "".join(f"| `{name}` | {value} | {what.replace('|', chr(92) + '|')} |\n" for name, value, what in rows)
        compare(PAGE, part, f"\n| Number | Value | |\n|---|---|---|\n{table}\n")
        (DOCS / "images" / f"theory-{part}.png").write_bytes(Path("shown.png").read_bytes())
        return
    kept, factor = documented(part), LOOSE.get(part, 1.1)
    for name, value, _ in rows:
        was, now = float(kept[name]), float(value)
        alike = abs(now - was) < 0.02 or 1 / factor < now / was < factor
        assert alike or name.startswith("collapse"), f"{name}: {was} in the page, {now} here"  # which mode it is on is chance
