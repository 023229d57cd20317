"""Folders that may not be read, for one who is not root: a sentence, and not what looks like an empty folder."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from safety_helpers import RECIPE, environment

from ganflow.runs.folders import RunFolder

MODEST = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
"""Before a command: root without its right to read everything."""
CODE = """\
import contextlib, io, json, sys, traceback
from ganflow.cli.main import main
found = []
for command in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(command.split())
        except BaseException:
            code = traceback.format_exc()
    found.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""
OF_ONE = ("runs show NAME", "sample NAME", "run -q --resume NAME", "runs rm NAME --yes", "compare NAME other", "report NAME",
          "sample runs/NAME", "sweeps show NAME", "sweeps stop NAME", "tune --resume NAME -q", "runs show NAME/1")  # fmt: skip
OF_ALL = ("runs", "runs --json", "sweeps", "sweeps --json", "sample latest", "run -q --resume latest",
          "tune --resume latest -q", "tune small.yaml -q", "run small.yaml -q", "run small.yaml --seeds 2 -q", "compare a b",
          "sync --all", "runs show x")  # fmt: skip


@pytest.fixture
def answers(tmp_path):
    """Code, stdout and stderr of several commands, in one process."""
    if MODEST and not shutil.which("setpriv"):
        pytest.skip("root reads everything")
    run = RunFolder(tmp_path / "runs" / "tiny" / "20260101-000000-0000")
    run.path.mkdir(parents=True)
    run.update(id=run.id, status="finished")
    (tmp_path / "small.yaml").write_text(RECIPE)
    closed = []

    def see(folder, commands):
        closed.append(tmp_path / folder)
        closed[-1].chmod(0)
        process = [*MODEST, sys.executable, "-P", "-c", CODE, json.dumps(commands)]
        done = subprocess.run(process, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        return zip(commands, json.loads(done.stdout), strict=True)

    yield see
    for folder in closed:
        folder.chmod(0o755)


@pytest.mark.slow
def test_the_folder_of_a_run_or_a_sweep(answers):
    for command, (code, out, err) in answers("runs/tiny", [command.replace("NAME", "tiny") for command in OF_ONE]):
        assert (code, out, err) == (2, "", "ganflow: cannot read the folder runs/tiny: Permission denied\n"), command


@pytest.mark.slow
def test_the_folder_of_all_of_them(answers):
    for command, (code, out, err) in answers("runs", OF_ALL):
        assert (code, out) == (2, ""), (command, code)
        assert "ganflow: cannot read the folder " in err, (command, err)
        assert err.endswith("runs: Permission denied\n"), (command, err)


@pytest.mark.slow
def test_the_database_of_mlflow(answers, tmp_path):
    (tmp_path / "runs" / "mlflow.db").write_bytes(b"x")
    ((_, (code, _, err)),) = answers("runs/mlflow.db", ["run small.yaml -q"])
    assert code == 2
    assert "/runs/mlflow.db: Permission denied; keep MLflow's data elsewhere, e.g. track.uri=sqlite:///mlflow-2.db" in err


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["runs/tiny", "runs/tiny/20260101-000000-0000"])
def test_the_others_are_listed_beside_it(answers, tmp_path, folder):
    """It was left out without a word."""
    other = RunFolder(tmp_path / "runs" / "other" / "20260102-000000-0000")
    other.path.mkdir(parents=True)
    other.update(id=other.id, status="finished")
    listed, as_json, every = (answer for _, answer in answers(folder, ["runs", "runs --json", "runs --all"]))
    id = folder.removeprefix("runs/tiny").lstrip("/")
    for code, out, err in (listed, every):
        assert (code, err) == (0, f"ganflow: cannot read the folder {folder}: Permission denied\n")
        assert [line.split()[:1] for line in out.splitlines()] == [["name"], ["tiny"], ["other"]]
    closed, seen = json.loads(as_json[1])
    assert (closed["name"], closed["id"], closed["status"]) == ("tiny", id, "damaged")
    assert closed["error"] == f"cannot read the folder {folder}: Permission denied"
    assert seen["id"] == other.id
