"""Folders of sweeps that somebody has damaged, or written by hand: each command ends well or in a sentence."""

import copy
import json
import random
import shutil
from pathlib import Path

import pytest
import yaml
from safety_helpers import RECIPE

import ganflow
from ganflow.cli.main import main
from ganflow.errors import GanflowError
from ganflow.runs.record import FILE
from ganflow.space.domains import is_number
from ganflow.space.reading import read_domains
from ganflow.sweeps.records import SweepFolder, TrialRecord
from ganflow.sweeps.study import Study
from ganflow.tune.plan import begin, make_plan

HOSTILE = (10**9, -1, 0, 10**30, 2**63, 10**400, 1e308, float("inf"), float("nan"), True, None, "", "x" * 3000,
           "../../../etc/passwd", "\u202e", "\x1b[31m", [], {}, [[[]]], {"a": {"b": [1]}}, "9" * 50, 3.5, ["x"])  # fmt: skip
COMMANDS = ("sweeps", "sweeps --json", "sweeps show s", "sweeps show s --json", "runs", "runs show s/1", "sample s",
            "check runs/s/best.yaml", "compare s/0 s/1", "sweeps stop s 1", "LOAD")  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A sweep of three trials, one of which is not over, as its driver left it."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "small.yaml").write_text(RECIPE)
    sweep = begin(make_plan(folder / "small.yaml"), folder / "runs", "s")
    for number in range(3):
        sweep.record(number, config={"optimizer.lr": 10.0 ** -(2 + number / 2)})
        run = sweep.trial(number)
        run.path.mkdir()
        run.update(status="finished", id=run.id, round=4, rounds=4)
        if number < 2:
            sweep.record(number, state="finished", score=float(number), round=4, place="vm", error="")
    sweep.update(status="interrupted", best={"trial": 0, "score": 0.0}, over=2)
    shutil.copy(sweep.recipe, sweep.best)
    return folder


@pytest.fixture
def sweep(source, tmp_path, monkeypatch):
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return SweepFolder(tmp_path / "runs" / "s")


@pytest.fixture
def said(capsys):
    """What a command says, which ends well or in a sentence."""

    def see(command):
        if command == "LOAD":
            try:
                loaded = ganflow.load_sweep("s")
                return f"{loaded.trials}{loaded.spread()}{loaded!r}{loaded.best}"
            except GanflowError as error:
                return str(error)
        code = main(command.split())
        out, err = capsys.readouterr()
        assert code in (0, 1, 2), err
        assert "Traceback" not in out + err
        assert "\x1b" not in out + err
        return out + err

    return see


def parts_of(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for name, inner in items:
        yield from parts_of(inner, (*path, name))


def put(value, path, new):
    if not path:
        return new
    made = inner = copy.deepcopy(value)
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return made


def spoil(sweep, draw):
    """Replace a part of one of a sweep's files; returns what was done."""
    name = draw.choice([FILE, "trials.jsonl", "trials.jsonl", "recipe.yaml", "best.yaml"])
    path, new = sweep.path / name, draw.choice(HOSTILE)
    if path.suffix == ".yaml":
        value = yaml.safe_load(path.read_text())
        where = draw.choice([*parts_of(value)])
        path.write_text(yaml.safe_dump(put(value, where, new if new != 10**400 else "x"), sort_keys=False))
    else:
        lines = path.read_text().splitlines() if name != FILE else [path.read_text()]
        row = draw.randrange(len(lines))
        value = json.loads(lines[row])
        where = draw.choice([*parts_of(value)])
        lines[row] = json.dumps(put(value, where, new))
        path.write_text("\n".join(lines) + "\n")
    return f"{name} {where}: {str(new)[:40]!r}"


@pytest.mark.parametrize("seed", range(24))
def test_no_command_ends_in_an_exception(sweep, said, seed):
    draw = random.Random(f"sweeps {seed}")
    what = spoil(sweep, draw)
    for command in draw.sample(COMMANDS, 4):
        print(what, command)
        said(command)


@pytest.mark.parametrize(
    "line",
    ['{"trial": Infinity}', '{"trial": 1e999, "state": "failed"}', '{"trial": true}', '{"trial": 0.5}',
     '{"trial": 1' + "0" * 40 + "}", "[" * 1_000_000, '{"a":' * 1_000_000, "7", ""],
)  # fmt: skip
def test_a_line_that_is_no_trials_record(sweep, said, line):
    sweep.records.write_text(sweep.records.read_text() + line + "\n")
    for command in ("sweeps", "sweeps show s", "runs", "sample s/1", "LOAD", "tune --resume s"):
        assert "is damaged: not a trial's record" in said(command) or command in ("runs", "sample s/1")


@pytest.mark.parametrize("value", [1e308, float("inf"), "x", [[]], None, 10**400, True])
def test_a_value_that_is_not_in_the_space_does_not_keep_a_sweep_from_going_on(sweep, value):
    """It was a traceback of Optuna's; the trial itself is refused by its recipe, in a sentence."""
    domains = read_domains(make_plan(Path("small.yaml")).recipe)
    study = Study(make_plan(Path("small.yaml")).space, "min", "s", sweep.study)
    study.tell(TrialRecord(0, {"optimizer.lr": value}, "finished", 1.0))
    study.tell(TrialRecord(1, {"optimizer.lr": 1e-3}, "finished", 1.0))
    assert [trial.params for trial in study.study.trials] == [{}, {"optimizer.lr": 1e-3}]
    assert set(domains) == {"optimizer.lr"}


def test_huge_numbers_are_in_no_domain(sweep):
    assert not is_number(10**400)
    text = Path("small.yaml").read_text().replace("{loguniform: [1.0e-4, 1.0e-2]}", "{quniform: [0.001, 0.009, 0.001]}")
    Path("small.yaml").write_text(text)
    (domain,) = make_plan(Path("small.yaml")).space.keys.values()
    assert not domain.contains(1e308)
    assert not domain.contains(-1e308)
    assert domain.contains(0.009)


@pytest.mark.slow
def test_pictures_of_a_sweep_with_a_value_that_is_too_large(sweep, said):
    sweep.record(1, config={"optimizer.lr": 1e308})
    assert "a finished trial has a value that is too large to be drawn" in said("sweeps show s --write")
