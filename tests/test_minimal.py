"""`import ganflow` and training with tracking off need torch, pluggy, omegaconf and safetensors (with their yaml and numpy)."""

import subprocess
import sys

CODE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"PIL", "matplotlib", "rich", "mlflow", "ray", "sklearn", "click", "pandas", "scipy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())

from ganflow.cli import main

sys.exit(main(["run", sys.argv[1], "--runs", sys.argv[2]]))
"""
RECIPE = """
data: {use: gaussians, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: wasserstein
optimizer: rmsprop
train: {rounds: 4, batch_size: 8, checkpoint_every: 2, sample_every: 4}
track: {mlflow: false}
"""


def test_training_needs_little(tmp_path):
    recipe = tmp_path / "little.yaml"
    recipe.write_text(RECIPE)
    done = subprocess.run([sys.executable, "-c", CODE, recipe, tmp_path / "runs"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs" / "little").iterdir()
    assert (run / "checkpoints" / "round-00000004.safetensors").exists()
    assert done.stderr.count("no pictures: No module named") == 1
