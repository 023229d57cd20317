"""Import circles in ganflow/ and plugins/, by the syntax trees: hints under TYPE_CHECKING count, imports in functions apart."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KNOWN_IN_FUNCTIONS: frozenset[str] = frozenset()
"""What is in a circle where imports in functions count, too."""


def modules_below(root):
    """Name → file, of the packages in ganflow/ and plugins/."""
    found = {}
    for top, base in ((root / "ganflow", root), (root / "plugins", root / "plugins")):
        for path in sorted(top.rglob("*.py")):
            name = ".".join(path.relative_to(base).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imports_of(name, path, modules):
    """(modules that `name` imports, those that it imports in functions). A name that a package's face has counts for the face, a
    submodule for itself alone, as it does not wait for the face."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    within = {id(node) for function in functions for node in ast.walk(function)}
    at_once, later = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import, which this test cannot follow"
            wanted = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in wanted:
            while target and target not in modules:
                target = target.rpartition(".")[0]
            if target and target != name:
                (later if id(node) in within else at_once).add(target)
    return at_once, later


def circles(graph):
    """The strongly connected components of two modules or more (Tarjan 1972)."""
    number, lowest, stack, found = {}, {}, [], []

    def visit(module):
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for target in sorted(graph[module]):
            if target not in number:
                visit(target)
            if target in stack:
                lowest[module] = min(lowest[module], lowest[target])
        if lowest[module] == number[module]:
            start = stack.index(module)
            if len(stack) - start > 1:
                found.append(sorted(stack[start:]))
            del stack[start:]

    for module in sorted(graph):
        if module not in number:
            visit(module)
    return found


def graph_of(root, in_functions):
    modules = modules_below(root)
    graph = {}
    for name, path in modules.items():
        at_once, later = imports_of(name, path, modules)
        graph[name] = at_once | later if in_functions else at_once
    return graph


@pytest.mark.parametrize(("in_functions", "known"), [(False, frozenset()), (True, KNOWN_IN_FUNCTIONS)], ids=["", "in-functions"])
def test_no_import_circle(in_functions, known):
    graph = graph_of(ROOT, in_functions)
    new = [circle for circle in circles(graph) if not known.issuperset(circle)]
    lines = [f"{module} imports {', '.join(sorted(graph[module] & set(circle)))}" for circle in new for module in circle]
    assert not new, f"{len(new)} circles of {[len(circle) for circle in new]} modules:\n" + "\n".join(lines)


def test_a_circle_is_found(tmp_path):
    """Of a hint, of a package's face, of a function; and nothing where arrows only point down."""
    files = {
        "ganflow/__init__.py": "",
        "ganflow/a.py": "from ganflow.b import thing\nfrom ganflow import c",
        "ganflow/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ganflow.a",
        "ganflow/c.py": "import os",
        "plugins/p/__init__.py": "from p.low import x",
        "plugins/p/low.py": "def f():\n    from p import g\n    from ganflow.c import h",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert circles(graph_of(tmp_path, in_functions=False)) == [["ganflow.a", "ganflow.b"]]
    assert circles(graph_of(tmp_path, in_functions=True)) == [["ganflow.a", "ganflow.b"], ["p", "p.low"]]
