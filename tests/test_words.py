"""Words of identifiers and of docstrings' first lines: the field's, room by room (docs/glossary.md)."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = subprocess.run(["git", "ls-files", "ganflow/*.py", "plugins/*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
ROOMS: dict[str, list[str]] = {}
for file in FILES.stdout.splitlines():
    ROOMS.setdefault("/".join(file.split("/")[:-1][:2]), []).append(file)

AVOIDED = set(re.findall(r"\w+", """
    told said given own place places standing order orders book books hire hires hired dismiss dismissed reach reaches
    deaths kinds proof marks wording brought pure meeting meetings heir heirs look looks take takes
"""))  # fmt: skip
ORDERS = {  # "order" where things are put in one, and not what somebody is asked to do, which is a spec
    "ganflow/recipe/overrides.py": "the sort key of overrides",
    "ganflow/space/space.py": "keys after those that their conditions name",
    "plugins/ganflow_inpainting/masks.py": "a permutation of pixels",
    "plugins/ganflow_inpainting/search.py": "argsort",
    "plugins/ganflow_layers/split.py": "a permutation of examples",
}
STORED = {("ganflow/runs/record.py", "kinds"), ("ganflow/sweeps/records.py", "place")}  # keys of files of earlier versions
PHRASES = re.compile(r"\b(in[- ]place(?! of)|(in|of|to) order)\b")  # torch's in-place operations; sequences
CLAUSE = re.compile(r"(Whether|What|How|Which|Where|Who|Whose|Why|That|When|If)\b")


def words(name: str) -> set[str]:
    """The words of an identifier, in snake case or camel case."""
    return {word for word in re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_") if word}


UNQUOTED = re.compile(r"(?<!['\w.+])\+?[a-z_]+(\.[a-z_]+)*=(\[?\{\w+: |\[\])")
"""A change to a recipe with braces or brackets, which a shell would expand: '+metrics={use: frechet}' is quoted."""


def unquoted(tree: ast.Module) -> list[tuple[int, str]]:
    """Lines and texts of sentences that hold a change to a recipe that cannot be typed as it stands there."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    inside |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    found = []
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node] if id(node) not in inside else []
        text = "".join(str(p.value) if isinstance(p, ast.Constant) and isinstance(p.value, str) else "…" for p in parts)
        if any(match.start() for match in UNQUOTED.finditer(text)):  # at the beginning it is the change itself, and no sentence
            found.append((getattr(node, "lineno", 0), text))
    return found


def defined(node: ast.AST) -> str:
    """The identifier that a node defines, or nothing."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
            return name
        case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()) | ast.alias(asname=str(name)):
            return name
    return ""


def wrong_words(tree: ast.Module, orders: bool = False) -> list[tuple[int, str]]:
    """Lines and texts of identifiers and of docstrings' first lines that hold an avoided word, or begin with a clause."""
    found = []
    for node in ast.walk(tree):
        name = defined(node)
        if words(name) & (AVOIDED - {"order"} if orders else AVOIDED):
            found.append((node.lineno, name))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node):
            first = str(ast.get_docstring(node)).splitlines()[0]
            used = set(re.findall(r"[a-z]+", PHRASES.sub("", first.lower()))) & (AVOIDED - {"order"})
            if used or CLAUSE.match(first) or "last words" in first.lower():
                found.append((node.body[0].lineno, f"“{first}”"))
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_words_are_the_fields(room):
    found = [
        f"{file}:{line}: {text}"
        for file in ROOMS[room]
        for line, text in wrong_words(ast.parse((ROOT / file).read_text(encoding="utf-8")), file in ORDERS)
        if (file, text) not in STORED
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ('def save(path):\n    """Write a checkpoint atomically."""', []),
        ('def double_(t):\n    """Double a tensor in place, in the order of its rows."""', []),
        ("standing = self.told = 1", ["standing", "told"]),
        ("def f(*, given, takeMe): ...", ["given", "takeMe"]),
        ("import json as book", ["book"]),
        ("class TrialOrder: ...", ["TrialOrder"]),
        ("x = marks; y = placed; z = ordered; takeover = 1", []),  # uses are not definitions, and these are other words
        ('"""Numbers in place of names."""', ["“Numbers in place of names.”"]),
        ('class A:\n    """Whether it is one.\n\n    More."""', ["“Whether it is one.”"]),
        ('def f():\n    """The last words of a run."""', ["“The last words of a run.”"]),
    ],
)
def test_wrong_words_are_found(code, texts):
    assert [text for _, text in wrong_words(ast.parse(code))] == texts


def test_orders_are_allowed_where_things_are_put_in_one():
    tree = ast.parse("order = 1\nspace = order")
    assert wrong_words(tree) == [(1, "order")]
    assert wrong_words(tree, orders=True) == []


@pytest.mark.parametrize("room", ROOMS)
def test_what_messages_advise_can_be_typed(room):
    found = [
        f"{file}:{line}: {text}"
        for file in ROOMS[room]
        if not file.startswith("ganflow/testing/")  # whose advice is Python
        for line, text in unquoted(ast.parse((ROOT / file).read_text(encoding="utf-8")))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('"add one: +metrics={use: frechet}"', True),
        ('f"add one to {name}: +metrics={{use: frechet}}"', True),
        ('"use another, or condition=[]"', True),
        ('"add: modifiers=[{use: r1}]"', True),
        ("\"add one: '+metrics={use: frechet}'\"", False),
        ('"modifiers=[{use: r1}]"', False),
        ('f"+metrics={metric}"', False),
        ('"partners={\'loss\': 1}"', False),
    ],
)
def test_unquoted_advice_is_found(code, found):
    assert bool(unquoted(ast.parse(f"text = {code}"))) == found
