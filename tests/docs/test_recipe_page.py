"""docs/recipe.md: the keys of a recipe's own sections, and the domains of a space, from the code that reads them.

GANFLOW_WRITE_DOCS=1 writes the tables in place of comparing them."""

import random
import re

import pytest
from docs_helpers import DOCS, compare

from ganflow.contract.settings import keys
from ganflow.recipe.sections import Head, Track, Train, Tune
from ganflow.recipe.yaml import to_flow
from ganflow.space.scales import DOMAINS, read_domain

PAGE = DOCS / "recipe.md"
EXAMPLES = {
    "uniform": [0.0, 0.9],
    "loguniform": [1e-5, 1e-3],
    "quniform": [16, 128, 16],
    "qloguniform": [0.001, 1.0, 0.001],
    "randint": [1, 6],
    "lograndint": [1, 1000],
    "qrandint": [16, 128, 16],
    "qlograndint": [16, 1024, 16],
    "normal": [0.0, 1.0],
    "choice": [1, 5],
    "grid": [1, 5],
}


def cell(text):
    return text.replace("|", "\\|")


def type_of(key):
    return re.sub(r"Literal\[(.*?)\]", lambda m: m[1].replace("'", ""), key.type_name)


def default_of(key):
    return "" if key.required or key.default is None else f"`{to_flow(key.default)}`"


@pytest.mark.parametrize("section", [Head, Train, Track, Tune])
def test_every_key_is_on_the_page(section):
    lines = ["\n", "| Key | Type | Default | |\n", "|---|---|---|---|\n"]
    for key in keys(section):
        assert key.notes.doc, key.name
        lines.append(f"| `{key.name}` | {cell(type_of(key))} | {cell(default_of(key))} | {cell(key.notes.doc)} |\n")
    compare(PAGE, section.__name__.lower(), "".join([*lines, "\n"]))


def test_every_domain_is_on_the_page():
    assert list(EXAMPLES) == list(DOMAINS)
    lines = ["\n", "| Kind | | Example |\n", "|---|---|---|\n"]
    for kind, values in EXAMPLES.items():
        domain = read_domain(kind, values)
        assert domain.contains(domain.sample(random.Random(0)))
        example = f"`{{{kind}: {to_flow(values)}}}`"
        doc = " ".join((DOMAINS[kind].__doc__ or "").split())
        lines.append(f"| `{kind}` | {cell(doc)} | {cell(example)} |\n")
    compare(PAGE, "domains", "".join([*lines, "\n"]))
