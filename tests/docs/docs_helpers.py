"""The pages of docs/, and the blocks of code in them."""

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
