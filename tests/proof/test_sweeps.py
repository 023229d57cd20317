"""A sweep of two trials of every example."""

import json
import os
import subprocess
import sys

import pytest
from proof_helpers import NAMES, PACKAGES
from runner_helpers import last

from ganflow.tune.folder import SweepFolder

METRICS = {"began": "convergence", "gradnorm": "gradient_norm/critic", "infogan": "information_bound"}
"""Numbers of the package, where it has such; the loss otherwise."""
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


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_sweep(name, tmp_path):
    text = (PACKAGES / f"gf_{name}" / "recipe.yaml").read_text()
    key = "optimizer.generator.lr" if "  generator: {use: adam" in text else "optimizer.lr"
    (tmp_path / "sweep.yaml").write_text(text + SWEEP.format(key=key, metric=METRICS.get(name, "generator_loss")))
    command = [sys.executable, "-m", "ganflow", "tune", "sweep.yaml", "--name", "two"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    sweep = SweepFolder(tmp_path / "runs" / "two")
    trials = sweep.trials()
    assert [(t.state, t.round) for t in trials.values()] == [("finished", 12)] * 2
    assert [last(sweep.trial(number)).round for number in trials] == [12, 12]
    assert len({json.dumps(t.config) for t in trials.values()}) == 2
    assert sweep.best.exists()
