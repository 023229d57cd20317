"""ganflow ui: MLflow's pages on the runs."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tracking_helpers import until

from ganflow.cli import main
from ganflow.runs.folders import RunFolder
from ganflow.tracking import store
from ganflow.tracking.outbox import State
from ganflow.tracking.sync import sync

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
Make = Callable[..., RunFolder]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def test_a_port_that_is_taken(port: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert main(["ui", "--port", str(port), "--runs", str(tmp_path)]) == 2
    why = "cannot be used (Address already in use); choose another"
    assert capsys.readouterr().err == f"ganflow: port {port} on 127.0.0.1 {why}: --port {port + 1}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["0", "65536", "-1", "http"])
def test_a_port_that_is_none(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", f"--port={wrong}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_address_that_is_not_ours(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", "--host", "192.0.2.1", "--port", str(port)]) == 2
    assert "cannot listen on 192.0.2.1" in capsys.readouterr().err


def test_a_server_elsewhere_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.lab:5000")
    assert main(["ui", "--no-browser"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "the runs are tracked by the MLflow server at http://mlflow.lab:5000"
    assert second.startswith("it does not say which runs it has: ")


@contextmanager
def shown(runs: Path, port: int) -> Iterator[str]:
    """`ganflow ui` in its own process, ended by Ctrl-C."""
    command = [sys.executable, "-m", "ganflow", "ui", "--runs", str(runs), "--port", str(port), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{port}"
        assert process.stdout.readline() == f"MLflow at {url} (Ctrl-C ends it)\n"
        assert answers(url)  # as soon as it is said
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=100)
    assert (process.returncode, errors) == (0, "")
    assert not answers(url)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.slow
def test_the_store_is_made(tmp_path: Path, port: int) -> None:
    with shown(tmp_path / "runs", port):
        assert (tmp_path / "runs" / "mlflow.db").exists()


@pytest.mark.slow
def test_a_browser_shows_the_run(make_run: Make, database: str, tmp_path: Path, port: int) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    folder = make_run(points=50, pictures=(0, 50), status="finished")
    sync(folder)
    state, client = State.read(folder), store.client(database)
    ((_, first),), _ = store.pages(client, f"http://127.0.0.1:{port}")
    with shown(tmp_path / "runs", port) as url, playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        page = browser.new_page(viewport={"width": 1500, "height": 1400})
        page.goto(first)  # the page that is linked to: training, with charts and pictures
        page.get_by_text(f"ring {folder.id}").first.wait_for()
        page.get_by_text("critic/loss").first.wait_for()
        assert page.get_by_text("Model training").count() == 1
        assert "/runs?workflowType=machine_learning" in page.url

        experiment = f"{url}/#/experiments/{state.experiment_id}/runs"
        page.goto(experiment)
        page.get_by_text(f"ring {folder.id}").first.wait_for()
        page.screenshot(path=tmp_path / "list.png")

        page.goto(f"{experiment}/{state.run_id}")
        page.get_by_text("critic/loss").first.wait_for()
        assert page.get_by_text("digits (0123456789abcdef)").count() == 1
        until(lambda: page.locator("img[src^='get-artifact?path=images']").first.evaluate("image => image.naturalWidth") > 0, 20)

        page.goto(f"{experiment}/{state.run_id}/model-metrics")
        picture = page.locator("img[src*='samples']").first
        picture.wait_for()
        picture.scroll_into_view_if_needed()
        until(lambda: picture.evaluate("image => image.naturalWidth") > 0, 20)
        page.screenshot(path=tmp_path / "metrics.png")
        browser.close()
