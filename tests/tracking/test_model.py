"""The generator as an MLflow model: the same samples, no pickle, no data."""

from __future__ import annotations

import json
import runpy
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tracking_helpers import until

from ganflow.export.served import SERVING
from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import load_game
from ganflow.runs.start import start
from ganflow.tracking import store
from ganflow.tracking.contents import Artifacts
from ganflow.tracking.outbox import State
from ganflow.tracking.sync import SyncResult, sync

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # sqlalchemy's, about MLflow
    pytest.mark.filterwarnings("ignore:.*type hint:UserWarning"),  # MLflow's, about its own code
]
RECIPE = """\
name: ring
data: {use: gaussians, samples: 500, held_out: 100}
prior: {use: normal, dim: 3}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: {use: wasserstein}
optimizer: {use: rmsprop, lr: 1.0e-3}
modifiers: [{use: ema}]
train: {rounds: 4, batch_size: 16, compile: never, device: cpu}
track: {mlflow: false}
"""


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("training")
    (folder / "ring.yaml").write_text(RECIPE)
    return start(read_recipe(str(folder / "ring.yaml")), folder / "runs", quiet=True).folder


@pytest.fixture
def trained(training: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of a finished run."""
    return RunFolder(Path(shutil.copytree(training.path, tmp_path / "runs" / training.name / training.id)))


def test_the_model_is_the_generator(trained: RunFolder, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    result = sync(trained)
    assert result.error == ""
    assert result.model
    assert sync(trained) == SyncResult(uri=database)  # not a second time
    trained.tracking.unlink()
    assert sync(trained) == SyncResult(uri=database)

    client, run_id = store.client(database), State.read(trained).run_id
    (made,) = client.get_run(run_id).outputs.model_outputs
    assert made.step == 4
    assert client.get_logged_model(made.model_id).status == "READY"
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected = load_game(trained).call("sample", z=torch.from_numpy(z)).numpy()

    shutil.rmtree(trained.path)  # the model stands alone
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(database)
    try:
        model = mlflow.pyfunc.load_model(f"models:/{made.model_id}")
        assert model.metadata.signature.inputs.inputs[0].shape == (-1, 3)
        assert model.metadata.signature.outputs.inputs[0].shape == (-1, 2)
        np.testing.assert_array_equal(model.predict(z), expected)
        files = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/ring"))
    finally:
        mlflow.set_tracking_uri(None)
    assert not [p for p in files.rglob("*") if p.suffix in (".pkl", ".pickle", ".pt", ".pth")]
    names = {p.name for p in (files / "artifacts" / "generator").iterdir()}
    assert names == {"program.pt2", "config.json"}
    assert "ganflow" not in (files / "requirements.txt").read_text()


TRANSLATOR = """\
name: street
data: {use: street, size: 16, train: 8, held_out: 4}
generator: {use: resnet_translator, width: 4, blocks: 1}
critic: {use: patch, receptive_field: 7, width: 4}
loss: {use: cycle}
optimizer: {use: adam}
train: {rounds: 2, batch_size: 2, compile: never, device: cpu}
track: {mlflow: false}
"""


def test_the_models_code_is_loaded_without_a_warning() -> None:
    """MLflow's filter shows each warning once in a process, whatever other filters say."""
    import mlflow.pyfunc.model  # noqa: F401  (what it warns of is not the model's)

    warnings.onceregistry.clear()  # type: ignore[attr-defined]
    with warnings.catch_warnings(record=True) as seen:
        runpy.run_path(str(SERVING))
    assert not seen


@pytest.mark.slow
def test_a_translator_takes_images_of_any_size(tmp_path: Path, database: str) -> None:
    import mlflow

    (tmp_path / "street.yaml").write_text(TRANSLATOR)
    folder = start(read_recipe(str(tmp_path / "street.yaml")), tmp_path / "runs", quiet=True).folder
    assert sync(folder).error == ""
    client, run_id = store.client(database), State.read(folder).run_id
    (made,) = client.get_run(run_id).outputs.model_outputs
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 20, 17)).astype(np.float32)
    mlflow.set_tracking_uri(database)
    try:
        model = mlflow.pyfunc.load_model(f"models:/{made.model_id}")
        assert model.metadata.signature.inputs.inputs[0].shape == (-1, 3, -1, -1)
        np.testing.assert_array_equal(model.predict(x), load_game(folder).call("to_b", x=torch.from_numpy(x)).numpy())
    finally:
        mlflow.set_tracking_uri(None)


