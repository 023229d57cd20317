"""Addresses that are no store of MLflow's: refused before anything is trained, where they are written, with what to write."""

from __future__ import annotations

from pathlib import Path

import pytest
from tracking_helpers import SEARCHED

from ganflow.tracking.destination import check_address
from ganflow.tracking.follower import Follower, unsent

NONE = [
    ("htp://x", "'htp://x' is not the address of an MLflow store; use http(s)://host:port or sqlite:///file.db"),
    ("s3://bucket", "'s3://bucket' is not the address of an MLflow store; use http(s)://host:port or sqlite:///file.db"),
    ("localhost:5000", "'localhost:5000' is not the address of an MLflow store; use http://localhost:5000"),
    ("127.0.0.1:5000/x", "'127.0.0.1:5000/x' is not the address of an MLflow store; use http://127.0.0.1:5000/x"),
    ("/no/dir", "MLflow does not take the folder '/no/dir' as a store; use sqlite:////no/dir/mlflow.db"),
    ("./mlruns", "MLflow does not take the folder './mlruns' as a store; use sqlite:///mlruns/mlflow.db"),
    ("mlruns", "MLflow does not take the folder 'mlruns' as a store; use sqlite:///mlruns/mlflow.db"),
    ("file:///m", "MLflow does not take the folder 'file:///m' as a store; use sqlite:////m/mlflow.db"),
    ("sqlite://x.db", "'sqlite://x.db' is not the address of a SQLite file; use sqlite:///file.db, or with the whole path "
                      "sqlite:////folder/file.db"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(SEARCHED)
    return path


@pytest.mark.parametrize(("uri", "said"), NONE)
@pytest.mark.parametrize("words", [("check", "r.yaml"), ("run", "r.yaml"), ("tune", "r.yaml"), ("tune", "r.yaml", "--dry-run")])
def test_they_are_refused_at_the_start(words, uri: str, said: str, command, recipe: Path) -> None:
    refused = command.refused(*words, f"track.uri={uri}")
    assert refused.removeprefix("ganflow: ") == f"command line: track.uri: {said}"
    assert [path.name for path in recipe.parent.iterdir()] == ["r.yaml"]


def test_where_a_recipe_or_the_environment_names_one(command, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe.write_text(SEARCHED + "track:\n  log_model: false\n  uri: ./mlruns\n")
    for words in (("check",), ("run",), ("tune",)):
        assert "r.yaml:12: track.uri: MLflow does not take the folder './mlruns'" in command.refused(*words, "r.yaml")
    assert command("check", "r.yaml", "track.mlflow=false")[0] == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "htp://x")
    assert command.refused("run", "r.yaml", "~track.uri").startswith("ganflow: MLFLOW_TRACKING_URI: 'htp://x' is not the address")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # where MLflow takes it, it is the user's affair
    assert command("check", "r.yaml")[0] == 0


def test_a_later_stage_is_checked_before_the_first_is_trained(command, recipe: Path) -> None:
    stages = "name: both\nstages:\n- {extends: r.yaml, name: one}\n- {extends: r.yaml, name: two, track: {uri: 'htp://x'}}\n"
    recipe.with_name("both.yaml").write_text(stages)
    assert "track.uri: 'htp://x' is not the address" in command.refused("run", "both.yaml", "-q")
    assert not recipe.with_name("runs").exists()


def test_what_mlflow_knows_is_not() -> None:
    for uri in ("http://h", "HTTPS://h:1/x", "sqlite:///x.db", "sqlite+pysqlite:///x.db", "postgresql+psycopg2://h/x",
                "mysql://h/x", "mssql://h/x", "databricks", "databricks://profile", "databricks-uc", "uc:http://h"):  # fmt: skip
        check_address(uri)


def test_a_file_that_cannot_be_made(command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for uri, said in (
        (f"sqlite:///{tmp_path}/folder", f"and a SQLite store is a file; use sqlite:///{tmp_path}/folder/mlflow.db"),
        (f"sqlite:///{tmp_path}/file/x.db", f"cannot make MLflow's store {tmp_path}/file/x.db: {tmp_path}/file is no folder"),
    ):
        assert command.refused("run", "r.yaml", f"track.uri={uri}").endswith(said)


def test_a_run_that_could_not_be_sent_ends_well_and_its_advice_works(
    command, recipe: Path, port: int, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/cli.md: 0 where the training succeeded, 1 of `ganflow sync`."""
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(Follower, "start", lambda self, say: None)
    monkeypatch.setattr(Follower, "finish", lambda self, timeout: unsent(self.folder))
    code, _, err = command("run", "r.yaml", "-q", "track.log_model=false")
    assert (code, f"not sent to {uri}: " in err) == (0, True)
    code, out, _ = command("sync", "latest")
    assert code == 1
    advice = out.strip().partition("connection refused; elsewhere, where that is gone: ganflow ")[2]
    (recipe.parent / "runs" / "mlflow.db").write_bytes(template.read_bytes())
    code, out, _ = command(*advice.split())
    assert (code, "points" in out) == (0, True)


def test_what_mlflow_says_is_not_cut_in_a_word() -> None:
    from ganflow.tracking.store import reason

    said = reason(Exception("word " * 100))
    assert len(said) <= 200
    assert said.endswith("word …")
