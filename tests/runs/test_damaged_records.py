"""run.json in every state of damage, under every command that reads one: a sentence, or a line of a list, never a traceback."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ganflow import files, lock
from ganflow.cli import main
from ganflow.errors import GanflowError
from ganflow.runs import folders, ids, record
from ganflow.runs.folders import RunFolder
from ganflow.tracking.outbox import State

RECIPE = """\
name: tiny
data: {use: gaussians, layout: ring}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4, depth: 1}
critic: {use: mlp, width: 4, depth: 1}
loss: non_saturating
optimizer: {use: adam, lr: 1.0e-3}
train: {rounds: 2, batch_size: 4, sample_every: 2, checkpoint_every: 1, device: cpu, compile: never, threads: 1}
track: {mlflow: false}
"""
HELP = "run.json .* (restore it from a backup|put a copy in its place|--upgrade ganflow)"
WRONG = (7, "x", ["x"], {"x": "x"})
WHOLE = {
    "nothing": lambda path, raw: path.write_bytes(b""),
    "half": lambda path, raw: path.write_bytes(raw[: len(raw) // 2]),
    "a byte short": lambda path, raw: path.write_bytes(raw.rstrip()[:-1]),
    "twice": lambda path, raw: path.write_bytes(raw + raw),
    "no JSON": lambda path, raw: path.write_bytes(b"status: finished\n"),
    "a list": lambda path, raw: path.write_bytes(b"[" + raw + b"]"),
    "a number": lambda path, raw: path.write_bytes(b"7"),
    "null": lambda path, raw: path.write_bytes(b"null"),
    "zeros": lambda path, raw: path.write_bytes(bytes(len(raw))),
    "not UTF-8": lambda path, raw: path.write_bytes(raw.replace(b"tiny", b"t\xffny")),
    "very deep": lambda path, raw: path.write_bytes(b"[" * 100_000),
    "a newer schema": lambda path, raw: path.write_bytes(raw.replace(b'"schema": "1.', b'"schema": "2.')),
    "a folder": lambda path, raw: (path.unlink(), path.mkdir()),
    "a pipe": lambda path, raw: (path.unlink(), os.mkfifo(path)),
    "a link": lambda path, raw: (path.rename(path.with_name("other")), path.symlink_to("other")),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """runs/ with two runs and a sweep, which each test copies."""
    place = tmp_path_factory.mktemp("made")
    (place / "tiny.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["run", "tiny.yaml", "-q"]) == 0
        assert main(["run", "tiny.yaml", "-q", "name=other"]) == 0
    sweep = RunFolder(place / "runs" / "search")
    sweep.path.mkdir()
    shutil.copy(place / "tiny.yaml", sweep.recipe)
    (sweep.path / "trials.jsonl").write_text('{"trial": 0, "config": {"optimizer.lr": 0.1}, "state": "finished", "score": 1.0}\n')
    sweep.update(kind="sweep", id="20260101-000000-0000", name="search", recipe="tiny", status="finished", metric="m", mode="min",
                 trials=1, over=1, rounds=2, created="2026-01-01T00:00:00+00:00", pid=1, host="elsewhere", seed=0,
                 tracking={"mlflow": False, "files": []}, best={"trial": 0, "score": 1.0, "config": {}})  # fmt: skip
    shutil.copytree(only(place).path, folders.trial(sweep, 0).path)
    return place


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def only(place):
    (path,) = (place / "runs" / "tiny").iterdir()
    return RunFolder(path)


def see(capsys, *arguments, codes=(0, 2)):
    """Both streams of a command that ends well, or with one sentence."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert code in codes, err
    assert "Traceback" not in out + err
    if code == 2:
        assert err.startswith(("ganflow: ", "the recipe that was kept:1: "))
    return code, out, err


def see_all(capsys, folder, damaged):
    """Every command that reads a run. The lists have the other run, and the damaged one with what helps."""
    for command in (("runs", "show"), ("sample", "-o", "x.npz"), ("run", "-q", "--resume"), ("animate", "-o", "x.gif")):
        code, _, err = see(capsys, *command, folder.path)
        assert not damaged or code == 2 or command[0] == "animate"
        assert code == 0 or not damaged or "run.json " in err
    code, _, err = see(capsys, "sync", folder.path, codes=(0, 1, 2))
    assert (code > 0) >= damaged
    see(capsys, "run", "-q", "--resume", "tiny")
    for command in (("runs",), ("runs", "--all"), ("runs", "--json"), ("sweeps",), ("sweeps", "--json")):
        code, out, err = see(capsys, *command)
        assert code == 0
        if command == ("runs",):
            assert "other" in out
            assert (" damaged " in out) == damaged
            assert not damaged or re.search(HELP, err)


