"""docs/going_on.md: its commands, with its recipe."""

import shlex
from pathlib import Path

import pytest
from docs_helpers import blocks, pages

from ganflow.recipe import Train
from ganflow.runs.amend import Changes
from ganflow.runs.finding import find_run

PAGE = pages()["going_on.md"]
BLOCKS = blocks(PAGE)


@pytest.mark.slow
def test_the_commands_run(command):
    (recipe,) = [text for language, text in BLOCKS if language == "yaml"]
    Path("small.yaml").write_text(recipe, encoding="utf-8")
    lines = [line for language, text in BLOCKS if language == "console" for line in text.splitlines()]
    assert len(lines) == 7
    said = []
    for line in lines:
        name, *arguments = shlex.split(line)
        assert name == "ganflow"
        code, out, err = command(*arguments)
        assert code == 0, f"{line}: {err}"
        said.append(out + err)
    assert "the learning rate of generator and critic goes up again, from 0.0001 to 0.001" in said[1]
    assert "changed after round 20: train.rounds: 20 → 40" in said[1]
    assert "after round 40: optimizer.critic.lr: 0.001 → 0.0005" in said[3]
    assert "goes up again" not in said[5]
    assert find_run("other", Path("runs")).read().start_from["round"] == 50


def test_every_key_of_the_table_may_change():
    table = PAGE.partition("## What may change")[2].partition("```")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[4:] if "|" in line]
    named = [key.strip("` ") for row in rows for key in row.split(",") if "`" in key]
    assert len(named) > 10
    sections = {key if "." in key or not hasattr(Train(), key) else f"train.{key}" for key in named}
    for key in sections:
        line = f"{key.partition(' and ')[0].strip('`')}: a → b"
        if line.startswith("data.path"):
            assert Changes((line,)).moves_data
        elif line.startswith(("track:", "schedule", "trackers:")):
            assert not Changes((line.replace(":", ".critic.use:", 1),)).refused
        else:
            assert not Changes((line,)).refused, line
