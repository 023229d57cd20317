"""docs/proof.md says what the tests find."""

import ast
import re

import pytest
from facts import FACTS
from proof_helpers import NAMES, PACKAGES

DOCS = (PACKAGES.parents[2] / "docs" / "proof.md").read_text(encoding="utf-8")
ROWS = {row[0].strip(" `"): [cell.strip() for cell in row[1:]]
        for row in (line.strip("|").split("|") for line in DOCS.splitlines() if line.startswith("| `gf_"))}  # fmt: skip


def lines_of(package):
    """Its lines of Python but for empty ones; networks that are taken as they are do not count."""
    files = [path for path in package.glob("*.py") if path.name != "networks.py"]
    return sum(bool(line.strip()) for path in files for line in path.read_text(encoding="utf-8").splitlines())


def test_every_package_has_a_row():
    assert sorted(ROWS) == [f"gf_{name}" for name in NAMES]
    assert sorted(FACTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_row_is_right(name):
    _, lines, compiled, workers, packed = ROWS[f"gf_{name}"]
    assert int(lines) == lines_of(PACKAGES / f"gf_{name}")
    for cell, reason in ((compiled, FACTS[name].compiled), (workers, FACTS[name].workers), (packed, FACTS[name].packed)):
        assert cell.startswith("no" if reason else "yes")
        assert f'"{reason}' in " ".join(DOCS.split()) or not reason


@pytest.mark.parametrize("name", NAMES)
def test_the_package_is_small_and_knows_public_names_only(name):
    for path in (PACKAGES / f"gf_{name}").glob("*.py"):
        code = path.read_text(encoding="utf-8")
        imports = [node.module or "" for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
        imports += [a.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import) for a in node.names]
        assert not [module for module in imports if re.match(r"ganflow\.", module)]
        if path.name == "__init__.py":
            assert re.search(r"^GANFLOW_CONTRACT = 2$", code, re.MULTILINE)
        else:
            assert "ganflow" not in " ".join(imports)
    assert lines_of(PACKAGES / f"gf_{name}") <= 80