@pytest.mark.parametrize("how", WHOLE)
def test_a_damaged_file(how, place, capsys):
    folder = only(place)
    path = folder.path / "run.json"
    WHOLE[how](path, path.read_bytes())
    see_all(capsys, folder, damaged=True)


@pytest.mark.parametrize("how", WHOLE)
def test_a_damaged_sweep(how, place, capsys):
    path = place / "runs" / "search" / "run.json"
    WHOLE[how](path, path.read_bytes())
    for command in (("sweeps", "show", "search"), ("tune", "--resume", "search")):
        code, _, err = see(capsys, *command)
        assert code == 2
        assert "run.json" in err
    see(capsys, "sync", "search", codes=(1, 2))
    for command in (("sweeps",), ("runs",), ("runs", "--all"), ("sweeps", "--json"), ("sample", "search", "-o", "x.npz")):
        code, out, err = see(capsys, *command)
        assert code == (2 if command[0] == "sample" else 0)
        if command[0] in ("sweeps", "runs") and len(command) == 1:
            assert "search" in out
            assert "damaged" in out
            assert re.search(HELP, err)


@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_a_key_that_is_missing_null_or_mistyped(kind, place, capsys):
    """Either it is read all the same, or refused in a sentence that names the key."""
    folder = only(place) if kind == "run" else RunFolder(place / "runs" / "search")
    raw = json.loads((folder.path / "run.json").read_text())
    nested = [(key, inner) for key, value in raw.items() if isinstance(value, dict) for inner in value]
    variants = [({k: v for k, v in raw.items() if k != key}, key) for key in raw]
    variants += [({**raw, key: value}, key) for key in raw for value in (None, *WRONG)]
    variants += [({**raw, key: {k: v for k, v in raw[key].items() if k != inner}}, key) for key, inner in nested]
    variants += [({**raw, key: {**raw[key], inner: value}}, key) for key, inner in nested for value in (7, "x")]
    assert len(variants) >= 100
    refused = 0
    for i, (changed, key) in enumerate(variants):
        (folder.path / "run.json").write_text(json.dumps(changed))
        code, _, err = see(capsys, f"{kind}s", "show", folder.path)
        assert code == 0 or key in err or "no sweep" in err
        refused += code == 2
        for command in (("runs",), ("sweeps",)) if i % 7 == 0 else ():
            assert see(capsys, *command)[0] == 0
    assert refused > len(variants) / 3


@pytest.mark.parametrize("values", [{"score": "x"}, {"round": None}, {"config": []}, {"state": 7}, {"copied": [["x"]]}])
def test_a_mistyped_trial(values, place, capsys):
    with (place / "runs" / "search" / "trials.jsonl").open("a") as file:
        file.write(json.dumps({"trial": 0, **values}) + "\n")
    assert see(capsys, "sweeps")[0] == 0
    code, _, err = see(capsys, "sweeps", "show", "search")
    assert code == 2
    assert "trials.jsonl:2 is damaged" in err


@pytest.mark.parametrize("values", [{"steps": "x"}, {"images": ["x"]}, {"files": []}, {"status": 7}, {"seen": {}}])
def test_what_is_known_of_mlflow_is_asked_again_where_it_is_mistyped(values, place):
    folder = only(place)
    folder.tracking.write_text(json.dumps({"uri": "http://host", **values}))
    assert State.read(folder) == State()


