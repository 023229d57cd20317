"""A sweep's folder that a stranger has prepared: what a driver that goes on with it finds there instead of its own files."""

import json
import os
import pickle
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from safety_helpers import RECIPE, ganflow

from ganflow.cli.main import main
from ganflow.cluster import joining
from ganflow.errors import GanflowError
from ganflow.sweeps.records import SweepFolder
from ganflow.tune.plan import begin, make_plan

REQUEST = "20261201-000000-0000-12.json"
PICKLES = ("tuner.pkl", "trainable.pkl", "experiment_state-2026-12-01_00-00-00.json", "searcher-state-2026-12-01_00-00-00.pkl",
           "search_gen_state-2026-12-01_00-00-00.json", "basic-variant-state-2026-12-01_00-00-00.json")  # fmt: skip
"""Files of an experiment of Ray Tune's, from which one of its own would be restored."""

EARLIER = {"trial": -1, "config": {"optimizer.lr": 1e-3}, "state": "stopped", "score": 1.0, "round": 4}


class Canary:
    """Leaves a folder where it is unpickled."""

    def __init__(self, at):
        self.at = at

    def __reduce__(self):
        return os.mkdir, (str(self.at),)


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep that learns from its trials, of which one is over and one was interrupted."""
    (tmp_path / "small.yaml").write_text(RECIPE.replace("trials: 2", "trials: 3\n  search: tpe"))
    monkeypatch.chdir(tmp_path)
    sweep = begin(make_plan(Path("small.yaml")), tmp_path / "runs", "s")
    for number in range(2):
        sweep.record(number, config={"optimizer.lr": 10.0 ** -(2 + number / 2)})
    sweep.record(0, state="finished", score=0.5, round=4)
    sweep.update(status="interrupted", over=1)
    return sweep


@pytest.fixture
def resumed(monkeypatch, capsys):
    """What `tune --resume` says, which comes to the point where Ray would be started, or refuses the folder before."""

    @contextmanager
    def started(*args, **options):
        raise GanflowError("Ray is started")
        yield

    monkeypatch.setattr(joining, "connect", started)

    def go():
        assert main(["tune", "--resume", "s"]) == 2
        return "".join(capsys.readouterr())

    return go


@pytest.fixture
def canary(tmp_path):
    at = tmp_path / "was-unpickled"
    yield pickle.dumps(Canary(at))
    assert not at.exists()


@pytest.mark.parametrize("name", ["optuna.journal", "optuna.journal.lock", "earlier.jsonl", "trials.jsonl"])
@pytest.mark.parametrize("command", ["tune --resume s", "sweeps show s", "sweeps stop s 1", "sweeps add s optimizer.lr=0.003",
                                     "tune small.yaml --from s", "runs show s/0", "sweeps", "runs"])  # fmt: skip
def test_a_folder_instead_of_a_file(sweep, name, command, capsys):
    (sweep.path / name).unlink(missing_ok=True)
    (sweep.path / name / "inner").mkdir(parents=True)
    listed = command in ("sweeps", "runs")
    assert main(command.split()) == (0 if listed else 2)
    assert capsys.readouterr().err == f"ganflow: run s: {sweep.path / name} is a folder, not a file; remove it\n"
    (sweep.path / name / "inner").rmdir()
    (sweep.path / name).rmdir()  # as advised
    assert main(["sweeps", "show", "s"]) == 0


def test_a_study_is_written_anew(sweep, resumed, canary, tmp_path):
    sweep.study.write_bytes(canary)
    assert "Ray is started" in resumed()
    assert b"was-unpickled" not in sweep.study.read_bytes()
    sweep.study.unlink()
    sweep.study.symlink_to("recipe.yaml")
    before = sweep.recipe.read_bytes()
    assert "Ray is started" in resumed()
    assert sweep.recipe.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [{"trial": 0}, {"trial": 1, "config": {"optimizer.lr": 1}}, {"config": {"optimizer.lr": [1]}}, {"config": {}}, {"state": "x"},
     {"score": float("inf")}, {"score": None}, {"scores": {"x": 1.0}}, {"state": "running"}],
)  # fmt: skip
def test_earlier_trials(sweep, resumed, line):
    sweep.earlier.write_text(json.dumps({**EARLIER, **line}) + "\n")
    assert "Ray is started" in resumed()


@pytest.mark.parametrize("line", [{"round": -5}, {"round": 10**30}, {"config": 7}, None])
def test_earlier_trials_that_are_none(sweep, resumed, canary, line):
    sweep.earlier.write_bytes((json.dumps({**EARLIER, **line}).encode() if line else canary) + b"\n")
    assert f"{sweep.earlier}:1 is damaged: not a trial's record; delete that line and resume" in resumed()
    sweep.earlier.write_text("")  # as advised
    assert "Ray is started" in resumed()


@pytest.mark.parametrize(
    "raw",
    ['{"add": {"optimizer.lr": "\\u001b[31m"}}', '{"add": {"": 1e999}}', '{"add": {"a": ' + "[" * 400 + "]" * 400 + "}}",
     "[" * 100_000, '{"stop": ' + "9" * 30 + "}", '{"add": {"optimizer.lr": "\\ud800"}}', '{"add": {"\\ud800": 1}}', "PICKLE"],
)  # fmt: skip
def test_a_request_that_is_none_is_passed_over(sweep, resumed, canary, raw):
    (sweep.path / "requests").mkdir()
    file = sweep.path / "requests" / REQUEST
    file.write_bytes(canary if raw == "PICKLE" else raw.encode())
    said = resumed()
    assert "a request is passed over: " in said
    assert "Ray is started" in said
    assert "\x1b" not in said
    assert not file.exists()


def test_requests_that_are_no_folder(sweep, resumed):
    (sweep.path / "requests").write_text("x")
    assert "Ray is started" in resumed()
    (sweep.path / "requests").unlink()
    (sweep.path / "requests" / REQUEST).mkdir(parents=True)
    assert "Ray is started" in resumed()


@pytest.fixture(params=["link", "inner link", "file", "pickles", "empty"])
def forged(sweep, tmp_path, canary, request):
    """Ray's folder in the sweep's, from somebody else."""
    ours, victim = sweep.path / ".ray", tmp_path / "victim"
    (victim / "inner").mkdir(parents=True)
    if request.param == "link":
        ours.symlink_to("checkpoints")
    elif request.param == "file":
        ours.write_text("x")
    else:
        ours.mkdir()
    if request.param == "inner link":
        (ours / "sweep").symlink_to(victim)
    if request.param == "pickles":
        (ours / "sweep").mkdir()
        for name in PICKLES:
            (ours / "sweep" / name).write_bytes(canary)
    yield ours
    assert [path.name for path in victim.rglob("*")] == ["inner"]


def test_rays_folder_is_made_anew(sweep, resumed, forged):
    assert "Ray is started" in resumed()
    assert not os.path.lexists(forged)
    assert sweep.recipe.is_file()


@pytest.mark.slow
def test_rays_folder_under_ray(sweep, tmp_path, canary):
    """Links, and pickles of an experiment, where Ray Tune would restore one."""
    (tmp_path / "victim" / "inner").mkdir(parents=True)
    (sweep.path / ".ray" / "sweep").mkdir(parents=True)
    for name in PICKLES:
        (sweep.path / ".ray" / "sweep" / name).write_bytes(canary)
    (sweep.path / ".ray" / "sweep" / "more").symlink_to(tmp_path / "victim")
    sweep.study.write_bytes(canary)
    done = ganflow(tmp_path, "tune", "--resume", "s", "-q")
    assert done.returncode == 0, done.stderr
    assert {trial.state for trial in SweepFolder(sweep.path).trials().values()} == {"finished"}
    assert [path.name for path in (tmp_path / "victim").rglob("*")] == ["inner"]
    shutil.rmtree(tmp_path / "victim")