def test_a_model_that_cannot_be_made_does_not_hide_the_run(trained: RunFolder, database: str) -> None:
    shutil.rmtree(trained.checkpoints)
    result = sync(trained)
    assert result.points > 0
    assert "the generator could not be logged as a model" in result.error
    assert store.client(database).get_run(State.read(trained).run_id).info.status == "FINISHED"


def test_a_model_that_was_cut_off_is_failed_and_logged_again(
    trained: RunFolder, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(artifacts: Artifacts, path: Path) -> None:
        raise ConnectionError("Connection refused")

    with monkeypatch.context() as patched:
        patched.setattr(Artifacts, "put_model", cut_off)
        assert sync(trained).error == "the generator could not be logged as a model: connection refused"
    client = store.client(database)
    (model,) = client.search_logged_models(experiment_ids=["1"])
    assert model.status == "FAILED"
    assert State.read(trained).model is None
    assert sync(trained).model
    models = client.search_logged_models(experiment_ids=["1"])
    assert sorted(str(model.status) for model in models) == ["FAILED", "READY"]


def test_what_no_program_can_do_is_served_with_ganflow(
    trained: RunFolder, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    from ganflow.errors import GanflowError
    from ganflow.export import programs

    def refuse(*arguments: Any) -> None:
        raise GanflowError("the generator's signature 'sample' cannot be exported")

    monkeypatch.setattr(programs, "programs_of", refuse)
    trained.update(plugins={"mine": {"distribution": "my-plugin", "version": "3.1"}})
    assert sync(trained).error == ""
    client, run_id = store.client(database), State.read(trained).run_id
    (made,) = client.get_run(run_id).outputs.model_outputs
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected = load_game(trained).call("sample", z=torch.from_numpy(z)).numpy()
    shutil.rmtree(trained.path)
    mlflow.set_tracking_uri(database)
    try:
        model = mlflow.pyfunc.load_model(f"models:/{made.model_id}")
        np.testing.assert_array_equal(model.predict(z), expected)
        with pytest.raises(mlflow.exceptions.MlflowException, match="'z' holds NaN"):
            model.predict(np.full((2, 3), np.nan, np.float32))
        files = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/ring"))
    finally:
        mlflow.set_tracking_uri(None)
    wanted = dict(line.split("==") for line in (files / "requirements.txt").read_text().splitlines())
    assert set(wanted) == {"ganflow", "torch", "mlflow", "my-plugin"}
    assert {p.name for p in (files / "artifacts" / "generator").iterdir()} == {
        "config.json", "model.safetensors", "recipe.yaml", "run.json",
    }  # fmt: skip


@pytest.mark.rare  # beside the one of tests/export in a fresh environment
def test_it_is_served(trained: RunFolder, database: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    sync(trained)
    run_id = State.read(trained).run_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    z = [[0.1, 0.2, 0.3], [1.0, -1.0, 0.0]]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"runs:/{run_id}/ring"]
    server = subprocess.Popen([*command, "--env-manager", "local", "--port", str(port)], start_new_session=True)
    try:
        until(lambda: answer(port, "ping") is not None)
        predictions = np.array(answer(port, "invocations", {"inputs": z})["predictions"])
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    np.testing.assert_allclose(predictions, load_game(trained).call("sample", z=torch.tensor(z)).numpy(), rtol=1e-6)


def answer(port: int, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, json.dumps(body).encode() if body else None, timeout=10) as response:
            return json.loads(response.read().strip() or "{}")
    except (urllib.error.URLError, OSError):
        return None


def test_a_conditional_generator_is_told_what_to_make(tmp_path: Path, database: str) -> None:
    import mlflow

    birds = "{use: birds, size: 16, train: 20, held_out: 8, encoder: {use: bag_of_words}}"
    text = RECIPE.replace("name: ring", "name: birds").replace("{use: gaussians, samples: 500, held_out: 100}", birds)
    text = text.replace("generator: {use: mlp, width: 8}", "generator: {use: stackgan_stage1, width: 4, dim: 6}")
    text = text.replace("critic: {use: mlp, width: 8}", "critic: {use: stackgan, width: 4, dim: 6}")
    (tmp_path / "birds.yaml").write_text(text.replace("{use: wasserstein}", "{use: stackgan}"))
    folder = start(read_recipe(str(tmp_path / "birds.yaml")), tmp_path / "runs", quiet=True).folder
    result = sync(folder)
    assert result.error == ""
    assert result.model
    client, run_id = store.client(database), State.read(folder).run_id
    (made,) = client.get_run(run_id).outputs.model_outputs
    game = load_game(folder)
    z, told = game.latents(3), torch.ones(3, *game.data.fields["text"].shape)
    mlflow.set_tracking_uri(database)
    try:
        drawn = mlflow.pyfunc.load_model(f"models:/{made.model_id}").predict({"z": z.numpy(), "text": told.numpy()})
    finally:
        mlflow.set_tracking_uri(None)
    np.testing.assert_allclose(drawn, game.call("sample", z=z, text=told).numpy(), atol=1e-6)


def test_an_older_checkpoint_is_logged_only_when_asked_for(
    trained: RunFolder, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ganflow.cli import main

    monkeypatch.chdir(tmp_path)
    newest = max(trained.checkpoints.glob("round-*.safetensors"))
    older = newest.with_name("round-00000003.safetensors")
    older.write_bytes(newest.read_bytes())
    newest.write_bytes(newest.read_bytes()[:-8])
    result = sync(trained)
    assert not result.model
    line = f"ganflow sync runs/ring/{trained.id} --checkpoint runs/ring/{trained.id}/checkpoints/{older.name}"
    assert f"the newest checkpoint of run {trained.id} is damaged" in result.error
    assert result.error.endswith(f"; to log that: {line}")
    assert main(line.split()[1:]) == 0
    assert "the generator as a model sent to" in capsys.readouterr().out


def test_a_class_conditional_generator_is_given_labels(tmp_path: Path, database: str) -> None:
    import mlflow

    digits = RECIPE.replace("{use: gaussians, samples: 500, held_out: 100}", "{use: digits, size: 8}")
    (tmp_path / "classes.yaml").write_text(digits.replace("name: ring", "name: classes\ncondition: label"))
    folder = start(read_recipe(str(tmp_path / "classes.yaml")), tmp_path / "runs", quiet=True).folder
    assert sync(folder).model
    (made,) = store.client(database).get_run(State.read(folder).run_id).outputs.model_outputs
    game = load_game(folder)
    z, label = game.latents(3), torch.tensor([0, 7, 7])
    mlflow.set_tracking_uri(database)
    try:
        model = mlflow.pyfunc.load_model(f"models:/{made.model_id}")
        drawn = model.predict({"z": z.numpy(), "label": label.numpy()})
    finally:
        mlflow.set_tracking_uri(None)
    inputs = {spec.name: (spec.type.name, spec.shape) for spec in model.metadata.signature.inputs.inputs}
    assert inputs == {"z": ("float32", (-1, 3)), "label": ("int64", (-1,))}
    np.testing.assert_array_equal(drawn, game.call("sample", z=z, label=label).numpy())
