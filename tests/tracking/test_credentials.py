"""Whose credentials go where: to addresses that the user gave, and to no other; no password is kept, shown or sent."""

from __future__ import annotations

import base64
import json
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tracking_helpers import TINY, history

from ganflow.addresses import bare, normal, password_problem, recorded, redacted
from ganflow.cli import main
from ganflow.errors import GanflowError
from ganflow.lock import locked
from ganflow.runs.folders import RunFolder
from ganflow.tracking import destination, store
from ganflow.tracking.destination import check_address, known, remember
from ganflow.tracking.sync import sync

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
Make = Callable[..., RunFolder]
SECRET = "S3cret-pass"
TOKEN = "t0ken-of-mine"


class Listener(ThreadingHTTPServer):
    """As much of an MLflow server as a sender needs; it keeps what it gets: (path, headers and body as text).

    Attributes:
        artifacts: where it says that artifacts go.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: list[tuple[str, str]] = []
        self.run = f"run{self.server_port}"
        self.artifacts = f"mlflow-artifacts:/1/{self.run}/artifacts"
        self.code = 200

    @property
    def authorized(self) -> list[str]:
        return [path for path, text in self.heard if "authorization:" in text.lower()]


class Handler(BaseHTTPRequestHandler):
    server: Listener

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.heard.append((self.path, f"{self.headers}{body.decode(errors='replace')}"))
        run = self.server.run
        info = {"run_id": run, "run_uuid": run, "experiment_id": "1", "status": "RUNNING", "start_time": 0,
                "artifact_uri": self.server.artifacts, "lifecycle_stage": "active"}  # fmt: skip
        answers: dict[str, Any] = {
            "get-by-name": {"experiment": {"experiment_id": "1", "name": "ganflow", "lifecycle_stage": "active"}},
            "runs/create": {"run": {"info": info, "data": {}}},
            "runs/update": {"run_info": info},
        }
        answer = next((a for end, a in answers.items() if end in self.path), {})
        if self.server.code == 401:
            answer = {"error_code": "UNAUTHENTICATED", "message": "You are not authenticated: unauthorized"}
        raw = json.dumps(answer).encode()
        self.send_response(self.server.code)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["token", "password", "netrc", "netrc-default", "file"])
def credentials(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One of the ways in which MLflow has credentials; what it sends then."""
    return give(request.param, tmp_path, monkeypatch)


