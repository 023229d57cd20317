"""MLflow's store: set up, opened or abandoned quickly, asked for runs, and corrected when its folder was moved."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
import textwrap
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.addresses import SQLITE, absolute, is_http, redacted
from ganflow.errors import GanflowError
from ganflow.files import replacing
from ganflow.lock import Held, locked
from ganflow.runs.folders import RunFolder, is_sweep
from ganflow.scratch import scratch_folder
from ganflow.tracking import outbox
from ganflow.tracking.contents import PARENT, RUN_ID, Artifacts, check_artifacts, local_path, run_name
from ganflow.tracking.destination import lock_beside, no_other_folder, setup_stuck
from ganflow.tracking.outbox import MISSING, STORE, artifacts, default_uri, metric_name, settings, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ganflow.tracking.destination import Destination

_KIND = {"mlflow.experimentKind": "custom_model_development"}  # its pages for training, not those for language models
_HABITS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # we retry ourselves; MLflow's own 7 retries block for minutes
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # which lead to the pages for language models
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
BARRED = "not allowed in"
_AWAY = (
    ("connection refused", "connection refused"),
    ("name or service not known|name resolution|nameresolution|failed to resolve", "no machine of that name"),
    ("timed out", "no answer in time"),
    ("no route to host|network is unreachable", "no route to it"),
    ("remote end closed|connection reset|connection aborted", "connection lost"),
)
_REASONS = (
    *_AWAY,
    (
        "unauthorized|error code 401",
        f"{BARRED}; set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    ),
    ("forbidden|error code 403|permission_denied", "it gives you no permission; ask who runs it, or log in as another there"),
    (
        "valid json format|error code 30[12378]",
        "what answers is no MLflow server, or wants a login of a browser; for its API set MLFLOW_TRACKING_TOKEN",
    ),
    ("database is locked", "the database is busy"),
    ("no space left", "no space left on the disk"),
)
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""The columns in which MLflow keeps paths of artifacts."""


def client(uri: str, runs: Path | None = None) -> MlflowClient:
    """A client of the store. A SQLite file is made if it is missing, by one process at a time (several at once break a fresh
    one), and waits for other writers.

    Args:
        runs: the runs folder, whose default store follows it where it was moved.

    Raises:
        GanflowError: MLflow is not installed.
    """
    for name, value in _HABITS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise GanflowError(MISSING) from None
    if not uri.startswith(SQLITE):
        return MlflowClient(uri)
    uri = absolute(uri)
    file = sqlite_file(uri)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock_beside(file), timeout=120), no_other_folder(uri):
            if not uri.removeprefix(SQLITE).startswith(("file:", ":")) and (not file.exists() or not file.stat().st_size):
                _set_up(file)
            made = MlflowClient(uri if "?" in uri else f"{uri}?timeout=60")
            if runs is not None and uri == default_uri(runs):
                follow_folder(runs)
            return made
    except Held:
        raise setup_stuck(file) from None
    except OSError as error:
        raise GanflowError(f"cannot make MLflow's store {file}: {error.strerror}") from None


def _set_up(file: Path) -> None:
    """Make a database with MLflow's tables elsewhere, and copy it here when it is whole: a process killed in that half second
    would leave a file that MLflow never opens again."""
    from mlflow import MlflowClient

    with scratch_folder("store-") as folder:
        made = Path(folder, file.name)
        MlflowClient(outbox.sqlite_uri(made))
        with replacing(file.resolve()) as scratch:
            shutil.copyfile(made, scratch)