@pytest.mark.parametrize(("key", "value"), [
    ("data", None), ("data.ranges", {}), ("data.ranges", {"real": []}), ("data.fields", {}), ("data.fields", {"real": [-1]}),
    ("plugins", {"x": {"distribution": "x", "version": "1"}}), ("versions", {"x": "x"}), ("versions", None), ("workers", None),
    ("workers", 0), ("threads", -1), ("precision", "fp7"), ("compile", None), ("start_from", {"run": "x", "checkpoint": "y"}),
    ("then", [{}]), ("then", [7]), ("best", {"score": "x"}), ("damaged", [{}]),
])  # fmt: skip
def test_a_run_goes_on_and_is_sampled_or_says_why_not(key, value, place, capsys):
    folder = only(place)
    raw = json.loads((folder.path / "run.json").read_text())
    outer, _, inner = key.partition(".")
    raw[outer] = {**raw[outer], inner: value} if inner else value
    (folder.path / "run.json").write_text(json.dumps(raw))
    for command in (("sample", "-o", "x.npz"), ("run", "-q", "train.rounds=3", "--resume")):
        see(capsys, *command, folder.path)


def test_keys_of_a_newer_minor_version_are_kept(tmp_path):
    (tmp_path / "run.json").write_text('{"schema": "1.9", "status": "running", "hue": [1, {"a": null}]}')
    record.update(tmp_path, {"status": "finished"})
    assert json.loads((tmp_path / "run.json").read_text()) == {"schema": "1.9", "status": "finished", "hue": [1, {"a": None}]}


def test_a_value_of_another_type_is_not_written(tmp_path):
    record.update(tmp_path, {"round": 1})
    with pytest.raises(GanflowError, match='round is "2", not a whole number'):
        record.update(tmp_path, {"round": "2"})
    assert record.read(tmp_path).round == 1


def test_nobodys_values_are_lost(tmp_path):
    """Two processes change one record many times each."""
    code = ("import sys, pathlib; from ganflow.runs import record; f = pathlib.Path(sys.argv[1])\n"
            "for i in range(25): record.update(f, {'round' if sys.argv[2] == 'a' else 'copies': i + 1}) ;"
            " r = record.read(f); assert (r.round if sys.argv[2] == 'a' else r.copies) == i + 1")  # fmt: skip
    both = [subprocess.Popen([sys.executable, "-c", code, tmp_path, name]) for name in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    assert (record.read(tmp_path).round, record.read(tmp_path).copies) == (25, 25)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".run.json.lock", "run.json"]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append(os.readlink(f"/proc/self/fd/{file}")), sync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b)))
    files.write_text(tmp_path / "a", "text")
    assert done == [str(tmp_path / f".a.{os.getpid()}"), "replace", str(tmp_path)]


HOLDER = """
import sys, pathlib
from ganflow.lock import Held, locked
path, refused = pathlib.Path(sys.argv[1]), 0
for _ in range(3000):
    try:
        with locked(path):
            pass
    except Held:
        refused += 1
print(refused)
"""


def test_asking_refuses_nobody(tmp_path):
    path = tmp_path / ".lock"
    path.touch()
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True) as process:
        answers = set()
        while process.poll() is None:
            answers.add(lock.is_locked(path))
        assert process.stdout.read() == "0\n"
    assert False in answers


def test_a_lock_ends_with_its_process(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "a" / "b")
    folder.path.mkdir(parents=True)
    folder.update(status="running", pid=os.getpid())  # of a process that is there: the pid tells nothing
    code = ("import sys, pathlib, time; from ganflow.runs.folders import *\n"
            "with locked(RunFolder(pathlib.Path(sys.argv[1]))): print(flush=True); time.sleep(60)")  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", code, folder.path], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert (folders.is_running(folder), folders.status(folder, folder.read())) == (True, "running")
        with pytest.raises(GanflowError, match=f"is being trained by another process .pid {os.getpid()}"), folders.locked(folder):
            pass
        process.kill()
    assert (folders.is_running(folder), folders.status(folder, folder.read())) == (False, "killed")
    with folders.locked(folder), ThreadPoolExecutor() as pool:
        assert pool.submit(folders.is_running, folder).result()


def test_several_share_a_lock_and_one_has_it_alone(tmp_path):
    path = tmp_path / ".lock"
    with lock.locked(path, shared=True), lock.locked(path, shared=True):
        assert lock.is_locked(path)
        with pytest.raises(lock.Held), lock.locked(path, timeout=0.05):
            pass
    with lock.locked(path), pytest.raises(lock.Held), lock.locked(path, shared=True):
        pass


def test_ids_do_not_go_back_with_the_clocks(monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # 14 hours ahead
    time.tzset()
    try:
        assert ids.stamp()[:13] == time.strftime("%Y%m%d-%H%M", time.gmtime())
    finally:
        monkeypatch.undo()
        time.tzset()