def give(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    home = tmp_path / "home"
    (home / ".mlflow").mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("NETRC", raising=False)
    basic = f"Basic {base64.b64encode(f'ann:{SECRET}'.encode()).decode()}"
    if kind == "token":
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
        return f"Bearer {TOKEN}"
    if kind == "password":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    elif kind == "file":
        text = f"[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = {SECRET}\n"
        (home / ".mlflow" / "credentials").write_text(text)
    else:
        machine = "default" if kind == "netrc-default" else "machine 127.0.0.1"
        (home / ".netrc").write_text(f"{machine} login ann password {SECRET}\n")
        (home / ".netrc").chmod(0o600)
    return basic


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of this test's."""
    monkeypatch.setenv("GANFLOW_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def training() -> threading.Event:
    """As the process that a training starts, at its end."""
    over = threading.Event()
    over.set()
    return over


def test_credentials_go_where_the_user_said_and_nowhere_else(
    make_run: Make, listener: Listener, credentials: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://127.0.0.1:{listener.server_port}"
    folder = make_run(points=2, pictures=(1,), uri=uri, status="finished")
    result = sync(folder, over=training())  # the address is the recipe's
    assert (result.points, result.images, result.error) == (2, 1, "")
    assert len(listener.heard) > 8
    assert listener.authorized == []

    with pytest.raises(GanflowError, match=r"typed yet; if you mean it: ganflow sync .* --uri http://127.0.0.1:"):
        sync(folder)  # by hand: is it a stranger's folder?
    listener.heard.clear()
    folder.tracking.unlink()
    sync(folder, uri=uri)
    assert {text.partition(credentials)[1] for _, text in listener.heard} == {credentials}
    listener.heard.clear()
    folder.tracking.unlink()
    sync(folder)  # it is known now
    assert len(listener.authorized) == len(listener.heard) > 0

    other = make_run(points=1, uri=f"http://127.0.0.1:{listener.server_port}/elsewhere", status="finished")
    listener.heard.clear()
    assert sync(other, over=training()).points == 1
    assert listener.authorized == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"HTTP://127.0.0.1:{listener.server_port}/elsewhere/")
    other.tracking.unlink()
    listener.heard.clear()
    sync(other)
    assert len(listener.authorized) == len(listener.heard) > 0


def test_why_a_server_lets_nobody_in(make_run: Make, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener.code, uri = 401, f"http://127.0.0.1:{listener.server_port}"
    folder = make_run(points=1, uri=uri)
    assert "set MLFLOW_TRACKING_TOKEN" in sync(folder, over=training()).error
    give("token", tmp_path, monkeypatch)
    error = sync(folder, over=training()).error
    why = f"your MLflow credentials do not go to {uri}, which comes from a recipe; if it is yours, add --uri {uri}"
    assert error == f"not allowed in: {why}"
    assert listener.authorized == []


@pytest.mark.parametrize("elsewhere", ["file:///HOME/.config", "/HOME", "s3://bucket/x", "http://127.0.0.1:1/x",
                                       "mlflow-artifacts://other:80/x"])  # fmt: skip
def test_a_strangers_server_does_not_say_where_files_go(
    make_run: Make, listener: Listener, tmp_path: Path, elsewhere: str
) -> None:
    listener.artifacts = elsewhere.replace("HOME", f"{tmp_path}/home/{listener.run}/artifacts")
    folder = make_run(points=1, pictures=(1,), uri=f"http://127.0.0.1:{listener.server_port}", status="finished")
    assert "not at the server itself" in sync(folder, over=training()).error
    assert not (tmp_path / "home").exists()


def forms(r: random.Random, port: int) -> str:
    """An address of the listener, or of something of the user's, in one of many ways to write it."""
    hosts = ["127.0.0.1", "localhost", "LOCALHOST", "127.1", "[::ffff:127.0.0.1]", "%31%32%37.0.0.1", "0.0.0.0"]
    users = [*[""] * 8, "ann@", f"ann:{SECRET}@", f"ann%3A{SECRET}@", f":{SECRET}@", f"ann:{SECRET}%40x@", f"ann:{SECRET}/@"]
    schemes = [*["http"] * 5, "HTTP", "Http", "https", "http+unix", "unix", "postgresql", "mysql+pymysql", "databricks", "file",
               "databricks+http", "s3", "mlflow-artifacts", "runs", "ftp", "sqlite"]  # fmt: skip
    ends = ["", "/", "//", "/x", "?a=b", "#x", f"?password={SECRET}", f"/x;token={SECRET}", "/%2e%2e", "\\@x", " ", "\n"]
    scheme, slashes = r.choice(schemes), r.choice([*["://"] * 6, ":///", ":////", ":", ":/", ":\\\\"])
    user = r.choice(users) if scheme not in ("sqlite", "file") else ""  # which would be a path's
    return f"{scheme}{slashes}{user}{r.choice(hosts)}:{port}{r.choice(ends)}"


def test_forms_of_addresses(
    make_run: Make, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """None of 400 gets the user's credentials, and no password is kept, shown or sent."""
    for kind in ("token", "password", "netrc-default", "file"):
        give(kind, tmp_path, monkeypatch)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    r, sent, said = random.Random(12), 0, []
    folder = make_run(points=1)
    tracking = folder.read().tracking
    for _ in range(400):
        uri = forms(r, listener.server_port)
        folder.update(tracking={**tracking, "uri": uri})
        folder.tracking.unlink(missing_ok=True)
        try:
            result = sync(folder, over=training())
            sent += result.points
            said.append(result.error)
        except GanflowError as error:
            said.append(str(error))
    assert sent > 5
    assert listener.authorized == []
    kept = [p.read_text() for p in folder.path.rglob("*.*") if p.is_file() and p.suffix != ".png" and p.name != "run.json"]
    for text in (*said, *(text for _, text in listener.heard), *kept, *capsys.readouterr()):
        assert SECRET not in text
        assert TOKEN not in text


# Databases.


def make_foreign(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")  # many programs have this one
        database.execute("CREATE TABLE photos (path TEXT)")
    database.close()
    return path.read_bytes()


@pytest.mark.parametrize("where", ["{home}/app.db", "{runs}/../../x.db", "{runs}/link/x.db",
                                   "file:{home}/app.db?mode=rwc&uri=true", "{home}/%61pp.db",
                                   "{home}/app.db?timeout=5", ":memory:"])  # fmt: skip
def test_a_recipes_database_is_in_the_runs_folder(make_run: Make, tmp_path: Path, where: str) -> None:
    home = tmp_path / "home"
    before = make_foreign(home / "app.db")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to(home)
    uri = "sqlite:///" + where.format(home=home, runs=tmp_path / "runs")
    for over in (None, training()):
        with pytest.raises(GanflowError, match=r"comes from a recipe|another program's database"):
            sync(make_run(points=1, uri=uri), over=over)
    assert {p.name: p.read_bytes() for p in home.iterdir()} == {"app.db": before}
    assert not (tmp_path / "x.db").exists()


@pytest.mark.parametrize("inside", [True, False])
def test_never_into_another_programs_database(make_run: Make, tmp_path: Path, inside: bool) -> None:
    file = tmp_path / ("runs" if inside else "home") / "app.db"
    before = make_foreign(file)
    with pytest.raises(GanflowError, match=r"app.db is another program's database"):
        sync(make_run(points=1), uri=f"sqlite:///{file}")
    (tmp_path / "text.db").write_text("no database")
    with pytest.raises(GanflowError, match=r"text.db is not a database"):
        sync(make_run(points=1), uri=f"sqlite:///{tmp_path}/text.db")
    assert file.read_bytes() == before
    assert list(file.parent.glob(".*")) == []


def test_the_runs_folders_store_is_no_link_out_of_it(make_run: Make, template: Path, tmp_path: Path) -> None:
    folder = make_run(points=1)
    (tmp_path / "runs" / "mlflow.db").symlink_to(template)
    before = template.read_bytes()
    with pytest.raises(GanflowError, match=f"is a link out .*; if you mean it, set MLFLOW_TRACKING_URI to sqlite:///{template}"):
        sync(folder)
    assert template.read_bytes() == before


def test_a_database_in_the_runs_folder_serves_a_recipe(make_run: Make, template: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/runs/mine.db"
    folder = make_run(points=3, uri=uri, status="finished")
    (tmp_path / "runs" / "mine.db").write_bytes(template.read_bytes())
    assert sync(folder).points == 3
    (run,) = store.client(uri).search_runs(["1"])
    assert history(uri, run.info.run_id) == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_artifacts_go_into_the_runs_folder(make_run: Make, database: str, tmp_path: Path) -> None:
    """A database that came with the runs says where artifacts go: into a folder of the run's alone, through no link."""
    folder = make_run(points=1, pictures=(1,), status="finished")
    sync(folder)
    file = tmp_path / "runs" / "mlflow.db"
    with sqlite3.connect(file) as at:
        (run,), = at.execute("SELECT run_uuid FROM runs").fetchall()
        at.execute("UPDATE runs SET artifact_uri = ?", (f"file://{tmp_path}/home",))
    at.close()
    folder.tracking.unlink()
    assert "is not a folder of run" in sync(folder).error
    (tmp_path / "home").mkdir()
    place = tmp_path / "runs" / "mlartifacts" / run / "artifacts"
    with sqlite3.connect(file) as at:
        at.execute("UPDATE runs SET artifact_uri = ?", (place.as_uri(),))
    at.close()
    (place / "plots").symlink_to(tmp_path / "home")
    assert "plots is a link: artifacts are not written through it" in sync(folder).error
    assert list((tmp_path / "home").iterdir()) == []


# Passwords in addresses.


@pytest.mark.parametrize("where", ["command line", "recipe", "environment", "sync", "ui"])
def test_a_password_in_an_address_is_refused(
    make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    uri, recipe = f"http://ann:{SECRET}@127.0.0.1:1", tmp_path / "tiny.yaml"
    recipe.write_text(TINY + (f"track: {{uri: '{uri}'}}\n" if where == "recipe" else ""))
    if where in ("environment", "ui"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    command = ["run", str(recipe)] + ([f"track.uri={uri}"] if where == "command line" else [])
    if where == "sync":
        command = ["sync", str(make_run(points=1).path), "--uri", uri]
    before = sorted(tmp_path.rglob("*"))
    assert main(["ui", "--no-browser"] if where == "ui" else command) == 2
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert "use http://127.0.0.1:1 and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in err
    assert SECRET not in out + err
    assert sorted(tmp_path.rglob("*")) == before


def test_old_folders_passwords_are_neither_shown_nor_sent(
    make_run: Make, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"http://ann:{SECRET}@127.0.0.1:1"
    folder = make_run(points=1, status="finished", error=f"cannot send to {uri}/api")
    raw = json.loads((folder.path / "run.json").read_text())
    (folder.path / "run.json").write_text(json.dumps(raw | {"tracking": {**raw["tracking"], "uri": uri}}))
    folder.recipe.write_text(TINY + f"track:\n  uri: {uri}\n")
    folder.tracking.write_text(json.dumps({"uri": uri, "error": f"{uri} is away"}))
    assert main(["runs", "show", folder.id, "--json"]) == 0
    assert main(["runs", "show", folder.id]) == 0
    assert main(["sync", folder.id]) == 2
    out, err = capsys.readouterr()
    assert f"then: ganflow sync runs/ring/{folder.id} --uri http://127.0.0.1:1\n" in err
    assert SECRET not in out + err
    assert main(["sync", folder.id, "--uri", database]) == 0
    client = store.client(database)
    (run,) = client.search_runs(["1"])
    assert "track.uri" not in run.data.params
    assert SECRET not in str(run.to_dictionary())
    sent = [p for p in (tmp_path / "runs" / "mlartifacts").rglob("*") if p.is_file()]
    assert [p.name for p in sent] == ["recipe.yaml"]
    assert SECRET not in sent[0].read_text()
    assert SECRET not in folder.tracking.read_text()
    assert SECRET not in "".join(capsys.readouterr())


def test_hidden_passwords() -> None:
    r = random.Random(5)
    printable = [chr(i) for i in range(33, 127)]
    for _ in range(3000):
        password = "x" + "".join(r.choice(printable) for _ in range(r.randint(3, 14)))
        scheme = r.choice(["http", "HTTPS", "postgresql", "mysql+pymysql"])
        end = r.choice(["", f":{r.randint(1, 65535)}", "/db", "/db?a=b"])
        uri = f"{scheme}://{r.choice(['', 'ann', 'a.b'])}:{password}@host{end}"
        assert password not in redacted(f"cannot connect to {uri}: refused"), uri
        assert bare(uri) == f"{scheme}://host{end}"
        assert password_problem(uri)
        assert password_problem(bare(uri)) is None
        assert redacted(redacted(uri)) == redacted(uri)


@pytest.mark.parametrize("uri", ["http://host", "http://host:5000/p@2", "http://[::1]:5000/x@y", "https://h/a?b=c", "databricks://a:b",
                                 "sqlite:////a/b@c:d.db", "postgresql://me@host/db", "mysql+pymysql://h:3306/x@y", "file:///a/b:c@d",
                                 "sqlite:///C:/x@y.db", "see http://host:5000, mail a@b.c"])  # fmt: skip
def test_what_is_no_password_stays(uri: str) -> None:
    assert redacted(uri) == uri
    assert password_problem(uri) is None


# What is remembered.


def test_addresses_are_remembered_in_one_form(state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert normal("HTTP://Host.Lab:80/x/") == "http://host.lab/x"
    remember("https://Host.Lab:443/")
    assert known("https://host.lab")
    assert not known("http://host.lab")
    assert not known("https://host.lab:444")
    assert not known("https://host.lab.evil.org")
    assert not known("https://host.lab/x")
    monkeypatch.chdir(tmp_path)
    remember("sqlite:///a.db")
    assert known(f"sqlite:///{tmp_path}/a.db")
    (state / "addresses.json").write_text("{broken")
    assert not known("https://host.lab")
    remember("https://host.lab")
    assert known("https://host.lab")


def test_the_newest_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganflow.tracking.destination._MOST", 2)
    for name in ("a", "b", "c"):
        remember(f"http://{name}")
    assert [known(f"http://{name}") for name in ("a", "b", "c")] == [False, True, True]


def test_a_relative_database_stays_where_it_was_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    asked = "sqlite:///mine.db"
    first = recorded(asked, {})
    assert first == {"asked": asked, "uri": f"sqlite:///{tmp_path}/mine.db"}
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert recorded(asked, first) == first  # the run goes on elsewhere
    assert recorded("sqlite:///new.db", first)["uri"] == f"sqlite:///{tmp_path}/other/new.db"
    assert recorded(None, first) == {"asked": None, "uri": None}


@pytest.mark.parametrize("uri", ["http://host:0", "http://:5000", "http://host:66000", "http://ho st", "https:///x"])
def test_what_is_no_address(uri: str) -> None:
    with pytest.raises(GanflowError, match=r"names no host, or no port|is not the address of an MLflow store"):
        check_address(uri)


def test_a_database_whose_tables_are_being_made_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of its tables would look like another program's."""
    file = tmp_path / "mlflow.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
    database.close()
    monkeypatch.setattr(destination, "locked", lambda path, timeout: locked(path, 0))
    with locked(tmp_path / ".mlflow.db.lock", 0), pytest.raises(GanflowError, match="is being set up by another process"):
        destination.Destination(f"sqlite:///{file}", tmp_path, trusted=True).check("")
    with pytest.raises(GanflowError, match="another program's database"):
        destination.Destination(f"sqlite:///{file}", tmp_path, trusted=True).check("")


@pytest.mark.slow
def test_an_address_that_was_typed_for_a_run_serves_a_recipe_later(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real runs: of a recipe that names a server, typed, and of the recipe again."""
    monkeypatch.chdir(tmp_path)
    give("token", tmp_path, monkeypatch)
    uri = f"http://127.0.0.1:{listener.server_port}"
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY + f"track: {{uri: '{uri}', log_model: false}}\n")
    assert main(["run", str(recipe)]) == 0
    assert f"your MLflow credentials do not go to {uri}, which comes from a recipe" in capsys.readouterr().err
    assert len(listener.heard) > 5
    assert listener.authorized == []
    for command in (["run", str(recipe), f"track.uri={uri}"], ["run", str(recipe)]):
        listener.heard.clear()
        assert main(command) == 0
        assert "credentials do not go" not in capsys.readouterr().err
        assert len(listener.authorized) == len(listener.heard) > 5
