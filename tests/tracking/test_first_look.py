"""What users of MLflow find: parameters, names, pictures on a run's page, models with scores, links; and what they are told."""

from __future__ import annotations

import http.server
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tracking_helpers import draw, history, report, until

from ganflow.cli import main
from ganflow.recipe import read_recipe
from ganflow.runs import finding, folders
from ganflow.runs.folders import RunFolder
from ganflow.runs.new import tracking
from ganflow.runs.record import RunRecord
from ganflow.runs.start import start
from ganflow.tracking import contents, follower, store
from ganflow.tracking.follower import Follower
from ganflow.tracking.outbox import State
from ganflow.tracking.store import Connection
from ganflow.tracking.sync import Sender, sync
from ganflow.tracking.system import sampled

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # sqlalchemy's, about MLflow
    pytest.mark.filterwarnings("ignore:.*type hint:UserWarning"),  # MLflow's, about its own code
    pytest.mark.usefixtures("undrawn"),
]
Make = Callable[..., RunFolder]
RECIPE = """\
name: ring
data: {use: gaussians, samples: 500, held_out: 100}
prior: {use: normal, dim: 3}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: {use: wasserstein}
optimizer: {use: rmsprop, lr: 1.0e-3}
train: {rounds: 4, batch_size: 16, compile: never, device: cpu, seed: 0}
track: {mlflow: false, register: rings@best}
tune: {space: {optimizer.lr: {loguniform: [1e-4, 1e-2]}}}
"""


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("training")
    (folder / "ring.yaml").write_text(RECIPE)
    return start(read_recipe(str(folder / "ring.yaml")), folder / "runs", quiet=True).folder


@pytest.fixture
def trained(training: RunFolder, tmp_path: Path, database: str) -> RunFolder:
    """A copy of a finished run."""
    copy = tmp_path / "runs" / "ring" / training.id
    shutil.copytree(training.path, copy)
    return RunFolder(copy)


def the_run(uri: str) -> Any:
    client = store.client(uri)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return run


# Parameters.


def test_parameters_are_what_differs_from_the_defaults(trained: RunFolder) -> None:
    assert contents.parameters(trained) == {
        "name": "ring", "data.use": "data/gaussians", "data.samples": "500", "data.held_out": "100",
        "prior.use": "vanilla/normal", "prior.dim": "3", "generator.use": "networks/mlp", "generator.width": "8",
        "critic.use": "networks/mlp", "critic.width": "8", "loss.use": "wgan/wasserstein",
        "optimizer.generator.use": "optim/rmsprop", "optimizer.generator.lr": "0.001",
        "optimizer.critic.use": "optim/rmsprop", "optimizer.critic.lr": "0.001",
        "train.rounds": "4", "train.batch_size": "16", "train.compile": "never", "train.device": "cpu",
    }  # fmt: skip


def test_a_folder_of_an_earlier_version_has_all_that_have_a_value(trained: RunFolder) -> None:
    told = {name: value for name, value in trained.read().tracking.items() if name != "changed"}
    trained.update(tracking=told)
    found = contents.parameters(trained)
    assert (found["train.n_critic"], found["train.rounds"]) == ("1", "4")
    assert not [name for name, value in found.items() if value == "null" or name.startswith(("track", "tune", "recipe_version"))]


def test_a_parameter_that_is_back_at_its_default(trained: RunFolder, database: str) -> None:
    sync(trained)
    told = trained.read().tracking
    trained.update(tracking={**told, "changed": [key for key in told["changed"] or [] if key != "train.rounds"]})
    trained.recipe.write_text(trained.recipe.read_text().replace("rounds: 4", "rounds: 1000"))
    sync(trained)
    run = the_run(database)
    assert (run.data.params["train.rounds"], run.data.tags["ganflow.resumed_with.train.rounds"]) == ("4", "1000")


