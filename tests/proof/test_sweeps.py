"""A sweep of two trials of four examples."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from proof_helpers import PACKAGES
from runner_helpers import last

sys.path.append(str(Path(__file__).parents[1] / "tune"))

from cluster_helpers import OwnCluster

from ganflow.sweeps.records import SweepFolder

METRICS = {"began": "convergence", "infogan": "information_bound", "learnt": "generator_loss", "textlog": "generator_loss"}
"""Examples that differ most in a sweep: a number of the package (of its state, of its loss), parameters in a loss, a tracker."""
OFTEN = ("began", "infogan")
SWEEP = """
tune:
  trials: 2
  metric: {metric}
  mode: min
  concurrency: 1
  resources: {{cpus: 0.5}}
  space:
    {key}: {{loguniform: [1.0e-4, 1.0e-2]}}
"""


@pytest.fixture(scope="module")
def cluster(distributions):
    """One for all: Ray takes longer to begin and to end than two such trials."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in (PACKAGES, distributions):
            patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        with OwnCluster(cpus=1, dashboard=False) as made:
            yield made


@pytest.mark.slow
@pytest.mark.parametrize("name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.rare) for name in METRICS])
def test_a_sweep(name, cluster, tmp_path):
    text = (PACKAGES / f"gf_{name}" / "recipe.yaml").read_text()
    key = "optimizer.generator.lr" if "  generator: {use: adam" in text else "optimizer.lr"
    (tmp_path / "sweep.yaml").write_text(text + SWEEP.format(key=key, metric=METRICS[name]))
    command = [sys.executable, "-m", "ganflow", "tune", "sweep.yaml", "--name", "two", "--address", cluster.head]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=cluster.environment())
    assert done.returncode == 0, done.stdout + done.stderr
    sweep = SweepFolder(tmp_path / "runs" / "two")
    trials = sweep.trials()
    assert [(t.state, t.round) for t in trials.values()] == [("finished", 12)] * 2
    assert [last(sweep.trial(number)).round for number in trials] == [12, 12]
    assert len({json.dumps(t.config) for t in trials.values()}) == 2
    assert sweep.best.exists()
