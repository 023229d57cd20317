"""What is refused, each with its sentence: the table in docs/refused.md.

GANFLOW_WRITE_DOCS=1 writes the table in place of comparing it."""

import os
import re
from pathlib import Path

import pytest
from group_helpers import Workers
from matrix_cases import CASES, CLASSES, DRAWN, PLAIN, POINTS, Case, refused

from ganflow.errors import GanflowError
from ganflow.runs.run import Parts

DOCS = Path(__file__).parents[2] / "docs" / "refused.md"
HEAD = "| what | with | sentence |\n| --- | --- | --- |\n"
CUT = {"`train.accumulate=2`": {"accumulate": 2}, "`--workers 2`": {"workers": 2}}
NAMES = {
    "relativistic with average": "loss `relativistic`, `average: true`",
    "elbo with free_bits": "loss `elbo`, `free_bits` above 0",
    "vae_gan": "loss `vae_gan`",
    "stackgan with mismatch": "loss `stackgan`, `mismatch` above 0",
    "stackgan with match": "loss `stackgan`, `match` above 0",
}
BATCH_NORM = CLASSES.replace("critic: {use: mlp, width: 6, depth: 1", "critic: {use: dcgan, width: 2")
GROUPS = DRAWN.replace("critic: {use: mlp, width: 6, depth: 1", "critic: {use: style, width: 4")
OTHERS = [  # what, with, the recipe, its changes, workers
    ("any loss", "`--workers 2`, `train.compile`", Case(POINTS, "hinge"), ["train.compile=round"], 2),
    ("a critic with batch norm", "`train.one_pass=true`", Case(BATCH_NORM, "hinge"), ["train.one_pass=true"], 1),
    ("critic `style`", "`train.one_pass=true`", Case(GROUPS, "hinge"), ["train.one_pass=true"], 1),
    ("critic `style`", "`train.accumulate=4`", Case(GROUPS, "hinge"), ["train.accumulate=4"], 1),
    ("critic `style`", "`--workers 4`", Case(GROUPS, "hinge"), [], 4),
    *((f"modifier `{name}`", "a critic with batch norm", Case(BATCH_NORM, "hinge", f"{{use: {name}}}"), [], 1)
      for name in ("gradient_penalty", "r1", "r2")),
    ("modifier `auxiliary_classifier`", "a critic without `classifier`",
     Case(POINTS, "hinge", "{use: auxiliary_classifier}"), [], 1),
    ("modifier `auxiliary_classifier`", "no `condition`",
     Case(CLASSES.replace("condition: label\n", ""), "hinge", "{use: auxiliary_classifier}"), [], 1),
]  # fmt: skip


def sentence(case, changes, workers, file):
    """What the command line says when such a run is built, without the recipe's file and line."""
    with pytest.raises(GanflowError) as caught:
        Parts(case.recipe(file, *changes), Workers(workers) if workers > 1 else None)
    return re.sub(rf"^{re.escape(str(file))}:\d+: ", "", caught.value.in_shell)


def test_what_is_refused_stands_in_the_docs(tmp_path):
    cases = {**CASES, "stackgan with match": Case(matched(), "stackgan, mismatch: 0, match: 0.5", whole=True)}
    lines = []
    for what, beside, case, changes, workers in OTHERS:
        lines.append((what, beside, sentence(case, changes, workers, tmp_path / "refused.yaml")))
    for name, case in cases.items():
        for beside, switch in CUT.items():
            row = {**PLAIN, **switch}
            if case.whole or (name in CASES and refused(name, row)):
                changes = [f"train.accumulate={row['accumulate']}"]
                lines.append((NAMES[name], beside, sentence(case, changes, row["workers"], tmp_path / "refused.yaml")))
    table = HEAD + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    text = DOCS.read_text()
    before, after = text[: text.index(HEAD)], text[text.rindex("|\n") + 2 :]
    if os.environ.get("GANFLOW_WRITE_DOCS"):
        DOCS.write_text(before + table + after)
    assert before + table + after == text


def matched():
    """Captions whose encoder knows pictures."""
    return CASES["stackgan"].parts.replace("use: bag_of_words, words: 8", "use: matched, steps: 1, batch: 4, dim: 4, side: 8")
