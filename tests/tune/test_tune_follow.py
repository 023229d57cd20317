"""Following a job of another cluster: its output once, its exit code, and what is said where it is lost; no cluster needed."""

import os
from types import SimpleNamespace

import pytest

from ganflow import child
from ganflow.cluster import submit as module
from ganflow.cluster.address import parse_address
from ganflow.cluster.submit import OVERRIDING, _gist, _only_here, check_dashboard, follow, submit
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe

URL = "http://h:8265"


class Job:
    """A client of Ray's that knows one job.

    Args:
        logs: what each connection to its log gives, from the beginning of the log.
        infos: how the job stands, each time that is asked: a status, an exception, or a status with exit code and message.
    """

    def __init__(self, logs, *infos):
        self.logs, self.infos, self.sent = list(logs), list(infos), None

    async def tail_job_logs(self, job):
        for text in self.logs.pop(0) if self.logs else ():
            if isinstance(text, BaseException):
                raise text
            yield text

    def get_job_info(self, job):
        info = self.infos.pop(0) if len(self.infos) > 1 else self.infos[0]
        if isinstance(info, BaseException):
            raise info
        status, code, message = info if isinstance(info, tuple) else (info, None, "")
        return SimpleNamespace(status=Status(status), driver_exit_code=code, message=message)

    def submit_job(self, **sent):
        self.sent = sent
        return "job-1"


class Status(str):
    def is_terminal(self):
        return self in ("SUCCEEDED", "FAILED", "STOPPED")


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on where somebody sleeps."""
    now = [100.0]

    def sleep(seconds):
        now[0] += seconds
        assert now[0] < 10_000, "it goes on for ever"

    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", sleep)
    return now


def followed(job):
    said = []
    return follow(job, "job-1", URL, said.append), said


@pytest.mark.parametrize(
    ("info", "code", "said"),
    [
        ("SUCCEEDED", 0, []),
        (("FAILED", 3, ""), 3, []),
        (("FAILED", None, ""), 1, []),
        (("STOPPED", None, ""), 143, ["job-1 was stopped"]),
        (("STOPPED", 5, ""), 5, ["job-1 was stopped"]),
    ],
)
@pytest.mark.usefixtures("clock")
def test_a_jobs_exit_code_is_the_commands(info, code, said, capsys):
    assert followed(Job([["one\n", "two\n"]], "RUNNING", info)) == (code, said)
    assert capsys.readouterr().out == "one\ntwo\n"


@pytest.mark.usefixtures("clock")
def test_one_that_did_not_begin_says_why():
    job = Job([[]], ("FAILED", None, "Job supervisor\nline\nERROR: no module\nmore"))
    assert followed(job) == (1, ["job-1 failed: Job supervisor … ERROR: no module"])
    assert followed(Job([[]], ("FAILED", None, None))) == (1, ["job-1 failed: no reason given"])


@pytest.mark.usefixtures("clock")
def test_a_connection_that_breaks_is_made_again_and_nothing_is_shown_twice(capsys):
    logs = [["one\n", "tw", ConnectionError()], ["one\n", ConnectionError()], ["one\ntwo\n", "three\n"]]
    assert followed(Job(logs, "RUNNING", "RUNNING", "SUCCEEDED")) == (0, [])
    assert capsys.readouterr().out == "one\ntwo\nthree\n"


def test_a_cluster_that_is_silent_is_asked_for_a_minute(clock):
    job = Job([], *[RuntimeError()] * 59, "RUNNING", *[OSError()] * 59, "SUCCEEDED")
    assert followed(job) == (0, [])  # each time for less
    began = clock[0]
    lost = rf"{URL} no longer answers; perhaps job-1 goes on: .*ray job stop job-1 --address {URL}"
    with pytest.raises(GanflowError, match=lost):
        followed(Job([], RuntimeError()))
    assert 60 <= clock[0] - began <= 62


@pytest.mark.usefixtures("clock")
def test_ctrl_c_ends_the_following_alone():
    code, said = followed(Job([], KeyboardInterrupt()))
    assert code == 130
    how = f"follow it with: ray job logs -f job-1 --address {URL}; end it with: ray job stop job-1 --address {URL}"
    assert said == [f"\njob-1 goes on; {how}"]


@pytest.fixture
def sent(monkeypatch, tmp_path):
    """sent(…) → what a job is made of, by the arguments of `submit`."""
    import ray.job_submission

    def send(recipe, runs="/runs", **options):
        job = Job([[]], "SUCCEEDED")
        monkeypatch.setattr(ray.job_submission, "JobSubmissionClient", lambda address: job)
        monkeypatch.setattr(module, "check_dashboard", lambda url: "2.60")
        monkeypatch.setattr(module, "runtime_env", lambda recipe, scratch: {})
        assert submit(parse_address(URL), recipe, runs, say=lambda text: None, **options) == 0
        return job.sent["entrypoint"]

    return send


def test_the_command_of_a_job(sent):
    tune = "python -P -m ganflow tune"
    assert sent(read_recipe("grid")) == f"{tune} recipe.yaml --address auto --runs /runs"
    assert sent(read_recipe("grid"), name="s", quiet=True) == f"{tune} recipe.yaml --name s --address auto --runs /runs -q"
    assert sent(None, resume="s") == f"{tune} --resume s --address auto --runs /runs"
    assert sent(None, "/a b", resume="s") == f"{tune} --resume s --address auto --runs '/a b'"
    assert sent(read_recipe("grid"), entrypoint=["echo", "a b"]) == "echo 'a b'"


@pytest.mark.parametrize(
    ("uri", "goes"),
    [
        ("http://mlflow.example:5000", True),
        ("http://localhost:5000", False),
        ("http://127.0.0.1:5000", False),
        ("http://[::1]:5000", False),
        ("sqlite:///x.db", False),
    ],
)
def test_which_store_goes_along(uri, goes, monkeypatch, tmp_path):
    """One that means the same there."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    copied = []
    monkeypatch.setattr(module, "copy_distributions", lambda names, folder: copied.extend(names))
    environment = module.runtime_env(read_recipe("grid"), tmp_path)
    assert environment["env_vars"].get("MLFLOW_TRACKING_URI") == (uri if goes else None)
    assert copied == ["ganflow"]


