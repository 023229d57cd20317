"""Files in a store: those of a run, and those of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Artifacts:
    """The files of a run, or of a model.

    Args:
        id: of the run or the model.
        repository: MLflow's for the address that was checked; without it MLflow asks the store each time where files go.
    """

    def __init__(self, client: MlflowClient, id: str, repository: Any = None) -> None:
        self.client, self.id, self.repository = client, id, repository

    def put(self, path: Path, folder: str | None = None) -> None:
        """Send a file, into a folder of the run's."""
        if self.repository is None:
            self.client.log_artifact(self.id, str(path), folder)
        else:
            self.repository.log_artifact(str(path), folder)

    def put_model(self, path: Path) -> None:
        """Send what is in a folder, as the files of a model."""
        if self.repository is None:
            self.client.log_model_artifacts(self.id, str(path))
        else:
            self.repository.log_artifacts(str(path))

    def names(self, folder: str) -> list[str]:
        """Paths of a run's files in one of its folders."""
        if self.repository is None:
            return [found.path for found in self.client.list_artifacts(self.id, folder)]
        return [found.path for found in self.repository.list_artifacts(folder)]
