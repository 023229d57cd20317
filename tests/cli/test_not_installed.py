"""Packages that only some commands need, where they are not installed: one sentence, nothing begun."""

import subprocess
import sys
from importlib import import_module

import pytest

CODE = """
import sys
sys.modules[sys.argv[1]] = None  # as if it were not installed
from ganflow.cli import main
sys.exit(main(sys.argv[2:]))
"""


RAY = "ganflow: this needs ray, which is not installed: pip install 'ray[default,tune]'"


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        ("ray", ["tune", "sweeps/asha", "tune.trials=2"], RAY),
        ("ray", ["tune", "sweeps/asha", "--dry-run"], RAY),
        ("mlflow", ["run", "ring", "train.rounds=1"],
         "ganflow: MLflow is not installed: pip install mlflow, or train without it (track.mlflow=false)"),
    ],
)  # fmt: skip
def test_one_sentence(module, arguments, said, tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE, module, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{said}\n")
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize(("module", "needed"), [("PIL.Image", "pip install pillow"), ("x_y", None), ("ganflow.nothing", None)])
def test_only_what_ganflow_asks_for_is_a_sentence(module, needed):
    found = import_module("ganflow.cli.main")._lacking(ModuleNotFoundError(name=module))
    assert found is None if needed is None else found.endswith(needed)
