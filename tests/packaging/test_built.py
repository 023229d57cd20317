"""What is built from the tree: everything that a user needs, in its place, and the same from the sdist."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the sdist and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def in_the_tree(folder):
    return {p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def test_the_wheel_holds_the_core_every_plugin_and_every_recipe(wheel):
    expected = {
        **{str(p.relative_to(ROOT)): p for p in in_the_tree("ganflow")},
        **{str(p.relative_to(ROOT / "plugins")): p for p in in_the_tree("plugins")},
        **{str("ganflow" / p.relative_to(ROOT)): p for p in in_the_tree("recipes")},
    }
    packed = {name for name in wheel if ".dist-info/" not in name}
    assert packed == set(expected)
    assert all(wheel[name] == path.read_bytes() for name, path in expected.items())
    assert {"ganflow/py.typed", "ganflow/recipes/wgan.yaml", "ganflow_wgan/__init__.py"} <= packed


def test_what_the_wheel_says_of_itself(wheel):
    info = {name.partition("/")[2]: data.decode() for name, data in wheel.items() if ".dist-info/" in name}
    assert "Name: ganflow\n" in info["METADATA"]
    assert "License-Expression: Apache-2.0\n" in info["METADATA"]
    assert "Requires-Python: >=3.11\n" in info["METADATA"]
    assert {"RECORD", "WHEEL", "licenses/LICENSE"} <= set(info)
    assert re.findall(r"^(\w+) = (\w+)$", info["entry_points.txt"], re.MULTILINE) == sorted(
        PROJECT["entry-points"]["ganflow"].items()
    )
    assert "ganflow = ganflow.cli:main\n" in info["entry_points.txt"]


def test_the_sdist_can_be_tested_and_built_again(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {Path(name).relative_to(Path(name).parts[0]).as_posix() for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", "plugins/ganflow_wgan/__init__.py"} <= names
    assert {"recipes/wgan.yaml", "ganflow/__init__.py", "tests/test_quality.py", "docs/images/digits.png"} <= names