def experiment(client: MlflowClient, uri: str, name: str, runs: Path) -> str:
    """The id of the experiment of this name, which is made if it is missing. A database gets absolute paths for
    artifacts; a server has its own.

    Raises:
        GanflowError: the experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    found: Any = client.get_experiment_by_name(name)
    if found is None:
        location = None if uri.startswith(("http", "databricks")) else artifacts(runs).as_uri()
        try:
            made: str = client.create_experiment(name, artifact_location=location, tags=_KIND)
            return made
        except MlflowException:  # another process was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise GanflowError(
            f"MLflow's experiment '{name}' was deleted; bring it back with: MLFLOW_TRACKING_URI={shlex.quote(uri)} "
            f"mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    return str(found.experiment_id)


def pages(client: MlflowClient, url: str, most: int = 5) -> tuple[list[tuple[str, str]], int]:
    """Names and addresses of the pages on which a server shows an experiment's runs, charts beside them, the runs that were begun
    last first; and how many experiments with runs there are besides.

    Without `workflowType` MLflow opens its pages for language models, whatever the experiment's kind.
    """
    last = {}
    for each in client.search_experiments(order_by=["last_update_time DESC"], max_results=100):
        for run in client.search_runs([each.experiment_id], order_by=["attributes.start_time DESC"], max_results=1):
            last[each.name, each.experiment_id] = run.info.start_time
    newest = sorted(last, key=lambda each: last[each], reverse=True)
    view = "runs?workflowType=machine_learning&compareRunsMode=CHART"
    return [(name, f"{url.rstrip('/')}/#/experiments/{id}/{view}") for name, id in newest[:most]], len(newest[most:])


def reopen(client: MlflowClient, run_id: str) -> None:
    """Let a run that had ended be a running one, without the time at which it ended: zero is MLflow's none, and its client has
    no function for that."""
    from mlflow.entities import RunStatus

    client._tracking_client.store.update_run_info(run_id, RunStatus.RUNNING, 0, None)


def reason(error: BaseException) -> str:
    """The reason of a failure of MLflow's in a few words; its texts are a page long."""
    text = f"{error}".strip()
    for signs, words in _REASONS:
        if re.search(signs, text, re.IGNORECASE):
            return words
    return textwrap.shorten(redacted(text.splitlines()[0]), 200, placeholder=" …") if text else type(error).__name__


def is_away(why: str) -> bool:
    """Return true for a `reason` by which the store itself is not there."""
    return why in [words for _, words in _AWAY]


