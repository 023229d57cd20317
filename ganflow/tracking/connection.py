"""One client for everything that goes to one store, and the MLflow runs there."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ganflow.addresses import is_http
from ganflow.lock import locked
from ganflow.runs import RunFolder, is_sweep
from ganflow.tracking import describe, family, store
from ganflow.tracking.artifacts import Artifacts
from ganflow.tracking.moves import check_artifacts
from ganflow.tracking.pending import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ganflow.tracking.destination import Destination


class Connection:
    """To a store; made when it is first used, and again after it was `lost`.

    Args:
        where: what is known of the store besides its address; without it, it is the user's.
        barred: why it gets no credentials.
    """

    def __init__(self, uri: str, where: Destination | None = None, barred: str | None = None) -> None:
        self.uri, self.where, self.barred = uri, where, barred
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}
        self._parents: dict[str, str] = {}

    def client(self) -> MlflowClient:
        if self._client is None:
            self._client = store.client(self.uri, self.where.runs if self.where else None)
        return self._client

    def artifacts(self, id: str, uri: str) -> Artifacts:
        """Where a run's, or a model's, artifacts go, by what the store says; see `check_artifacts`."""
        if self.where is None or (self.where.given and not self.where.own):
            return Artifacts(self.client(), id)
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        check_artifacts(uri, id, server=is_http(self.uri))
        return Artifacts(self.client(), id, get_artifact_repository(uri, tracking_uri=self.uri))

    def reason(self, error: BaseException) -> str:
        """Why something failed, in a few words."""
        why = store.reason(error)
        if self.barred and why.startswith(store.BARRED):
            return f"{store.BARRED}: {self.barred}, add --uri {shlex.quote(self.uri)}"
        return why

    def lost(self) -> None:
        """Something failed: nothing that was learnt about the store is relied on any more."""
        self._client = None
        self._experiments.clear()
        self._parents.clear()

    def answers(self) -> bool:
        """Whether the store can be reached."""
        try:
            self.client().search_experiments(max_results=1)
        except Exception:  # whatever MLflow raises
            self.lost()
            return False
        return True

    def experiment(self, folder: RunFolder) -> str:
        """The id of the experiment that a folder belongs to: a trial's is its sweep's. It is made if it is missing."""
        folder = family.sweep_of(folder) or folder
        name = Settings.of(folder).experiment
        if name not in self._experiments:
            self._experiments[name] = store.experiment(self.client(), self.uri, name, family.root(folder))
        return self._experiments[name]

    def run(self, folder: RunFolder) -> Any:
        """A folder's MLflow run, which is made if there is none; that of a trial's sweep is made before it. By its tag it is
        found again from any process."""
        if is_sweep(folder):
            run = self._find_or_make(folder, None)
            self._parents[family.identity(folder)] = run.info.run_id
            return run
        above = family.sweep_of(folder)
        return self._find_or_make(folder, self._parent(above) if above else None)

    def _find_or_make(self, folder: RunFolder, parent: str | None) -> Any:
        # the senders of single trials may both want to make the sweep's
        alone = locked(folder.path / ".tracking.run.lock", timeout=60) if is_sweep(folder) else nullcontext()
        with alone:
            found = self._find(folder, f"tags.`{describe.RUN_ID}` = '{family.identity(folder)}'", 1)
            if found:
                return found[0]
            tags = {describe.RUN_ID: family.identity(folder)} | ({describe.PARENT: parent} if parent else {})
            name = describe.run_name(folder)
            return self.client().create_run(self.experiment(folder), start_time=_created(folder), tags=tags, run_name=name)

    def parent(self, folder: RunFolder) -> str | None:
        """The id of the MLflow run of a trial's sweep. A trial that was moved out of its sweep's folder finds it by what its
        run.json says; None where there is no such run."""
        above = family.sweep_of(folder)
        if above:
            return self._parent(above)
        told = folder.read().tracking.get("parent")
        found = self._find(folder, f"tags.`{describe.RUN_ID}` = '{told}'", 1) if told else []
        return str(found[0].info.run_id) if found else None

    def children(self, sweep: RunFolder) -> set[str]:
        """The ids of the trials that have an MLflow run."""
        found = self._find(sweep, f"tags.`{describe.PARENT}` = '{self._parent(sweep)}'", 1000)
        return {run.data.tags.get(describe.RUN_ID, "") for run in found}

    def _parent(self, sweep: RunFolder) -> str:
        return self._parents.get(family.identity(sweep)) or str(self.run(sweep).info.run_id)

    def _find(self, folder: RunFolder, tag: str, page: int) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            some = self.client().search_runs([self.experiment(folder)], tag, max_results=page, page_token=token)
            found += some
            token = some.token
            if page == 1 or not token:
                return found


def _created(folder: RunFolder) -> int | None:
    created = folder.read().created
    return int(datetime.fromisoformat(created).timestamp() * 1000) if created else None
