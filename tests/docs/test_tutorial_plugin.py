"""docs/tutorial_plugin.md, followed as it is written; but for pip, whose work is done here (tests/packaging has it do that)."""

import re
import shlex
import tomllib

import pytest
import torch
from docs_helpers import DOCS, blocks

from ganflow import find_run
from ganflow.runs.journal import entries

PAGE = (DOCS / "tutorial_plugin.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"This is\s`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = [line for language, text in blocks(PAGE) if not language for line in text.splitlines()]


def test_two_files_of_less_than_40_lines():
    assert set(FILES) == {"acme/gf_acme/__init__.py", "acme/pyproject.toml"}
    assert sum(bool(line.strip()) for text in FILES.values() for line in text.splitlines()) < 40


@pytest.mark.slow
def test_it_works_as_written(command, workshop, tmp_path):
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    pip, *others = COMMANDS
    assert pip == "pip install -e acme"
    project = tomllib.loads(FILES["acme/pyproject.toml"])["project"]
    assert (project["name"], project["entry-points"]["ganflow"]) == ("gf-acme", {"acme": "gf_acme"})
    workshop.install("acme", FILES["acme/gf_acme/__init__.py"], version=project["version"], folder="site")
    workshop.catalogue()
    printed = []
    for line in others:
        program, *words = shlex.split(line)
        assert program == "ganflow"
        code, out, err = command(*words)
        assert code == 0, err
        printed.append(out)
    assert "Least squares that forgive scores far from their target." in printed[0]
    assert [printed[1]] == [text for language, text in blocks(PAGE) if language == "text"]
    run = find_run("latest", tmp_path / "runs")
    assert {"critic/cauchy", "generator/cauchy"} <= next(entries(run.journal)).values.keys()
    assert run.read().plugins["acme"] == {"distribution": "gf-acme", "version": "0.1"}
    assert (tmp_path / "cauchy.png").exists()


def test_what_the_page_says_of_the_formula():
    scope = {}
    exec(FILES["acme/gf_acme/__init__.py"], scope)
    (said,) = re.findall(r"`(Cauchy[^`]+)` is log 2", PAGE)
    assert float(eval(said, {**scope, "torch": torch})) == pytest.approx(torch.tensor(2.0).log().item())
