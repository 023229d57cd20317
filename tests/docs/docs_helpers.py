"""The pages of docs/, and the blocks of code in them."""

import inspect
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages():
    """Every page, by its path below docs/."""
    return {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}


def blocks(text):
    """(language, code) of each fenced block."""
    return FENCED.findall(text)


def between(text, name):
    """What a page has between <!-- begin: NAME --> and <!-- end: NAME -->, and the text around it."""
    before, begin, rest = text.partition(f"<!-- begin: {name} -->\n")
    within, end, after = rest.partition(f"<!-- end: {name} -->\n")
    assert begin, f"there is no <!-- begin: {name} -->"
    assert end, f"there is no <!-- end: {name} -->"
    return before + begin, within, end + after


def prose(docstring):
    """A docstring as Markdown: stars and angles are none of its marks."""
    parts = re.split(r"(`[^`]*`)", inspect.cleandoc(docstring))
    return "".join(part if part.startswith("`") else re.sub(r"([*<>])", r"\\\1", part) for part in parts)


def sentence(docstring):
    """The first sentence of a docstring, without where to look further."""
    first = re.match(r".+?(?=\.(?:\s|$))", prose(docstring).replace("\n", " "))[0]
    return re.sub(r": see [\w.]+$", "", first) + "."


def compare(path, name, wanted):
    """The page's part of this name is what it should be, or is made so."""
    text = path.read_text(encoding="utf-8")
    before, found, after = between(text, name)
    if os.environ.get("GANFLOW_WRITE_DOCS"):
        path.write_text(before + wanted + after, encoding="utf-8")
        return
    assert found == wanted, f"{path.name} is not what the code says; GANFLOW_WRITE_DOCS=1 writes it anew"
