"""One sender, and several beside each other: what is asked, made and ended, in which order, after which failure."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from PIL import Image
from test_sweep_tracking import ID, ByHand, everyone, sent, steps
from tracking_helpers import draw, history, report

from ganflow.errors import GanflowError
from ganflow.lock import Held, locked
from ganflow.runs import folders
from ganflow.runs.folders import RunFolder
from ganflow.tracking import contents, destination, outbox, store
from ganflow.tracking import sync as syncing
from ganflow.tracking.contents import Artifacts
from ganflow.tracking.outbox import State
from ganflow.tracking.store import Connection
from ganflow.tracking.sync import Sender, Sweep, SyncResult, current_status, sync

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
Make = Callable[..., RunFolder]


@pytest.fixture
def sweep(tmp_path: Path, database: str) -> ByHand:
    return ByHand(tmp_path / "runs" / "rings-1")


class Requests:
    """Requests of MlflowClient by name with their run's id, and failures on demand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[str, str]] = []
        self.most = 0  # parameters, or tags, in one
        self.failing: dict[str, str] = {}  # request: "lost" before the store has it, or "unanswered" after that
        for name in ("create_run", "log_batch", "set_terminated", "search_runs", "log_inputs", "set_tag", "update_run"):
            real = getattr(MlflowClient, name)
            monkeypatch.setattr(MlflowClient, name, lambda *a, _n=name, _r=real, **k: self._send(_n, _r, *a, **k))

    def _send(self, name: str, real: Callable[..., Any], client: MlflowClient, about: Any, *others: Any, **more: Any) -> Any:
        if name == "log_batch":
            name = "points" if others or more.get("metrics") else "texts"
        self.sent.append((name, str(about)))
        self.most = max(self.most, len(more.get("params", ())), len(more.get("tags", ())) if name == "texts" else 0)
        failure = self.failing.pop(name, "")
        if failure == "lost":
            raise ConnectionError("Connection refused")
        answer = real(client, about, *others, **more)
        if failure:
            raise ConnectionError("Remote end closed connection")
        return answer

    def of(self, name: str) -> list[str]:
        """Run ids of all requests of this name."""
        return [about for request, about in self.sent if request == name]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    return Requests(monkeypatch)


# After a failure.


@pytest.mark.parametrize(("failure", "times"), [("lost", 2), ("unanswered", 1)])
def test_after_a_failed_request_the_store_is_asked_what_it_has(
    make_run: Make, database: str, requests: Requests, failure: str, times: int
) -> None:
    """The same sender goes on: what never arrived is sent again, what arrived and was not answered is not."""
    folder = make_run(points=3)
    sender = Sender(folder, Connection(database))
    requests.failing["points"] = failure
    assert sender.attempt("running")
    assert State.read(folder).error
    assert not sender.idle()
    assert not sender.attempt("running")
    assert sender.result.error == State.read(folder).error == ""
    assert len(requests.of("points")) == times
    assert history(database, sender.state.run_id) == [(n, float(n)) for n in (1, 2, 3)]
    assert sender.idle()
    report(folder, 4, 4)
    assert not sender.attempt("running")
    assert sent(folder) == 4  # a sender that is killed now leaves what it knows


def test_after_a_failed_request_nothing_known_of_the_store_is_relied_on(sweep: ByHand, database: str, requests: Requests) -> None:
    """The server came back with another database: the experiment, the sweep's run and the trial's are all made again."""
    trial = sweep.trial(0, points=2)
    connection = Connection(database)
    sender = Sender(trial, connection)
    sender.attempt("running")
    client, before = store.client(database), everyone(database)
    for run in before.values():
        client.delete_run(run.info.run_id)
    client.rename_experiment(before[ID].info.experiment_id, "away")
    report(trial, 3, 3)
    requests.failing["points"] = "lost"
    assert sender.attempt("running")
    assert connection._client is None
    assert not sender.attempt("running")
    now = everyone(database)
    assert now[trial.id].data.tags["mlflow.parentRunId"] == now[ID].info.run_id
    assert client.get_experiment(now[trial.id].info.experiment_id).name == "rings"
    assert steps(database, now[trial.id]) == [1, 2, 3]


