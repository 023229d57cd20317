"""Sweeps that are left alone."""

import pytest
from sweep_helpers import assert_same_run, recipe, tune
import sys, subprocess
from ganflow.tune.folder import SweepFolder
from ganflow.runs import RunFolder, all_runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Four trials, one at a time, in one process that Ray reuses."""
    folder = tmp_path_factory.mktemp("undisturbed")
    recipe(folder)
    code, out, err = tune(folder, "alone", "tune.concurrency=1")
    print(out, err)
    assert code == 0, err
    return folder, SweepFolder(folder / "runs" / "alone")


def test_x(undisturbed):
    folder, sweep = undisturbed
    print(sweep.records.read_text())
    pids = {sweep.trial(n).about()["pid"] for n in range(4)}
    assert len(pids) == 1
    subprocess.run([sys.executable, "-m", "ganflow", "run", sweep.trial(3).recipe, "--runs", "elsewhere", "-q"], cwd=folder, check=True)
    (run,) = all_runs(folder / "elsewhere")
    assert_same_run(sweep.trial(3), run)
