"""The example packages, installed for each test: in folders of their own, known by entry points, for child processes too."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from ganflow.plugins import load_catalogue

sys.path.append(str(Path(__file__).parents[1] / "runs"))

from runner_helpers import process_kept

PACKAGES = Path(__file__).parent / "packages"


@pytest.fixture(scope="session")
def distributions(tmp_path_factory):
    """A folder with what pip leaves of an installed package: its name, version and entry point."""
    site = tmp_path_factory.mktemp("site")
    for package in PACKAGES.glob("gf_*"):
        name = package.name.removeprefix("gf_")
        info = site / f"{package.name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: gf-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ganflow]\n{name} = {package.name}\n")
    return site


@pytest.fixture(autouse=True)
def installed(distributions, monkeypatch):
    """What a run sets for its whole process is put back afterwards."""
    path = [str(distributions), str(PACKAGES)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])]))
    for folder in path:
        monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    load_catalogue.cache_clear()
    with process_kept():
        yield
    for module in [m for m in sys.modules if m.partition(".")[0] in {p.name for p in PACKAGES.iterdir()}]:
        del sys.modules[module]
    load_catalogue.cache_clear()
