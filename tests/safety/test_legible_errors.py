"""Texts of a stranger's in errors, as Python prints them, and in a run's report."""

import json
import pickle

import pytest
from safety_helpers import RECIPE
from test_printing import EVIL, obeyed

import ganflow
from ganflow.cli.main import main
from ganflow.errors import GanflowError, Problem, RecipeError
from ganflow.lock import Unopened
from ganflow.runs.folders import RunFolder
from ganflow.runs.report import write_report

FORGED = "a\nganflow: all is well\r\x1b[2K\u202e\u2028.png"


def test_an_error_is_one_line_for_each_argument():
    assert str(GanflowError(f"no {FORGED}")) == "no a\\nganflow: all is well\\r\\u001b[2K\\u202e\\u2028.png"
    assert str(GanflowError("one", "two\nthree")) == "one\ntwo\\nthree"
    assert f"{GanflowError('one', '  two')}!" == "one; two!"
    problems = RecipeError([Problem(2, FORGED, "a.yaml"), Problem(1, "x", "a.yaml")])
    assert len(str(problems).splitlines()) == 2
    assert not obeyed(str(problems))


def test_in_another_process_it_is_the_same():
    for error in (GanflowError("one", "two\n\x1b"), GanflowError(FORGED)):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_lock_that_cannot_be_opened():
    error = Unopened(13, "Permission denied", f"/x/{FORGED}")
    assert str(error) == f"{error}"
    assert str(error) == "cannot write /x/a\\nganflow: all is well\\r\\u001b[2K\\u202e\\u2028.png: Permission denied"


@pytest.mark.parametrize("call", [lambda: ganflow.load(FORGED), lambda: ganflow.run(f"{FORGED}.yaml"),
                                  lambda: ganflow.load_sweep(FORGED), lambda: ganflow.compare([FORGED, EVIL])])  # fmt: skip
def test_from_python(call, tmp_path, monkeypatch):
    """Python prints an error as `str` has it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GanflowError) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert not obeyed(str(caught.value))


@pytest.mark.parametrize("command", ["run", "check", "sample", "runs show", "data", "report", "sweeps show", "export", "compare"])
def test_no_line_of_a_command_is_a_strangers(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), FORGED]) in (1, 2)
    said = "".join(capsys.readouterr())
    assert "ganflow: all is well" not in said.splitlines()
    assert not obeyed(said)


def test_a_report_shows_what_is_there(tmp_path):
    """Scripts in it are none, and what turns the direction of writing is written out; half characters, too."""
    run = RunFolder(tmp_path / "runs" / "x" / "20260101-000000-0000")
    run.path.mkdir(parents=True)
    evil = f"{EVIL}</script><script>alert(1)</script><!-- \ud800"
    alarm = {"round": 1, "sign": "collapse", "text": evil}
    run.update(id=run.id, status="finished", rounds=4, alarms=[alarm], versions={"torch": evil})
    run.recipe.write_text(RECIPE)
    run.journal.write_text(json.dumps({"round": 1, "time": 1.0, "values": {f"critic/{evil}": 1.0, evil: 2.0}}) + "\n")
    page = write_report(run).read_text(encoding="utf-8")
    assert "pwned" in page
    assert not obeyed(page)
    assert page.count("<script") == page.count("</script>") == 2
