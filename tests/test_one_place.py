"""Things that are done in one module only: what is written atomically, locked, started as a process."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CALLS = {
    "ganflow/files.py": {"os.replace", "os.rename", "os.fsync"},
    "ganflow/lock.py": {"fcntl.flock", "fcntl.fcntl", "fcntl.lockf", "msvcrt.locking"},
    "ganflow/child.py": {"os.system", "os.fork", "os.execv", "os.execvp", "os.posix_spawn",
                         *(f"subprocess.{name}" for name in ("Popen", "run", "call", "check_call", "check_output"))},
}  # fmt: skip
SOURCES = [path for folder in ("ganflow", "plugins") for path in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("module", CALLS)
def test_it_is_done_in_one_module(module):
    found = set()
    for path in SOURCES:
        calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        if any(ast.unparse(call) in CALLS[module] for call in calls if isinstance(call, ast.Attribute)):
            found.add(path.relative_to(ROOT).as_posix())
    assert found == {module}


def test_nothing_is_set_on_a_run_from_outside():
    """What a run is made with is its `RunOptions`."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                assert not ast.unparse(target).startswith(("run.", "self._run.", "session.")), (path, node.lineno)