def test_rays_own_addresses_do_not_win(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere")
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    seen = []
    with pytest.raises(ZeroDivisionError), child.applied(dict.fromkeys(OVERRIDING)):
        seen.append(os.environ.get("RAY_ADDRESS")) or 1 / 0
    assert seen == [None]
    assert os.environ["RAY_ADDRESS"] == "elsewhere"
    assert "RAY_API_SERVER_ADDRESS" not in os.environ


@pytest.mark.parametrize(
    ("version", "ok"), [("2.49.9", False), ("2.50.0", True), ("2.50", True), ("3.0.0", True), ("1.99.0", False)]
)
def test_the_oldest_version(version, ok, monkeypatch):
    import io

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda *a, **k: io.BytesIO(b'{"ray_version": "%s"}' % version.encode()))
    if ok:
        assert check_dashboard(URL) == version
    else:
        with pytest.raises(GanflowError, match=r"needs 2\.50 or newer"):
            check_dashboard(URL)


def test_what_means_something_else_there(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert list(_only_here(read_recipe("grid"))) == []
    notes = list(_only_here(read_recipe("grid", ["track.uri=http://localhost:5000", "train.start_from=early"])))
    assert len(notes) == 2
    assert "early" in notes[0]
    assert notes[1].startswith("note: http://localhost:5000 is this machine's MLflow")


def test_a_long_message_in_few_words():
    assert _gist("a\n\nb\nc\nit failed\nno such file\nd\n") == "a … it failed … no such file"
    assert _gist("a") == "a"
    assert _gist("a\nb\nc\nd") == "a … c … d"