@pytest.mark.parametrize(
    ("shipped", "there", "missing"),
    [
        ("vae_gan_digits", {"loss.use"}, {"train.seed", "train.n_critic"}),
        ("sweeps/optuna", {"tune.space", "optimizer.generator.lr"}, {"tune.trials", "track.mlflow"}),
    ],
)
def test_what_a_recipe_changes(shipped: str, there: set[str], missing: set[str]) -> None:
    found = read_recipe(shipped).changed()
    assert there <= {*found}
    assert not missing & {*found}


# Names.


def test_names_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ring.yaml").write_text(RECIPE)
    plain = read_recipe(str(tmp_path / "ring.yaml"))
    named = read_recipe(str(tmp_path / "ring.yaml"), ["track.experiment=b", "track.run_name=c"])
    names = lambda values: (values["experiment"], values["run_name"])  # noqa: E731
    assert names(tracking(plain)) == (None, None)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "e")
    monkeypatch.setenv("MLFLOW_RUN_NAME", "r")
    assert names(tracking(plain)) == ("e", "r")
    assert names(tracking(named)) == ("b", "c")
    before = RunRecord(raw={}, tracking={"experiment": "before", "run_name": None})
    assert names(tracking(plain, before)) == ("before", None)  # a run that goes on stays where it is


# Pictures, models, times.


def test_the_last_picture_is_on_the_runs_page(make_run: Make, database: str) -> None:
    folder = make_run(points=2, pictures=(0, 2), status="interrupted")
    sync(folder)
    note = the_run(database).data.tags["mlflow.note.content"]
    name = re.escape("images%2Fsamples%2Bstep%2B2%2Btimestamp%2B")
    assert re.match(rf"!\[samples\]\(get-artifact\?path={name}[\w%-]+\.png&run_uuid=\w+\)\n\nSamples at round 2$", note)
    store.client(database).set_tag(the_run(database).info.run_id, "mlflow.note.content", "mine")
    draw(folder, 3)
    folder.tracking.unlink()
    sync(folder)
    assert the_run(database).data.tags["mlflow.note.content"] == "mine"


def test_a_model_in_the_registry_with_the_scores_of_its_round(trained: RunFolder, database: str) -> None:
    client = store.client(database)
    for _ in range(2):  # again: nothing new
        assert sync(trained).error == ""
        trained.tracking.unlink()
    (model,) = client.search_logged_models([the_run(database).info.experiment_id])
    assert model.name == "ring"
    assert {"critic_loss", "generator_loss"} <= {metric.key for metric in model.metrics}
    assert {metric.step for metric in model.metrics} == {4}
    (version,) = client.search_model_versions("name = 'rings'")
    assert (version.run_id, version.source) == (the_run(database).info.run_id, model.artifact_location)
    assert client.get_model_version_by_alias("rings", "best").version == version.version


def test_an_alias_of_somebody_elses_version_stays(trained: RunFolder, database: str) -> None:
    client = store.client(database)
    client.create_registered_model("rings")
    theirs = client.create_model_version("rings", "file:///theirs")
    client.set_registered_model_alias("rings", "best", theirs.version)
    error = sync(trained).error
    assert error.startswith("the generator is logged as a model, and not registered as 'rings@best': the alias 'best' of")
    assert client.get_model_version_by_alias("rings", "best").version == theirs.version
    assert the_run(database).info.status == "FINISHED"


