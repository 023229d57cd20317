"""A clock that is set back, or far forward, before and while something runs."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from ganflow.cli.main import main
from ganflow.runs import ids, journal
from ganflow.runs.finding import find_run, latest_sweep, new_id
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import Journal, entries
from ganflow.runs.new import create
from ganflow.runs.report import report_data
from ganflow.sweeps.records import SweepFolder
from ganflow.tracking import store
from ganflow.tracking.sync import sync
from ganflow.tune.control import ask, requests

NOW = datetime(2026, 11, 25, 9, 30, 15, tzinfo=UTC)


class Clock(datetime):
    """Shows what it was set to, and does not go."""

    time = NOW

    @classmethod
    def now(cls, tz=None):
        return cls.time


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(Clock, "time", NOW)
    monkeypatch.setattr(ids, "datetime", Clock)
    monkeypatch.setattr(journal.time, "time", lambda: Clock.time.timestamp())
    return lambda **shift: setattr(Clock, "time", Clock.time + timedelta(**shift))


def begun(root, name="wgan", **about):
    run = create(root, name)
    run.update(**{"status": "running", "rounds": 1000, "created": NOW.isoformat(), **about})
    return run


def reported(run, clock, *steps):
    """A journal of reports, each after so many seconds, and 100 rounds after the one before."""
    kept = Journal(run.journal)
    for i, seconds in enumerate(steps, 1):
        clock(seconds=seconds)
        kept.append(100 * i, {"critic/loss": 1.0})
    kept.close()


def test_latest_is_what_was_begun_last(tmp_path, clock):
    first = begun(tmp_path)
    assert first.id == "20261125-093015-0000"
    for shift in ({"hours": -1}, {"days": -9000}, {}):  # {}: it stands still, for which a run was waited without end
        clock(**shift)
        last = begun(tmp_path, "gan")
        assert find_run("latest", tmp_path) == last
    assert last.id == "20261125-093015-0003"
    clock(days=9001)
    assert begun(tmp_path).id == "20261126-083015-0000"


def test_what_is_no_time_is_passed_over(tmp_path, clock):
    for id in ("99991231-235959-9999", "99999999-999999-9999", "x", "20261125-093016-0000-t0003"):
        folder = RunFolder(tmp_path / "strangers" / id)
        folder.path.mkdir(parents=True)
        folder.update(id=id)
    assert begun(tmp_path).id == "20261125-093016-0001"


def test_the_latest_sweep_is_the_one_that_was_begun_last(tmp_path, clock):
    for name in ("a", "b"):
        sweep = RunFolder(tmp_path / name)
        sweep.path.mkdir()
        sweep.update(kind="sweep", id=new_id(tmp_path))
        assert latest_sweep(tmp_path) == sweep
        clock(minutes=-5)


def test_records_of_sweeps_that_have_trials_are_not_read_for_an_id(tmp_path, clock, monkeypatch):
    ids, read = [], list[str]()
    for name in ("a", "b"):
        sweep = RunFolder(tmp_path / name)
        sweep.path.mkdir()
        sweep.update(kind="sweep", id=new_id(tmp_path))
        ids.append(sweep.read().id)
        clock(minutes=-5)
    (tmp_path / "b" / f"{ids[1]}-t0000").mkdir()
    real = RunFolder.read
    monkeypatch.setattr(RunFolder, "read", lambda self: read.append(self.path.name) or real(self))
    assert new_id(tmp_path) > max(ids)
    assert read == ["a"]


def test_requests_to_a_sweep_keep_their_sequence(tmp_path, clock):
    sweep = SweepFolder(tmp_path)
    for number in range(3):
        ask(sweep, stop=number)
        clock(seconds=-7)
    assert [request.stop for _, request in requests(sweep)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("steps", "left"),
    [((0, 60, 60, 60), "6 min"), ((0, 60, 60, -3600), "6 min"), ((0, 60, 1e9, 60), "6 min"), ((0, -60, -60, -60), None),
     ((0, 60, 40_000, 60), "6 min")],  # the last one: it was interrupted, and went on in the morning
)  # fmt: skip
def test_the_time_left_is_from_the_usual_pace(tmp_path, clock, steps, left):
    run = begun(tmp_path, host="elsewhere")
    reported(run, clock, *steps)
    assert report_data(run)["state"] == "running, round 400 of 1000" + (f", about {left} left" if left else "")


def test_mlflows_run_does_not_end_before_it_began(tmp_path, clock):
    about = {"mlflow": True, "uri": None, "experiment": None, "run_name": None, "images": False, "log_model": False}
    run = begun(tmp_path, status="finished", tracking=about)
    run.recipe.write_text("name: wgan\n")
    reported(run, clock, 60, -86_400)
    assert sync(run).error == ""
    (sent,) = store.client(sync(run).uri).search_runs(["1"])
    assert sent.info.end_time == sent.info.start_time == NOW.timestamp() * 1000


@pytest.mark.parametrize("created", ["2099-01-01T00:00:00+00:00", "1970-01-01T00:00:01+00:00"])
def test_a_list_of_runs_from_another_time(tmp_path, capsys, clock, created):
    run = begun(tmp_path, created=created)
    reported(run, clock, -60, -60)
    for command in (["runs"], ["runs", "show", run.id], ["report", run.id]):
        assert main([*command, "--runs", str(tmp_path)]) == 0
        assert not re.search(r"-\d+(\.\d+)? (s|min|h|d)\b", capsys.readouterr().out)


@pytest.mark.parametrize("created", ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00", "1969-12-31T00:00:00+00:00", ""])
def test_what_no_clock_showed(tmp_path, capsys, created):
    run = RunFolder(tmp_path / "wgan" / "20261125-093015-0000")
    run.path.mkdir(parents=True)
    (run.path / "run.json").write_text(json.dumps({"id": run.id, "status": "running", "created": created}))
    assert main(["runs", "--runs", str(tmp_path)]) == 0
    assert "not a time" in capsys.readouterr().err
    assert main(["runs", "show", run.id, "--runs", str(tmp_path)]) == 2
    assert "not a time" in capsys.readouterr().err
    run.journal.write_text('{"round": 1, "time": -1, "values": {}}\n')
    with pytest.raises(Exception, match="is damaged: no report: 'time' is '-1'"):
        list(entries(run.journal))
