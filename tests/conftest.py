"""What tests of several folders share: throw-away plugin distributions, and the command line without a process."""

import importlib
import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from ganflow.cli.main import main
from ganflow.plugins import load_catalogue

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks: threads that wait for each other make them many times slower
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with SIGINT ignored: so would ours

PLUGIN = '''
"""{doc}"""
from ganflow import hookimpl, key, settings

GANFLOW_CONTRACT = 2


@settings
class Patch:
    """Scores patches."""

    width: int = key(64, "channels")

    @hookimpl
    def critic(self, data):
        return ("mosaic", self.width, data)


@hookimpl
def register(offer):
    offer("critic", "mosaic", Patch)
'''


def pytest_collection_modifyitems(items):
    """Slow tests start several processes, and two tests run at a time."""
    for item in items:
        if (item.get_closest_marker("slow") or item.get_closest_marker("rare")) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """What tests learn is not kept in the user's cache folder, nor in that of his state."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANFLOW_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("GANFLOW_STATE", str(tmp_path_factory.mktemp("state")))
        yield


UNSEEN = ("api", "cli", "engine", "evaluation", "matrix", "packed", "proof", "runs")
"""Folders of tests that are not about pictures."""


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Figures are laid out and stay empty where no test sees them: drawing is most of a run of a few rounds."""
    if request.path.relative_to(Path(__file__).parent).parts[0] in UNSEEN and "drawn" not in request.fixturenames:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        monkeypatch.setattr(FigureCanvasAgg, "draw", lambda canvas: canvas.get_renderer().clear())


@pytest.fixture
def drawn():
    """Figures are drawn, for a test in one of the folders UNSEEN that sees them."""


class Workshop:
    """Makes distributions in one folder each (a package and its dist-info, on sys.path for one test), and the catalogue that
    sees them."""

    def __init__(self, tmp_path, monkeypatch):
        self.tmp_path, self.monkeypatch, self.modules = tmp_path, monkeypatch, set()

    def install(self, name, code=None, *, distribution=None, version="1.0", module=None, entry=None, files=(), folder=None):
        """A distribution with a plugin `name`, whose module gf_<name> has `code`; `files` are further modules of it."""
        distribution, module = distribution or f"gf-{name}", module or f"gf_{name}"
        site = self.tmp_path / (folder or distribution)
        package = site / module.replace(".", "/")
        package.mkdir(parents=True, exist_ok=True)
        code = PLUGIN.format(doc=f"The plugin {name}.") if code is None else code
        (package / "__init__.py").write_text(textwrap.dedent(code))
        for file, text in dict(files).items():
            (package / file).write_text(textwrap.dedent(text))
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[ganflow]\n{name} = {module if entry is None else entry}\n")
        self.monkeypatch.syspath_prepend(site)
        self.modules.add(module.partition(".")[0])
        return site

    def catalogue(self):
        importlib.invalidate_caches()
        load_catalogue.cache_clear()
        return load_catalogue()

    def plugin(self, name):
        return next(p for p in self.catalogue().plugins if p.name == name)

    def clean(self):
        for loaded in [m for m in sys.modules if m.partition(".")[0] in self.modules]:
            del sys.modules[loaded]
        load_catalogue.cache_clear()


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    made = Workshop(tmp_path, monkeypatch)
    yield made
    made.clean()


class Commands:
    """`command("run", "wgan")`: (exit code, stdout, stderr), in this process."""

    def __init__(self, capsys):
        self.capsys = capsys

    def __call__(self, *arguments):
        self.capsys.readouterr()
        code = main([str(a) for a in arguments])
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    def refused(self, *arguments):
        """The sentence, or several lines, that a mistake gets: on stderr, with nothing on stdout and exit code 2."""
        code, out, err = self(*arguments)
        assert (code, out) == (2, "")
        assert err.endswith("\n")
        return err.strip()


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Commands(capsys)


class Clock:
    """Stands still unless it is told to go on."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def stopped_clock(monkeypatch):
    """`stopped_clock(module)` puts one in the place of a module's time.monotonic."""

    def stop(module):
        clock = Clock()
        monkeypatch.setattr(module.time, "monotonic", clock)
        return clock

    return stop
