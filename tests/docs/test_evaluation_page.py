"""docs/evaluation.md: its commands, with its recipe."""

import shlex
from pathlib import Path

import pytest
from docs_helpers import blocks, pages

BLOCKS = blocks(pages()["evaluation.md"])


@pytest.mark.slow
def test_the_commands_run(command):
    (recipe,) = [text for language, text in BLOCKS if language == "yaml"]
    Path("small.yaml").write_text(recipe, encoding="utf-8")
    lines = [line for language, text in BLOCKS if language == "console" for line in text.splitlines()]
    assert len(lines) == 11
    for line in lines:
        name, *arguments = shlex.split(line)
        assert name == "ganflow"
        code, _, err = command(*arguments, *(["-q"] if arguments[0] == "run" else []))
        assert code == 0, f"{line}: {err}"
    assert Path("compare.png").exists()
    scored = [line.split(",")[2] for line in Path("scores.csv").read_text().splitlines()]
    assert {"modes_2500", "high_quality_2500", "sliced_w1_512"} < {*scored}

    assert command("run", "small.yaml", "-q", "name=other", "metrics[0].samples=64")[0] == 0
    (shown,) = [text for language, text in BLOCKS if language == "text"]
    assert command("evaluate", "small", "other", "--metric", "{use: modes, samples: 100}")[0] == 0
    code, out, _ = command("compare", "small", "other")
    assert code == 0
    assert shown.partition("20261129")[0] in out
    assert command(*shlex.split(out.partition("alike: ")[2])[1:])[0] == 0
    assert "not compared" not in command("compare", "small", "other")[1]
