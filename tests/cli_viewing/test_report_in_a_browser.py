"""The report of a run, in a real browser, while it trains."""

import shutil
import subprocess
import sys

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
RECIPE = """
name: live
data: {use: digits, size: 8}
prior: {use: normal, dim: 4}
generator: {use: mlp, width: 16}
critic: {use: mlp, width: 16}
loss: wasserstein
optimizer: rmsprop
train: {rounds: 100000, batch_size: 16, report_every: 50, sample_every: 200, checkpoint_every: 10000, compile: never}
track: {mlflow: false}
"""


@pytest.mark.slow
def test_a_page_follows_a_run(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    (tmp_path / "live.yaml").write_text(RECIPE)
    process = subprocess.Popen([sys.executable, "-m", "ganflow", "run", "live.yaml"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        with playwright.sync_playwright() as tool:
            browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1200, "height": 1600})
            errors = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            for _ in range(600):
                if written := list(tmp_path.glob("runs/live/*/samples/round-00000200.png")):
                    break
                page.wait_for_timeout(200)
            page.goto(f"file://{written[0].parents[1] / 'report.html'}")
            assert "running, round" in page.inner_text("#state")
            assert page.locator("#charts svg").count() >= 3
            assert page.locator("#picture").evaluate("image => image.naturalWidth") > 100
            first = page.inner_text("#caption")
            page.wait_for_function("text => document.getElementById('caption').textContent !== text", arg=first, timeout=60_000)
            page.locator("#slider").evaluate("slider => { slider.value = 0; slider.dispatchEvent(new Event('input')); }")
            assert page.inner_text("#caption") == "round 0"
            process.terminate()
            assert process.wait(60) == 143
            page.reload()
            assert "interrupted" in page.inner_text("#state")
            assert page.inner_text("#caption") == "round 0"  # what was looked at stays
            page.set_viewport_size({"width": 380, "height": 800})  # a telephone: nothing is cut off
            assert page.evaluate("document.documentElement.scrollWidth") <= 380
            assert errors == []
            browser.close()
    finally:
        process.kill()
        process.wait()
