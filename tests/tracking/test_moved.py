"""A runs folder that is moved, renamed or copied: one store, one history, every picture there."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tracking_helpers import draw, history, report

from ganflow.cli import main
from ganflow.errors import GanflowError
from ganflow.runs.folders import RunFolder
from ganflow.tracking import store
from ganflow.tracking.follower import Server
from ganflow.tracking.outbox import State, default_uri
from ganflow.tracking.store import follow_folder
from ganflow.tracking.sync import SyncResult, sync

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
Make = Callable[..., RunFolder]


def pictures(uri: str, runs: Path) -> dict[str, bytes]:
    """Every artifact of the only run that a store has, by its path, downloaded by MLflow."""
    client = store.client(uri, runs)
    (run,) = client.search_runs(["1"])
    found: dict[str, bytes] = {}
    for folder in (None, "images", "plots"):
        for item in client.list_artifacts(run.info.run_id, folder):
            if not item.is_dir:
                found[item.path] = Path(client.download_artifacts(run.info.run_id, item.path)).read_bytes()
    return found


def move(runs: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    runs.rename(to)
    return to


def test_sent_moved_and_sent_again(make_run: Make, database: str, tmp_path: Path) -> None:
    folder = make_run(points=3, pictures=(1,), status="interrupted")
    (folder.plots / "losses.png").write_bytes((folder.samples / "round-00000001.png").read_bytes())
    sync(folder)
    before = pictures(database, tmp_path / "runs")
    for name in ("run.json", "tracking.json"):
        assert str(tmp_path) not in (folder.path / name).read_text()

    runs = move(tmp_path / "runs", tmp_path / "an other" / "place")
    here = RunFolder(runs / "ring" / folder.id)
    assert State.read(here).uri == default_uri(runs)
    report(here, 4, 5)
    draw(here, 5)
    here.update(status="finished")
    assert sync(here) == SyncResult(points=2, images=1, uri=default_uri(runs))
    after = pictures(default_uri(runs), runs)
    assert {name: after.get(name) for name in before} == before
    assert {name.split("+")[2] for name in after if "+step+" in name} == {"1", "5"}
    (run,) = store.client(default_uri(runs)).search_runs(["1"])
    assert history(default_uri(runs), run.info.run_id) == [(n, float(n)) for n in range(1, 6)]
    assert not (tmp_path / "runs").exists()


def test_what_an_earlier_version_left(make_run: Make, database: str, tmp_path: Path) -> None:
    """Its tracking.json has the absolute address of the store, and its run.json absolute paths."""
    folder = make_run(points=2, pictures=(1,), status="finished")
    sync(folder)
    state = json.loads(folder.tracking.read_text())
    folder.tracking.write_text(json.dumps({**state, "uri": database}))
    runs = move(tmp_path / "runs", tmp_path / "new" / "runs")
    here = RunFolder(runs / "ring" / folder.id)
    assert sync(here) == SyncResult(uri=default_uri(runs))
    assert not (tmp_path / "runs").exists()
    assert str(tmp_path) not in here.tracking.read_text()


def locations(runs: Path) -> set[str]:
    tables = ("experiments.artifact_location", "runs.artifact_uri", "logged_models.artifact_location")
    with closing(sqlite3.connect(runs / "mlflow.db")) as database:
        return {row[0] for t, c in (x.split(".") for x in tables) for row in database.execute(f"SELECT {c} FROM {t}")}


def test_models_move_too(make_run: Make, database: str, tmp_path: Path) -> None:
    folder = make_run(points=1, status="finished")
    sync(folder)
    client = store.client(database)
    model = client.create_logged_model("1", "generator", source_run_id=State.read(folder).run_id)
    runs = move(tmp_path / "runs", tmp_path / "new")
    follow_folder(runs)
    found = store.client(default_uri(runs)).get_logged_model(model.model_id)
    assert found.artifact_location.startswith((runs / "mlartifacts").as_uri())
    assert not [place for place in locations(runs) if str(tmp_path / "runs") in place]


def test_a_copy_is_on_its_own(make_run: Make, database: str, tmp_path: Path) -> None:
    folder = make_run(points=1, pictures=(1,), status="finished")
    sync(folder)
    before = locations(tmp_path / "runs")
    copy = Path(shutil.copytree(tmp_path / "runs", tmp_path / "copy"))
    here = RunFolder(copy / "ring" / folder.id)
    report(here, 2, 2)
    draw(here, 2)
    assert sync(here).images == 1
    assert {name.split("+")[2] for name in pictures(default_uri(copy), copy) if "+step+" in name} == {"1", "2"}
    assert locations(tmp_path / "runs") == before
    assert {name.split("+")[2] for name in pictures(database, tmp_path / "runs") if "+step+" in name} == {"1"}


def test_another_folders_artifacts_in_the_same_store_stay(make_run: Make, database: str, tmp_path: Path) -> None:
    folder = make_run(points=1, status="finished")
    sync(folder)
    other = tmp_path / "other" / "mlartifacts"
    other.mkdir(parents=True)
    client = store.client(database)
    client.create_run(client.create_experiment("others", artifact_location=other.as_uri()))
    before = locations(tmp_path / "runs")
    follow_folder(tmp_path / "runs")
    assert locations(tmp_path / "runs") == before
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "runs")
    follow_folder(link)  # the same folder by another name
    assert locations(tmp_path / "runs") == before


def test_another_process_may_hold_the_store(make_run: Make, database: str, tmp_path: Path) -> None:
    sync(make_run(points=1, status="finished"))
    runs = move(tmp_path / "runs", tmp_path / "new")
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(runs / "mlflow.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE runs SET name = 'theirs'")
            held.set()
            let_go.wait(10)
            other.execute("COMMIT")

    threads = [threading.Thread(target=hold, daemon=True), threading.Thread(target=follow_folder, args=(runs,), daemon=True)]
    threads[0].start()
    assert held.wait(10)
    threads[1].start()
    let_go.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert all(place.startswith((runs / "mlartifacts").as_uri()) for place in locations(runs) if "mlartifacts" in place)
    with closing(sqlite3.connect(runs / "mlflow.db")) as at:
        assert at.execute("SELECT name FROM runs").fetchall() == [("theirs",)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_is_named(make_run: Make, database: str, tmp_path: Path) -> None:
    sync(make_run(points=1, status="finished"))
    runs = move(tmp_path / "runs", tmp_path / "new")
    (runs / "mlflow.db").chmod(0o444)
    with pytest.raises(GanflowError, match=r"the runs folder was moved, and MLflow's store .*new/mlflow.db cannot be told so"):
        follow_folder(runs)


TINY = """\
name: dig
data: {use: digits, size: 16}
prior: {use: normal, dim: 8}
generator: {use: dcgan, width: 4}
critic: {use: dcgan, width: 4, norm: none}
loss: {use: wasserstein}
optimizer: {use: adam}
metrics: [{use: sliced_wasserstein, samples: 64}]
train: {rounds: 4, batch_size: 8, compile: never, threads: 1, report_every: 1, sample_every: 2, checkpoint_every: 2}
tune: {trials: 3, resources: {cpus: 1}, space: {optimizer.lr: {loguniform: [1.0e-4, 1.0e-2]}}}
"""
STAGES = "name: two\nstages: [{first}, {second}]\n"


def ganflow(folder: Path, *arguments: str) -> str:
    """A command in a process of its own; what it says."""
    done = subprocess.run([sys.executable, "-m", "ganflow", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_paths_in_a_moved_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Stages, a run that starts from another, a database of the recipe's in the runs folder: all of them in a moved folder."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    monkeypatch.chdir(old)
    part = "data: {use: gaussians, samples: 200}, prior: {use: normal, dim: 2}, generator: {use: mlp, width: 4}, " \
           "critic: {use: mlp, width: 4}, loss: wasserstein, optimizer: rmsprop, " \
           "track: {mlflow: false, uri: 'sqlite:///runs/my.db'}, " \
           "train: {rounds: 2, batch_size: 8, sample_every: 100, compile: never"  # fmt: skip
    stages = STAGES.format(first=f"{{name: first, {part}}}}}", second=f"{{name: second, {part}}}}}")
    (old / "two.yaml").write_text(stages)
    assert main(["run", "-q", "two.yaml"]) == 0
    first, second = (next((old / "runs" / name).iterdir()) for name in ("first", "second"))
    for run in (first, second):
        assert str(tmp_path) not in (run / "run.json").read_text()
    assert RunFolder(first).read().next == str(second)
    assert RunFolder(second).read().tracking["uri"] == f"sqlite:///{old}/runs/my.db"
    for file in (second / "checkpoints").iterdir():
        file.unlink()
    RunFolder(second).update(status="interrupted", round=0)
    monkeypatch.chdir(tmp_path)
    old.rename(new)
    capsys.readouterr()
    assert main(["run", "-q", "--resume", "first", "--runs", "new/runs"]) == 0  # goes on with the second, from the first
    moved = RunFolder(new / "runs" / "second" / second.name)
    about = moved.read()
    assert about.status == "finished"
    assert about.start_from["run"] == str(new / "runs" / "first" / first.name)
    assert about.tracking["uri"] == f"sqlite:///{new}/runs/my.db"
    assert len(list((new / "runs" / "second").iterdir())) == 1
    assert not old.exists()


def test_absolute_paths_of_earlier_versions_are_found(tmp_path: Path) -> None:
    from ganflow.runs.folders import moved

    run = tmp_path / "new" / "runs" / "dig" / "20260102-030405-0000" / "checkpoints"
    run.mkdir(parents=True)
    (run / "round-1").write_text("")
    assert moved("/old/runs/dig/20260102-030405-0000", tmp_path / "new" / "runs") == run.parent
    assert moved("/old/runs/dig/20260102-030405-0000/checkpoints/round-1", tmp_path / "new" / "runs") == run / "round-1"
    assert moved("/old/runs/dig/20260102-030405-0001", tmp_path / "new" / "runs") == Path("/old/runs/dig/20260102-030405-0001")
    assert moved(str(run), tmp_path / "x") == run


@pytest.mark.rare
def test_a_moved_project(tmp_path: Path, database: str, port: int) -> None:
    """Real runs, a sweep and a store; the folder is moved, all of it goes on, and MLflow's server shows one history."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (tmp_path / "runs").rename(old / "runs")  # with an empty store
    (tmp_path / "dig.yaml").write_text(TINY)
    ganflow(old, "run", "-q", "../dig.yaml")
    ganflow(old, "tune", "-q", "../dig.yaml", "--name", "tried")
    old.rename(new)
    ganflow(new, "run", "-q", "--resume", "dig", "train.rounds=8")
    ganflow(new, "tune", "-q", "--resume", "tried")
    trial = next(path for path in sorted((new / "runs" / "tried").iterdir()) if "-t" in path.name)
    (trial / "tracking.json").unlink()
    said = ganflow(new, "sync", "--all")
    assert f"sqlite:///{new}/runs/mlflow.db" in said
    ganflow(new, "run", "-q", "../dig.yaml", "name=second")
    assert not old.exists()
    names = [f"{above}{name}.json" for above in ("*/", "*/*/") for name in ("run", "tracking")]
    kept = [path.read_text() for name in names for path in (new / "runs").glob(name)]
    assert len(kept) == 2 * (2 + 1 + 3)
    assert not [text for text in kept if str(tmp_path) in text]

    with Server(default_uri(new / "runs"), new / "runs", port=port) as server:
        server.wait_until_ready()
        found = asked(f"{server.url}/api/2.0/mlflow/runs/search", experiment_ids=["1"], max_results=100)["runs"]
        assert len(found) == 2 + 1 + 3
        for run in found:
            tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
            folder = RunFolder(new / "runs" / tags["ganflow.folder"])
            steps = [m["step"] for m in metric(server.url, run["info"]["run_id"], "generator/wasserstein")]
            rounds = [] if folder.path.name == "tried" else list(range(1, folder.read().rounds + 1))
            assert steps == rounds
            files = everything(server.url, run["info"]["run_id"])
            shown = {int(name.split("+")[2]): file for name, file in files.items() if name.endswith(".png") and "+step+" in name}
            drawn = {int(p.stem.removeprefix("round-")): p.read_bytes() for p in folder.samples.glob("*.png")}
            assert shown.keys() == drawn.keys()
            assert all(file.startswith(b"\x89PNG") for file in shown.values())
            assert "recipe.yaml" in files
            plots = {name.removeprefix("plots/") for name in files if name.startswith("plots/")}
            assert plots == {p.name for p in folder.plots.glob("*.png")}


def asked(url: str, **what: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(what).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def got(url: str, **what: str) -> bytes:
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(what)}", timeout=30) as answer:
        body: bytes = answer.read()
    return body


def metric(url: str, run: str, key: str) -> list[dict[str, Any]]:
    found = json.loads(got(f"{url}/api/2.0/mlflow/metrics/get-history", run_id=run, metric_key=key)).get("metrics", [])
    return sorted(found, key=lambda point: int(point["step"]))


def everything(url: str, run: str, path: str = "") -> dict[str, bytes]:
    """Every file of a run, downloaded as MLflow's pages do."""
    found: dict[str, bytes] = {}
    at = f"{url}/api/2.0/mlflow/artifacts/list"
    for item in json.loads(got(at, run_id=run, **({"path": path} if path else {}))).get("files", []):
        if item.get("is_dir"):
            found |= everything(url, run, item["path"])
        else:
            found[item["path"]] = got(f"{url}/get-artifact", run_uuid=run, path=item["path"])
    return found