@pytest.mark.parametrize("wrong", ["a/b", "a@latest", "a@v3", "a@", "@b", "a'b"])
def test_names_that_nothing_is_registered_by(tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ring.yaml").write_text(RECIPE.replace("rings@best", f'"{wrong}"'))
    assert main(["check", str(tmp_path / "ring.yaml")]) == 2
    assert "names no registered model; use NAME or NAME@ALIAS" in capsys.readouterr().err


def test_the_model_of_an_interrupted_run_on_request(trained: RunFolder, database: str) -> None:
    trained.update(status="interrupted")
    assert not sync(trained).model
    assert sync(trained, checkpoint="last").model
    assert not sync(trained, checkpoint="last").model
    assert the_run(database).info.status == "KILLED"


def test_a_run_that_goes_on_has_no_end_time(make_run: Make, database: str) -> None:
    folder = make_run(points=1, status="interrupted")
    sync(folder)
    assert the_run(database).info.end_time
    Sender(folder, Connection(database)).attempt("running")
    assert not the_run(database).info.end_time
    sync(folder)
    assert the_run(database).info.end_time


@pytest.mark.parametrize("environment", [False, True])
def test_use_of_the_machine(make_run: Make, database: str, monkeypatch: pytest.MonkeyPatch, environment: bool) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
    folder = make_run(points=1, status="interrupted")
    with sampled(folder):
        pass
    assert not (folder.path / "system.jsonl").exists()
    if environment:
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    else:
        folder.update(tracking={**folder.read().tracking, "system_metrics": True})
    file = folder.path / "system.jsonl"
    for least in (1, 40):  # a run that goes on: steps go on, too
        with sampled(folder):
            until(lambda least=least: file.exists() and len(file.read_text().splitlines()) >= least)  # type: ignore[misc]
    sync(folder)
    found = history(database, the_run(database).info.run_id, "system/cpu_utilization_percentage")
    assert [step for step, _ in found] == list(range(len((folder.path / "system.jsonl").read_text().splitlines())))
    assert len(found) >= 2


# Links.


def test_pages_of_experiments_with_runs(make_run: Make, database: str) -> None:
    for experiment in ("b", "a"):
        folder = make_run(points=1, status="finished")
        folder.update(tracking={**folder.read().tracking, "experiment": experiment})
        sync(folder)
    found, more = store.pages(store.client(database), "http://here:1/", most=1)
    assert more == 1
    assert re.fullmatch(r"http://here:1/#/experiments/\d/runs\?workflowType=machine_learning&compareRunsMode=CHART", found[0][1])


# What is said.

ANSWERS = {
    "unauthorized": (401, "<html>Unauthorized</html>", "not allowed in; set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME"),
    "no login": (401, "", "not allowed in; set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME"),
    "forbidden": (403, "no", "it gives you no permission; ask who runs it"),
    "a page": (200, "<!doctype html><title>Log in</title>", "what answers is no MLflow server, or wants a login of a browser"),
}


@contextmanager
def answering(port: int, code: int, body: str) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_server_that_lets_nobody_in(
    make_run: Make, port: int, answer: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, body, says = ANSWERS[answer]
    with answering(port, code, body) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        folder = make_run(points=1, status="finished")
        assert main(["sync", str(folder.path)]) == 1
    assert f"not everything sent to {uri}: {says}" in capsys.readouterr().out


def test_what_goes_wrong_is_said_once_while_it_lasts(make_run: Make, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(follower, "POLL", 0.01)
    uri, said = f"http://127.0.0.1:{port}", list[str]()
    folder = make_run(points=1, uri=uri)
    with folders.locked(folder):
        following = Follower(folder)
        following.start(said.append)
        until(lambda: bool(said))
        report(folder, 2, 3)
        time.sleep(0.2)
        folder.update(status="finished")
        left = following.finish(60)
    end = f"afterwards: ganflow sync {folder.reference()}"
    assert said == [f"not sent to {uri} so far: connection refused; it is tried again while training lasts, {end}"]
    assert "connection refused" in str(left)


def test_the_end_is_said_when_quiet(tmp_path: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ring.yaml").write_text(RECIPE.replace("mlflow: false", f"uri: http://127.0.0.1:{port}, wait: 30"))
    assert main(["run", str(tmp_path / "ring.yaml"), "-q", "--runs", str(tmp_path / "runs")]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "not sent" in line]
    assert f"not sent to http://127.0.0.1:{port}: connection refused; send later with: ganflow sync " in line
    assert State.read(finding.find_run("latest", tmp_path / "runs")).error == "connection refused"