class Connection:
    """To a store; made when it is first used, and again after it was `lost`.

    Args:
        destination: what is known of the store besides its address; without it, it is the user's.
        barred: why it gets no credentials.
        whole: sweeps are sent with all their trials, and nobody else sends these meanwhile: a trial's run that is not made here
            need not be looked for where there were none before.
    """

    def __init__(
        self, uri: str, destination: Destination | None = None, barred: str | None = None, *, whole: bool = False
    ) -> None:
        self.uri, self.destination, self.barred, self.whole = uri, destination, barred, whole
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        self._made: dict[str, set[str] | None] = {}

    def client(self) -> MlflowClient:
        if self._client is None:
            self._client = client(self.uri, self.destination.runs if self.destination else None)
        return self._client

    def artifacts(self, id: str, uri: str) -> Artifacts:
        """The files of a run, or of a model, by the address that the store says; see `check_artifacts`."""
        to = self.destination
        if to is None or (to.trusted and not to.is_default):
            return Artifacts(self.client(), id)
        # MlflowClient asks the store for the address again each time, and has nothing that writes to one that was checked
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        check_artifacts(uri, id, server=is_http(self.uri))
        return Artifacts(self.client(), id, get_artifact_repository(uri, tracking_uri=self.uri))

    def reason(self, error: BaseException) -> str:
        """The reason of a failure, in a few words."""
        why = reason(error)
        if self.barred and why.startswith(BARRED):
            return f"{BARRED}: {self.barred}, add --uri {shlex.quote(self.uri)}"
        return why

    def lost(self) -> None:
        """Something failed: nothing that was learnt about the store is relied on any more."""
        self._client = None
        self._experiments.clear()
        self._parents.clear()
        self._made.clear()

    def answers(self) -> bool:
        """Ask the store for anything; False where it does not answer."""
        try:
            self.client().search_experiments(max_results=1)
        except Exception:  # whatever MLflow raises
            self.lost()
            return False
        return True

    def experiment(self, folder: RunFolder) -> str:
        """The id of the experiment that a folder belongs to: a trial's is its sweep's. It is made if it is missing."""
        folder = outbox.sweep_of(folder) or folder
        name = settings(folder)["experiment"]
        if name not in self._experiments:
            self._experiments[name] = experiment(self.client(), self.uri, name, outbox.root(folder))
        return self._experiments[name]

    def run(self, folder: RunFolder) -> Any:
        """A folder's MLflow run, which is made if there is none; that of a trial's sweep is made before it. By its tag it is
        found again from any process."""
        sweep, key = is_sweep(folder), outbox.identity(folder)
        above = None if sweep else outbox.sweep_of(folder)
        parent = self._parent(above) if above else None
        # the senders of single trials may both want to make the sweep's
        alone = locked(folder.path / ".tracking.run.lock", timeout=60) if sweep else nullcontext()
        made = self._made_here(above) if above and self.whole else None
        with alone:
            run: Any = None if made is not None and key not in made else next(self._find(folder, RUN_ID, key), None)
            if run is None:
                tags = {RUN_ID: key} | ({PARENT: parent} if parent else {})
                start = outbox.began(folder)
                if sweep:
                    self._prefer(folder)
                run = self.client().create_run(self.experiment(folder), start_time=start, tags=tags, run_name=run_name(folder))
                if made is not None:
                    made.add(key)
        if sweep:
            self._parents[key] = run.info.run_id
        return run

    def _prefer(self, sweep: RunFolder) -> None:
        """Let MLflow's charts of the experiment begin with what a sweep is judged by."""
        from mlflow.utils import mlflow_tags as names

        record = sweep.read()
        if record.metric:
            metric = f"{outbox.TRIAL}{record.metric}" if record.trial_seeds else record.metric
            tags = {
                names.MLFLOW_EXPERIMENT_PRIMARY_METRIC_NAME: metric_name(metric),
                names.MLFLOW_EXPERIMENT_PRIMARY_METRIC_GREATER_IS_BETTER: str(record.mode == "max"),
            }
            for name, value in tags.items():
                self.client().set_experiment_tag(self.experiment(sweep), name, value)

    def parent(self, folder: RunFolder) -> str | None:
        """The id of the MLflow run of a trial's sweep. A trial that was moved out of its sweep's folder finds it by what its
        run.json says; None where there is no such run."""
        above = outbox.sweep_of(folder)
        if above:
            return self._parent(above)
        noted = folder.read().tracking.get("parent")
        found = next(self._find(folder, RUN_ID, noted), None) if noted else None
        return str(found.info.run_id) if found else None

    def _made_here(self, sweep: RunFolder) -> set[str] | None:
        """Ids of a sweep's trials whose runs were made by this connection; None where the store had some before."""
        key = outbox.identity(sweep)
        if key not in self._made:
            there = f"tags.`{RUN_ID}` LIKE '{key}-t%'"
            found = self.client().search_runs([self.experiment(sweep)], there, max_results=1)
            self._made[key] = None if found else set()
        return self._made[key]

    def children(self, sweep: RunFolder) -> set[str]:
        """The ids of the trials that have an MLflow run."""
        return {run.data.tags.get(RUN_ID, "") for run in self._find(sweep, PARENT, self._parent(sweep))}

    def _parent(self, sweep: RunFolder) -> str:
        return self._parents.get(outbox.identity(sweep)) or str(self.run(sweep).info.run_id)

    def _find(self, folder: RunFolder, tag: str, value: str) -> Iterator[Any]:
        token = None
        while True:
            wanted = f"tags.`{tag}` = '{value}'"
            page = self.client().search_runs([self.experiment(folder)], wanted, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


# A runs folder that is moved.


def follow_folder(runs: Path) -> None:
    """Let a runs folder's default store find its artifacts where they are now. Nothing is written where nothing was moved;
    others may read and write the database meanwhile.

    Raises:
        GanflowError: it cannot be written.
    """
    here = artifacts(runs)
    try:
        with closing(sqlite3.connect(runs / STORE, timeout=60, isolation_level=None)) as database:
            if not _gone(database, here):
                return
            database.execute("BEGIN IMMEDIATE")
            for before in _gone(database, here):
                _replace(database, before, here.as_uri())
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise GanflowError(f"the runs folder was moved, and MLflow's store {runs / STORE} cannot be told so: {error}") from None


def _gone(database: sqlite3.Connection, here: Path) -> list[str]:
    """Addresses of artifact folders that experiments have, and that are this one where it was before: they are not there any
    more, or what they hold is here, too. Another runs folder's, which shares the database, is left alone."""
    found = {str(uri).rstrip("/") for (uri,) in database.execute("SELECT artifact_location FROM experiments") if uri}
    local = {uri: path for uri in sorted(found) if (path := local_path(uri)) is not None and path.name == here.name}
    return [uri for uri, path in local.items() if path != here and (not path.exists() or _copied(database, uri, path, here))]


def _copied(database: sqlite3.Connection, uri: str, path: Path, here: Path) -> bool:
    try:
        if os.path.samefile(path, here):  # by another name: a link
            return False
    except OSError:
        return False
    under = database.execute("SELECT run_uuid FROM runs WHERE substr(artifact_uri, 1, ?) = ?", (len(uri) + 1, f"{uri}/"))
    return any((here / str(run)).is_dir() for (run,) in under)


def _replace(database: sqlite3.Connection, before: str, now: str) -> None:
    """Replace one folder's address by another's, also at the beginning of longer ones."""
    for table, column in _COLUMNS:
        try:
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (now, len(before) + 1, before, len(before) + 1, f"{before}/"),
            )
        except sqlite3.OperationalError as error:  # another version of MLflow has no such table, or column
            if "no such" not in str(error):
                raise


