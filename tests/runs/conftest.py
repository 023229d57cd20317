"""A folder to work in, the command in this process, and throw-away plugins for it and for processes of their own."""

import importlib
import sys
import textwrap

import pytest
from runner_helpers import TINY, process_kept

from ganflow.cli.main import main
from ganflow.plugins import load_catalogue


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty folder with tiny.yaml. What a run sets for its whole process is put back afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    with process_kept():
        yield tmp_path


@pytest.fixture
def ganflow(work, capsys):
    """Runs a command in this process: exit code, stdout, stderr. Whatever happens, there is no traceback."""

    def run(*arguments):
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def plugin(work, monkeypatch):
    """Installs a distribution gf-NAME with the plugin NAME; returns the folder that makes it importable."""
    made = set()

    def install(name, code, version="1.0"):
        site = work / f"site-{name}"
        package = site / f"gf_{name}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(textwrap.dedent(code))
        info = site / f"gf_{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: gf-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[ganflow]\n{name} = gf_{name}\n")
        monkeypatch.syspath_prepend(site)
        made.add(f"gf_{name}")
        importlib.invalidate_caches()
        load_catalogue.cache_clear()
        return site

    yield install
    for module in [m for m in sys.modules if m.partition(".")[0] in made]:
        del sys.modules[module]
    load_catalogue.cache_clear()
