"""docs/api.md: every public name, by what its docstring says first.

GANFLOW_WRITE_DOCS=1 writes these sentences in place of comparing them."""

import inspect
import re

from docs_helpers import DOCS, compare, sentence

import ganflow

PAGE = DOCS / "api.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)


def row(name, text):
    """A table's line. What has no docstring, constants and names of types, keeps the page's text."""
    value = getattr(ganflow, name)
    documented = inspect.isclass(value) or inspect.isfunction(value)
    return f"| `{name}` | {sentence(value.__doc__) if documented else text} |"


def test_every_public_name_has_a_row():
    assert sorted(name for name, _ in ROW.findall(TEXT)) == sorted(ganflow.__all__)


def test_the_rows_are_the_docstrings():
    _, rest = TEXT.split("<!-- begin: names -->\n")
    names, _ = rest.split("<!-- end: names -->\n")
    compare(PAGE, "names", ROW.sub(lambda match: row(*match.groups()), names))