def test_a_store_that_does_not_answer_is_forgotten(sweep: ByHand, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection(database)
    connection.run(sweep.trial(0))
    assert connection.answers()
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "search_experiments", lambda *a, **k: 1 / 0)
        assert not connection.answers()
    assert (connection._client, connection._experiments, connection._parents) == (None, {}, {})


@pytest.mark.parametrize("away", [True, False])
def test_a_trial_that_fails_keeps_the_others_only_where_the_store_is_away(
    sweep: ByHand, database: str, requests: Requests, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    trials = [sweep.trial(number, points=2, status="finished") for number in range(2)]
    look = Sweep(sweep.folder, Connection(database), ask=False)
    if away:
        monkeypatch.setattr(Connection, "answers", lambda connection: False)
    requests.failing["points"] = "lost"
    assert look.attempt("finished")
    assert [sent(trial) for trial in trials] == [0, 0 if away else 2]
    assert "connection refused" in look.result.error
    assert everyone(database)[ID].info.status == "RUNNING"  # the parent is not finished before it is complete
    assert not look.attempt("finished")
    assert look.result == SyncResult(points=4, uri=database)
    assert everyone(database)[ID].info.status == "FINISHED"


def test_a_sweep_that_is_followed_is_tried_until_its_trials_are_sent(
    sweep: ByHand, database: str, requests: Requests, waits: list[float]
) -> None:
    """Also where the store answers, and only the request of one trial fails."""
    trials = [sweep.trial(number, points=2, status="finished") for number in range(2)]
    sweep.folder.update(status="finished")
    requests.failing["points"] = "lost"
    assert sync(sweep.folder, follow=True) == SyncResult(points=4, uri=database)
    assert len(waits) == 1
    assert [sent(trial) for trial in trials] == [2, 2]
    assert everyone(database)[ID].info.status == "FINISHED"


def test_a_sweep_that_cannot_be_asked_for_its_trials_is_asked_again(
    sweep: ByHand, database: str, requests: Requests
) -> None:
    sweep.trial(0, points=2, status="finished")
    look = Sweep(sweep.folder, Connection(database), ask=True)
    requests.failing["search_runs"] = "lost"
    assert look.attempt("running")
    assert look.result.error == "connection refused"
    assert not look.attempt("running")
    assert look.result == SyncResult(points=2, uri=database)
    before = len(requests.of("search_runs"))
    look.attempt("running")
    assert len(requests.of("search_runs")) == before  # once is enough


def test_what_a_sweep_says_of_its_best_trial_is_said_again_to_a_new_run(sweep: ByHand, database: str, requests: Requests) -> None:
    sweep.best(3, 0.5, 1)
    sender = Sender(sweep.folder, Connection(database))
    sender.attempt("running")
    store.client(database).delete_run(sender.state.run_id)
    sweep.best(3, 0.5, 2)
    requests.failing["points"] = "lost"
    assert sender.attempt("running")
    assert not sender.attempt("running")
    assert everyone(database)[ID].data.tags["ganflow.best.trial"] == "3"


def test_a_folder_whose_last_attempt_failed_is_not_passed_over(sweep: ByHand, database: str) -> None:
    """Nothing changes in it meanwhile: a model that could not be logged, say."""
    trial = sweep.trial(0, points=2, status="finished")
    Sweep(sweep.folder, Connection(database), ask=False).attempt("running")
    assert Sender(trial, Connection(database)).idle()
    state = State.read(trial)
    state.error = "connection refused"
    state.write(trial)
    assert not Sender(trial, Connection(database)).idle()


@pytest.mark.parametrize("status", ["running", "finished"])
def test_a_picture_that_becomes_whole_is_sent(sweep: ByHand, database: str, status: str) -> None:
    """Neither its folder's time nor any other tells."""
    trial = sweep.trial(0, status=status)
    for round in (1, 2):
        draw(trial, round)
    file = trial.samples / "round-00000002.png"
    whole = file.read_bytes()
    file.write_bytes(whole[:40])
    look = Sweep(sweep.folder, Connection(database), ask=False)
    look.attempt("running")
    assert State.read(trial).images == [1]
    file.write_bytes(whole)
    look = Sweep(sweep.folder, Connection(database), ask=False) if status == "finished" else look
    look.attempt("running")
    assert State.read(trial).images == [1, 2]


# What is sent.


def test_many_and_long_parameters(make_run: Make, database: str, requests: Requests) -> None:
    """MLflow's server takes a hundred of at most 6000 characters at a time."""
    folder = make_run(points=1, status="finished")
    folder.recipe.write_text("".join(f"key_{i}: {i}\n" for i in range(250)) + f"long: {'x' * 7000}\n")
    assert sync(folder).error == ""
    (run,) = everyone(database).values()
    assert len(run.data.params) == 251
    assert run.data.params["key_249"] == "249"
    assert run.data.params["long"] == contents.parameters(folder)["long"] == "x" * 6000
    assert requests.most == 100


def test_many_tags_of_a_run_without_new_parameters(make_run: Make, database: str) -> None:
    folder = make_run(points=1, status="interrupted")
    sync(folder)
    folder.update(versions={f"part_{i}": str(i) for i in range(150)})
    folder.tracking.unlink()
    assert sync(folder).error == ""
    (run,) = everyone(database).values()
    assert [run.data.tags[f"ganflow.versions.part_{i}"] for i in range(150)] == [str(i) for i in range(150)]


def test_a_run_that_somebody_reopened_is_ended_again(make_run: Make, database: str) -> None:
    folder = make_run(points=1, status="finished")
    sync(folder)
    (run,) = everyone(database).values()
    store.client(database).update_run(run.info.run_id, status="RUNNING")
    sync(folder)
    assert everyone(database)[folder.id].info.status == "FINISHED"


def test_a_run_that_goes_on_is_running_in_our_words_too(make_run: Make, database: str) -> None:
    folder = make_run(points=1, status="interrupted")
    sync(folder)
    assert everyone(database)[folder.id].data.tags["ganflow.status"] == "interrupted"
    Sender(folder, Connection(database)).attempt("running")
    run = everyone(database)[folder.id]
    assert (run.info.status, run.data.tags["ganflow.status"]) == ("RUNNING", "running")
    assert State.read(folder).status == ""


def test_the_data_are_an_input_once(make_run: Make, database: str, requests: Requests) -> None:
    folder = make_run(points=1, status="finished")
    sync(folder)
    folder.tracking.unlink()
    sync(folder)
    assert len(requests.of("log_inputs")) == 1


def test_a_plot_is_sent_again_when_it_has_changed_and_not_otherwise(make_run: Make, database: str) -> None:
    folder, put = make_run(points=1, status="finished"), list[str]()
    file = folder.plots / "losses.png"
    file.write_bytes(b"1")
    os.utime(file, (1, 1))
    sync(folder)
    with pytest.MonkeyPatch.context() as patch:
        real = Artifacts.put
        patch.setattr(Artifacts, "put", lambda a, path, to=None: (put.append(path.name), real(a, path, to)))
        sync(folder)
        assert "losses.png" not in put
        file.write_bytes(b"2")
        os.utime(file, (2, 2))
        sync(folder)
    (run,) = everyone(database).values()
    assert (Path(run.info.artifact_uri.removeprefix("file://")) / "plots" / "losses.png").read_bytes() == b"2"


def test_thumbnails_keep_the_sides_of_a_picture(make_run: Make, database: str) -> None:
    made = make_run(status="finished")
    Image.new("RGB", (600, 300)).save(made.samples / "round-00000005.png")
    os.utime(made.samples / "round-00000005.png", ns=(0, 1_700_000_000_123_456_789))
    sync(made)
    (run,) = everyone(database).values()
    folder = Path(run.info.artifact_uri.removeprefix("file://"), "images")
    (small,), (large,) = folder.glob("*.webp"), folder.glob("*.png")
    with Image.open(small) as thumbnail, Image.open(large) as picture:
        assert (thumbnail.size, picture.size) == ((256, 128), (600, 300))
    assert small.name.removesuffix("+compressed.webp") == large.name.removesuffix(".png")
    assert large.name.startswith("samples+step+5+timestamp+1700000000123+")


def test_how_the_data_are_described(make_run: Make, tmp_path: Path) -> None:
    about: dict[str, Any] = {"name": "faces", "size": None, "fingerprint": "f" * 64}
    about |= {"fields": {"real": [3, 8, 8], "label": []}, "classes": {"label": ["a", "b"]}}
    made = contents.dataset(make_run(data={**about, "source": str(tmp_path)})).dataset
    assert (made.source_type, made.profile, made.digest) == ("local", None, "f" * 36)
    assert json.loads(made.source) == {"uri": str(tmp_path)}
    features = json.loads(json.loads(made.schema)["mlflow_tensorspec"]["features"])
    assert [f["tensor-spec"] for f in features] == [
        {"dtype": "float32", "shape": [-1, 3, 8, 8]}, {"dtype": "int64", "shape": [-1]},
    ]  # fmt: skip
    elsewhere = contents.dataset(make_run(data={**about, "source": "https://data.example", "size": 5})).dataset
    assert (elsewhere.source_type, elsewhere.profile) == ("external", '{"examples": 5}')


def test_trials_are_called_as_the_recipe_says(sweep: ByHand) -> None:
    trial = sweep.trial(3)
    assert contents.run_name(trial) == "rings-1 trial 3"
    trial.update(tracking={**trial.read().raw["tracking"], "run_name": "mine"})
    assert contents.run_name(trial) == "mine trial 3"


# Families.


def test_a_sweeps_parent_ends_after_its_trials_and_begins_before_them(sweep: ByHand, database: str, requests: Requests) -> None:
    """A sweep that is FINISHED in MLflow is complete there."""
    for number in range(2):
        sweep.trial(number, points=2, status="finished")
    look = Sweep(sweep.folder, Connection(database), ask=False)
    requests.failing["create_run"] = "lost"
    look.attempt("running")
    assert look.result.error.startswith("rings-1: ")  # the parent was the first
    look.attempt("running")
    parent = everyone(database)[ID].info.run_id
    sweep.folder.update(status="finished")
    report(RunFolder(next(iter(look.trials))), 3, 3)
    requests.sent.clear()
    look.attempt("finished")
    assert requests.of("points") == [run.info.run_id for run in everyone(database).values() if steps(database, run) == [1, 2, 3]]
    order = [about for _, about in requests.sent]
    assert requests.of("set_terminated")[-1] == parent
    assert order.index(parent) > order.index(requests.of("points")[0])


def test_two_senders_make_one_run_for_their_sweep(sweep: ByHand, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [sweep.trial(number) for number in range(2)]
    store.experiment(store.client(database), database, "rings", sweep.folder.path.parent)
    both, made, create = threading.Barrier(2), list[str](), MlflowClient.create_run

    def create_run(*arguments: Any, **options: Any) -> Any:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # as long as the other one could be just as far
        return create(*arguments, **options)

    def make(trial: RunFolder) -> None:
        made.append(str(Connection(database).parent(trial)))

    monkeypatch.setattr(MlflowClient, "create_run", create_run)
    threads = [threading.Thread(target=make, args=(trial,), daemon=True) for trial in trials]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 2
    assert len(set(made)) == 1
    assert list(everyone(database)) == [ID]


def test_a_trials_run_is_a_child_from_the_beginning(sweep: ByHand, database: str, requests: Requests) -> None:
    """Also where the sender ends before it has described it; and its experiment is the sweep's, whatever it says itself."""
    trial = sweep.trial(0, points=1)
    trial.update(tracking={**trial.read().raw["tracking"], "experiment": None})
    requests.failing["texts"] = "lost"
    assert Sender(trial, Connection(database)).attempt("running")
    found = everyone(database)
    assert found[trial.id].data.tags["mlflow.parentRunId"] == found[ID].info.run_id
    assert found[trial.id].info.experiment_id == found[ID].info.experiment_id


def test_the_children_of_a_sweep_are_read_page_by_page(
    sweep: ByHand, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [sweep.trial(number) for number in range(3)]
    connection = Connection(database)
    for trial in trials:
        connection.run(trial)
    search, pages = connection.client().search_runs, list[str | None]()

    def search_runs(*about: Any, max_results: int, page_token: str | None) -> Any:
        assert page_token not in pages  # for ever
        pages.append(page_token)
        return search(*about, max_results=min(max_results, 2), page_token=page_token)

    monkeypatch.setattr(connection.client(), "search_runs", search_runs)
    assert connection.children(sweep.folder) == {trial.id for trial in trials}
    assert len(pages) == 2


def test_a_trial_that_calls_itself_running_is_not_passed_over_at_the_end(sweep: ByHand, database: str) -> None:
    trials = [sweep.trial(number, points=1) for number in range(2)]
    look = Sweep(sweep.folder, Connection(database), ask=False)
    look.attempt("running")
    assert all(look.trials[trial.path].idle() for trial in trials)
    sweep.folder.update(status="interrupted")
    with folders.locked(trials[1]):  # another process goes on with it
        look.attempt("interrupted")
    assert {key: run.info.status for key, run in everyone(database).items()} == {
        ID: "KILLED", trials[0].id: "KILLED", trials[1].id: "RUNNING",
    }  # fmt: skip


def test_folders_without_a_record_are_no_trials(sweep: ByHand, database: str) -> None:
    for number in (2, 0, 1):
        sweep.trial(number)
    (sweep.folder.path / f"{ID}-t0009").mkdir()
    assert [outbox.number(RunFolder(path)) for path in outbox.trials(sweep.folder)] == [0, 1, 2]


def test_while_a_sweep_is_sent_nobody_sends_a_trial_and_trials_do_not_wait_for_each_other(
    sweep: ByHand, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [sweep.trial(number, points=1, status="finished") for number in range(2)]
    lock = sweep.folder.path / ".tracking.lock"
    with locked(lock, 0):
        monkeypatch.setattr(syncing, "locked", lambda path, timeout, shared=False: locked(path, 0, shared))
        assert sync(trials[0]).error == "another process is sending this run"
    with locked(lock, 0, shared=True), locked(trials[1].path / ".tracking.lock", 0):  # somebody sends the other one
        assert sync(trials[0]).points == 1
        assert sync(sweep.folder).error == "another process is sending this run"


def test_a_lock_is_shared_or_held_alone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with locked(lock, 0, shared=True), locked(lock, 0, shared=True), pytest.raises(Held), locked(lock, 0):
        pass
    for shared in (True, False):
        with locked(lock, 0), pytest.raises(Held), locked(lock, 0, shared=shared):
            pass


# One store, several processes.


def test_one_process_at_a_time_sets_a_database_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's first 60 migrations, done by two at once, break a fresh file."""
    inside, most = [0], [0]

    class Client:
        def __init__(self, uri: str) -> None:
            self.uri = uri
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            threading.Event().wait(0.1)
            outbox.sqlite_file(uri).touch()
            inside[0] -= 1

    monkeypatch.setattr(mlflow, "MlflowClient", Client)
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.append(store.client(uri)), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [client.uri for client in made] == [f"{uri}?timeout=60"] * 3  # it waits for other writers
    assert most == [1]


KILLED = """
import os, signal, sqlite3, sys, time
from pathlib import Path
import mlflow
from ganflow.tracking import store
for k in range(16):
    file = Path(sys.argv[1], str(k), "mlflow.db")
    child = os.fork()
    if not child:
        store.client(f"sqlite:///{file}")
        os._exit(0)
    time.sleep(0.05 * (k + 1))
    os.kill(child, signal.SIGKILL)
    killed = os.waitpid(child, 0)[1] == signal.SIGKILL
    print("killed" if killed else "made", "whole" if file.exists() else "none")
    store.client(f"sqlite:///{file}").search_experiments()
"""


@pytest.mark.slow
def test_a_database_whose_maker_is_killed(tmp_path: Path) -> None:
    """MLflow itself leaves half of its tables then, and never opens the file again."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("killed none") >= 2, done.stdout
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name not in ("mlflow.db", ".mlflow.db.lock")]


@pytest.mark.parametrize("tables", [["experiments"], [*destination._TABLES], [*destination._TABLES, "trace_info"]])
def test_a_database_that_was_left_half_made_is_named(sweep: ByHand, tmp_path: Path, tables: list[str]) -> None:
    file = tmp_path / "half.db"
    with sqlite3.connect(file) as database:
        for name in tables:
            database.execute(f"CREATE TABLE {name} (id INTEGER)")
    database.close()
    with pytest.raises(GanflowError, match=r"half.db was left half made .* remove it"):
        sync(sweep.folder, uri=f"sqlite:///{file}")
    file.unlink()
    assert not sync(sweep.folder, uri=f"sqlite:///{file}").error


def test_a_database_that_is_set_up_for_ever_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "locked", lambda path, timeout: locked(path, 0))
    with locked(tmp_path / ".mlflow.db.lock", 0), pytest.raises(Exception, match="is being set up by another process"):
        store.client(f"sqlite:///{tmp_path}/mlflow.db")


def test_an_experiment_that_another_process_makes_meanwhile(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = store.client(database)
    made, find, asked = client.create_experiment("rings"), client.get_experiment_by_name, [0]

    def late(name: str) -> Any:
        asked[0] += 1
        return None if asked[0] == 1 else find(name)

    monkeypatch.setattr(client, "get_experiment_by_name", late)
    assert store.experiment(client, database, "rings", tmp_path) == made


def test_an_experiment_that_cannot_be_made_is_the_stores_error(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mlflow.exceptions import MlflowException

    client = store.client(database)
    monkeypatch.setattr(client, "get_experiment_by_name", lambda name: None)
    client.create_experiment("rings")
    with pytest.raises(MlflowException, match="rings"):
        store.experiment(client, database, "rings", tmp_path)


def test_mlflow_gives_up_quickly_unless_the_user_wants_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in store._HABITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    store.client("http://127.0.0.1:9")
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) <= 1


# Following.


class Scripted:
    """Attempts with known results."""

    def __init__(self, *errors: str) -> None:
        self.errors, self.result, self.asked = list(errors), SyncResult(), list[str]()

    def attempt(self, status: str) -> bool:
        self.asked.append(status)
        self.result.error = self.errors.pop(0)
        return bool(self.result.error)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited between attempts; nobody waits for them."""
    waited: list[float] = []

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return False

    monkeypatch.setattr(syncing.threading, "Event", Event)
    return waited


def test_a_store_that_is_away_is_tried_less_and_less_often(
    make_run: Make, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """And again and again, though the run be over; every change is said once."""
    look = Scripted("refused", "refused", "refused", "refused", "refused", "no answer", "")
    syncing._follow(look, make_run(status="finished"), None, 3.0, "http://away")
    assert look.errors == []
    assert waits == [6, 12, 24, 30, 30, 30]
    said = [line.removeprefix("http://away: ") for line in caplog.messages]
    assert said == ["refused", "no answer", "sending again"]


def test_a_store_that_answers_is_sent_to_every_few_seconds(make_run: Make, waits: list[float]) -> None:
    folder = make_run()
    look = Scripted("refused", "", "", "")
    real = look.attempt
    look.attempt = lambda status: (len(look.errors) == 2 and folder.update(status="finished"), real(status))[1]  # type: ignore[method-assign]
    with folders.locked(folder):
        syncing._follow(look, folder, None, 3.0, "http://away")
    assert look.asked == ["running", "running", "running", "finished"]
    assert waits == [6, 3, 3]


def test_the_end_of_a_training_is_the_last_attempt(make_run: Make) -> None:
    """A store that is away is not waited for then: the training process would be, too."""
    over = threading.Event()
    over.set()
    look = Scripted("refused", "")
    syncing._follow(look, make_run(status="finished"), over, 3.0, "http://away")
    assert look.asked == ["finished"]


def test_how_a_run_stands(make_run: Make) -> None:
    folder = make_run()
    assert current_status(folder) == "killed"
    with folders.locked(folder):
        assert current_status(folder) == "running"
        before = time.monotonic()
        assert current_status(folder, patience=0.3) == "killed"  # it never says how
        assert time.monotonic() - before > 0.3
        late = threading.Timer(0.2, folder.update, kwargs={"status": "failed"})
        late.daemon = True
        late.start()
        assert current_status(folder, patience=20) == "failed"


def test_the_runs_folders_own_store_is_not_an_address_that_the_user_typed(
    make_run: Make, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANFLOW_STATE", str(tmp_path / "state"))
    sync(make_run(points=1, status="finished"))
    sync(make_run(points=1, status="finished"), uri=database)
    assert not (tmp_path / "state").exists()
