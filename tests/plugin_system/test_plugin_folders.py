"""The built-in plugins are found the way anyone's are, and finding them imports nothing heavy."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ganflow.contract.settings import keys, summary
from ganflow.plugins import load_catalogue

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "numpy", "ray", "mlflow", "omegaconf", "matplotlib", "PIL", "sklearn", "rich"}


def plugin_folders():
    return {path.name for path in (ROOT / "plugins").iterdir() if path.is_dir() and (path / "__init__.py").exists()}


def test_types_and_layers_of_every_folder_are_checked():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packages = plugin_folders()
    assert set(tools["mypy"]["packages"]) == set(tools["importlinter"]["root_packages"]) == {"ganflow", *packages}
    assert {f"{package}.*" for package in packages} in [set(override["module"]) for override in tools["mypy"]["overrides"]]
    contracts = tools["importlinter"]["contracts"]
    assert packages in [set(contract.get("source_modules", ())) for contract in contracts]
    rows = [{name for row in c["layers"] for name in row.split(" | ")} for c in contracts if c["type"] == "layers"]
    assert {"ganflow", *packages} in rows


def test_every_folder_has_an_entry_point_and_the_other_way_round():
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    entries, commands = points["ganflow"], points["ganflow.commands"]  # some bring a command and no components
    shared = {"ganflow_layers"}  # what plugins are built of
    assert set(entries.values()) | {module.partition(".")[0] for module in commands.values()} | shared == plugin_folders()
    assert all(module == f"ganflow_{name}" for name, module in entries.items())


def test_every_built_in_plugin_loads():
    load_catalogue.cache_clear()
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["ganflow"]
    loaded = {p.name: p for p in load_catalogue().plugins}
    assert set(loaded) >= set(entries)
    assert [loaded[name].error for name in entries] == [None] * len(entries)


def built_in():
    return [c for c in load_catalogue().components() if c.distribution == "ganflow"]


@pytest.mark.parametrize("component", built_in(), ids=lambda c: f"{c.role}-{c.qualified}")
def test_every_built_in_component_is_documented(component):
    assert summary(component.settings), f"{component} has no docstring"
    assert [k.name for k in keys(component.settings) if not k.notes.doc] == []


@pytest.mark.parametrize("code", ["from ganflow.plugins import load_catalogue; load_catalogue()", "import ganflow.testing"])
def test_the_catalogue_imports_nothing_heavy(code):
    program = f"{code}\nimport sys; print(*sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_command_imports_nothing_heavy_to_be_described():
    program = f"import ganflow.cli.plugins, sys; print(*sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
