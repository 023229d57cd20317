"""docs/contract: a page for each hook, with its specification as it is written and an example that runs.

GANFLOW_WRITE_DOCS=1 writes the specifications in place of comparing them."""

import inspect
import re
from pathlib import Path

import pytest
from docs_helpers import DOCS, between, blocks, compare, prose, sentence

from ganflow.cli.recipes import UNBUILT
from ganflow.contract.hooks import BUILDERS, EVENTS, spec_of
from ganflow.testing import check_plugin

FOLDER = DOCS / "contract"
HOOKS = (*BUILDERS, *EVENTS)
CALLED = ("executor", "evaluated")
"""Hooks whose example is called; those of all others take part in a run."""


def specification(hook):
    spec = spec_of(hook)
    signature = str(inspect.signature(spec)).replace("'", "")
    return f"\n```python\ndef {hook}{signature}\n```\n\n{prose(spec.__doc__)}\n\n"


def overview():
    lines = ["\n", "| Hook | What it is for |\n", "|---|---|\n"]
    for hook in HOOKS:
        lines.append(f"| [`{hook}`]({hook}.md) | {sentence(spec_of(hook).__doc__)} |\n")
    return "".join([*lines, "\n"])


def test_every_hook_has_a_page_and_every_page_a_hook():
    assert {path.stem for path in FOLDER.glob("*.md")} == {"index", *HOOKS}


def test_the_overview():
    compare(FOLDER / "index.md", "hooks", overview())


@pytest.mark.parametrize("hook", HOOKS)
def test_the_page_says_what_the_specification_says(hook):
    page = FOLDER / f"{hook}.md"
    assert page.read_text(encoding="utf-8").startswith(f"# {hook}\n")
    compare(page, "specification", specification(hook))


def example_of(page):
    """A plugin, a recipe that names it, and what is true afterwards."""
    written = "hooks" if page == "index" else "specification"
    return blocks(between((FOLDER / f"{page}.md").read_text(encoding="utf-8"), written)[2])


@pytest.mark.slow
@pytest.mark.parametrize("page", ["index", *HOOKS])
def test_the_example_keeps_the_contract(page, workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write a file
    (_, code), *_ = example_of(page)
    workshop.install("example", code)
    workshop.catalogue()
    check_plugin("example")


@pytest.mark.parametrize("page", ["index", *HOOKS])
def test_the_example_runs(page, command, workshop):
    plugin, recipe, afterwards = example_of(page)
    assert [language for language, _ in (plugin, recipe, afterwards)] == ["python", "yaml", "python"]
    hook = r"@hookimpl\(wrapper=True\)\n    def critic" if page == "index" else rf"@hookimpl\n    def {page}"
    assert re.search(rf"{hook}\(", plugin[1]), f"the example of {page} does not implement it"
    assert "assert " in afterwards[1]
    workshop.install("example", plugin[1])
    workshop.catalogue()
    Path("example.yaml").write_text(recipe[1], encoding="utf-8")
    assert command("check", "example.yaml") == (0, "example.yaml: ok\n", f"{UNBUILT}\n")
    if page not in CALLED:
        assert command("run", "example.yaml", "train.compile=never", "track.mlflow=false", "-q")[::2] == (0, "")
    exec(compile(afterwards[1], f"<afterwards of {page}>", "exec"), {"__name__": "afterwards"})
