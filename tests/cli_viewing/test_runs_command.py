"""ganflow runs, and ganflow runs show."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from ganflow.cli import listing, runs
from ganflow.runs import journal


def report(round, w):
    return {"round": round, "time": 0.0, "values": {"critic/w": -w, "generator/w": w, "w_estimate": w, "rounds_per_second": 3.0}}


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_table_with_the_newest_run_last(make_run, ganflow):
    hours_ago = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    evaluated = {"round": 200, "time": 0.0, "values": {"frechet_512": 17.25, "precision": 0.5}}
    make_run("wgan", "20260102-000000-bbbb", status="interrupted", round=200, created=hours_ago,
             entries=[report(100, 0.5), evaluated, report(250, 0.123456)], best={"score": 16.5, "round": 100})  # fmt: skip
    make_run("gan", "20260101-000000-aaaa", entries=[{"round": 5, "time": 0.0, "values": {"critic/m": 1.0, "generator/m": 2.5}}])
    code, out = ganflow("runs")
    assert code == 0
    lines = [line.split("  ") for line in out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[0] == ["name", "id", "status", "round", "age", "last", "score"]
    assert cells[1][:4] == ["gan", "20260101-000000-aaaa", "finished", "300/300"]
    assert cells[1][5] == "generator/m 2.5"
    assert cells[2][:4] == ["wgan", "20260102-000000-bbbb", "interrupted", "250/300"]
    assert cells[2][4:] == ["3 h", "w_estimate 0.1235", "best frechet_512 16.5"]


def test_no_runs_is_said(tidy, ganflow):
    assert ganflow("runs") == (0, "no runs in runs/ yet; start one with: ganflow run wgan\n")
    assert ganflow("runs", "--json") == (0, "[]\n")


def test_json_has_everything_of_the_table(make_run, ganflow):
    folder = make_run(best={"score": 3.0, "round": 100})
    (found,) = json.loads(ganflow("runs", "--json")[1])
    assert found["folder"] == str(folder.path)
    assert [found[key] for key in ("name", "id", "status", "round", "rounds")] == ["wgan", folder.id, "finished", 300, 300]
    assert found["last"]["w_estimate"] == pytest.approx(1 / 300)
    assert found["best"] == {"metric": None, "score": 3.0, "round": 100}


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"status": "running", "pid": "dead"}, "killed"),
        ({"status": "running", "pid": 1}, "killed"),  # another process's by now
        ({"status": "running", "pid": None}, "killed"),
        ({"status": "running", "pid": "dead", "host": "elsewhere"}, "running"),
        ({"status": "finished", "pid": "dead"}, "finished"),
    ],
)
def test_a_run_whose_process_is_gone_was_killed(make_run, ganflow, about, expected):
    about = {key: dead_pid() if value == "dead" else value for key, value in about.items()}
    make_run(**about)
    (found,) = json.loads(ganflow("runs", "--json")[1])
    assert found["status"] == expected


def test_a_long_journal_is_read_from_its_end(make_run, ganflow, monkeypatch):
    folder = make_run(entries=[report(i, 1.0 / i) for i in range(1, 20_000)])
    size = folder.journal.stat().st_size
    assert size > 20 * journal.TAIL
    with folder.journal.open("a") as file:
        file.write('{"round": 20000, "time": 0.0, "val')  # torn
    real, sizes = journal._parse, []
    monkeypatch.setattr(journal, "_parse", lambda line: sizes.append(len(line)) or real(line))
    (found,) = json.loads(ganflow("runs", "--json")[1])
    assert found["round"] == 19_999
    assert journal.TAIL / 2 < sum(sizes) <= journal.TAIL


def test_damage_in_one_run_does_not_hide_the_others(make_run, ganflow):
    broken, torn, make = make_run("a", "20260101-000000-aaaa"), make_run("b", "20260102-000000-bbbb"), make_run
    make("c", "20260103-000000-cccc")
    (broken.path / "run.json").write_text("{")
    torn.journal.write_text("nonsense\n")
    code, out = ganflow("runs")
    assert code == 0
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["damaged", "finished", "finished"]
    assert ganflow("runs", "show", "20260101")[0] == 2


def test_show_tells_all(make_run, ganflow):
    folder = make_run(
        status="running",
        pid=dead_pid(),
        best={"score": 16.5, "round": 100},
        git={"commit": "c0ffee", "dirty": True},
        versions={"ganflow": "0.1.0", "torch": "2.13.0"},
        compile={"mode": "never", "why": "it would save 0 s of 0 s"},
    )
    (folder.checkpoints / "round-00000300.safetensors").write_bytes(b"")
    code, out = ganflow("runs", "show", "latest")
    assert code == 0
    for text in (
        f"wgan  {folder.id}  killed",
        f"go on       ganflow run --resume {folder.id}",
        "round       300 of 300",
        "created     2026-01-01T12:00:00+00:00",
        "data        digits: 10 examples, real (1, 4, 4), fingerprint f00",
        "plugins     wgan (from ganflow 0.1.0)",
        "versions    ganflow 0.1.0, torch 2.13.0",
        "git         c0ffee with changes",
        "w_estimate 0.003333",
        "best        score 16.5 in round 100",
        f"checkpoints 1 in {os.path.join('runs', 'wgan', folder.id, 'checkpoints')}/, newest round-00000300.safetensors",
        "samples     3 in",
    ):
        assert text in out
    assert "compiled" not in out
    assert "compiled    never: it would save 0 s of 0 s" in ganflow("runs", "show", "latest", "-v")[1]
    facts = json.loads(ganflow("runs", "show", "wgan", "--json")[1])
    assert facts["about"]["git"]["commit"] == "c0ffee"
    assert facts["about"]["compile"]["mode"] == "never"
    assert len(facts["files"]["samples"]) == 3


def test_all_runs_are_listed_oldest_first(make_run, ganflow):
    made = [make_run(id=f"2026010{day}-120000-aaaa").id for day in (3, 1, 2)]
    assert [run["id"] for run in json.loads(ganflow("runs", "--all", "--json")[1])] == sorted(made)


def test_show_needs_to_know_which(make_run, ganflow):
    make_run()
    assert "show which run?" in ganflow("runs", "show")[1]
    assert "no run 'x'" in ganflow("runs", "show", "x")[1]
    assert ganflow("runs", "list")[0] == 2


def test_a_narrow_terminal_gets_fewer_columns_and_no_broken_line(make_run, monkeypatch):
    make_run(best={"score": 1.0, "round": 1})
    from ganflow.runs.finding import all_runs

    rows = [runs.run_facts(folder) for folder in all_runs(runs.Path("runs"))]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    lines = list(runs.table(rows))
    assert max(map(len, lines)) <= 60
    assert lines[0].split()[:3] == ["name", "id", "status"]
    assert lines[-1] == "no room for age, last: | cat shows all"
    monkeypatch.setenv("COLUMNS", "40")
    *_, first, second = runs.table(rows)
    assert f"{first} {second}" == "no room for age, last, name: | cat shows all"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert "age" in next(iter(runs.table(rows)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    assert "age" in next(iter(runs.table(rows)))


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_age(seconds, text):
    assert listing.age((datetime.now(UTC) - timedelta(seconds=seconds + 0.2)).isoformat()) == text


def test_age_of_what_is_no_date():
    assert listing.age(None) == listing.age("yesterday") == ""


def test_listing_runs_imports_nothing_heavy(make_run):
    make_run()
    code = (
        "import sys; from ganflow.cli.main import main; main(['runs']); main(['runs', 'show', 'latest'])\n"
        "heavy = {'torch', 'numpy', 'mlflow', 'ray', 'PIL', 'matplotlib', 'omegaconf'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_file_is_no_folder_of_runs(ganflow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wgan.yaml").write_text("name: wgan\n")
    code, err = ganflow("runs", "--runs", "wgan.yaml")
    assert (code, err) == (2, "ganflow: wgan.yaml is a file; runs are kept in a folder, which is named with --runs\n")
