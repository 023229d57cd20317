"""Run folders that somebody has written by hand: records, recipes, checkpoints with a right digest, journals. Every command that
reads one ends well, or with a sentence."""

import copy
import json
import random
import shutil

import pytest
import torch
import yaml
from safetensors.torch import save_file

from ganflow.cli import main
from ganflow.runs import checkpoints
from ganflow.runs.folders import RunFolder

RECIPE = """\
name: tiny
data: {use: gaussians, layout: ring}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4, depth: 1}
critic: {use: mlp, width: 4, depth: 1}
loss: non_saturating
optimizer: {use: adam, lr: 1.0e-3}
modifiers: [{use: ema}]
metrics: [{use: modes, samples: 64}]
train: {rounds: 2, batch_size: 4, report_every: 1, sample_every: 100, checkpoint_every: 1, device: cpu, compile: never,
        threads: 1}
track: {mlflow: false}
"""
RESUME = ("run", "-q", "--resume", "tiny", "train.rounds=3")
SAMPLE, INTERPOLATE = ("sample", "tiny", "-o", "x.npz"), ("interpolate", "tiny", "-o", "x.png")
EVERY = (("runs",), ("runs", "show", "tiny"), SAMPLE, ("evaluate", "tiny"), RESUME)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("made")
    (place / "tiny.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["run", "tiny.yaml", "-q"]) == 0
    return place


@pytest.fixture
def run(made, tmp_path, monkeypatch, undrawn):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    (path,) = (tmp_path / "runs" / "tiny").iterdir()
    return RunFolder(path)


@pytest.fixture
def said(capsys, caplog):
    """The errors and warnings of a command, which ends well or in one sentence."""

    def see(*arguments, codes=(0, 2)):
        caplog.clear()
        code = main([str(argument) for argument in arguments])
        warnings = [f"{record.getMessage()}\n" for record in caplog.records if record.name == "ganflow"]
        err = capsys.readouterr().err + "".join(warnings)
        assert code in codes, err
        assert "Traceback" not in err
        return err

    return see


def put(value, path, new):
    """A nested value with one part replaced."""
    if not path:
        return new
    made = copy.deepcopy(value)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return made


def forge(run, change=lambda plain, tensors: None, text=None):
    """Another last checkpoint, with a digest that is right, and no other."""
    found = checkpoints.read(run.checkpoints / "round-00000002.safetensors")
    tensors = {name: t.clone() for name, t in found.tensors.items()}
    change(found.plain, tensors)
    plain = json.dumps(found.plain) if text is None else text
    for path in run.checkpoints.iterdir():
        path.unlink()
    save_file(tensors, found.path, {"plain": plain, "digest": checkpoints._digest(tensors, plain)})


@pytest.mark.parametrize(
    ("key", "value"),
    [("threads", 10**9), ("threads_to_build", 10**9), ("workers", 10**9), ("round", 2**63), ("seconds", 1e300), ("threads", -1),
     ("amended", [{"time": "", "changed": ["x"], "round": 10**30}])],
)  # fmt: skip
def test_numbers_of_a_record_have_a_range(run, said, key, value):
    """So many threads would end the process."""
    path = run.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    for command in (SAMPLE, RESUME):
        err = said(*command, codes=(2,))
        assert f"run.json is damaged ({key}" in err
        assert "too large" in err or "too small" in err


@pytest.mark.parametrize("change", ["generator.width: 8", "prior.dim: 5", "critic.depth: 2", "generator.batch_norm: true"])
def test_a_recipe_whose_networks_are_others(run, said, change):
    """One loader: the same sentence everywhere."""
    key, _, value = change.partition(": ")
    recipe = yaml.safe_load(run.recipe.read_text())
    run.recipe.write_text(yaml.safe_dump(put(recipe, key.split("."), yaml.safe_load(value)), sort_keys=False))
    commands = (RESUME,) if key.startswith("critic") else (SAMPLE, INTERPOLATE, ("evaluate", "tiny"), RESUME)
    for command in commands:
        err = said(*command, codes=(2,))
        assert "round-00000002.safetensors does not fit the run's recipe, which was changed afterwards: " in err, command
        assert err.count("\n") == 1


def test_a_recipe_that_was_emptied(run, said):
    run.recipe.write_text("")
    for command in (SAMPLE, RESUME):
        assert "the recipe is empty; put it back as it was, or take it from a backup" in said(*command, codes=(2,))


FORGED = {
    "no JSON": {"text": "{"},
    "a list": {"text": "[]"},
    "brackets": {"text": "[" * 100_000},
    "nothing": {"text": ""},
    "no round": {"change": lambda plain, tensors: plain.pop("round")},
    "a round of text": {"change": lambda plain, tensors: plain.update(round="2")},
    "a round before the first": {"change": lambda plain, tensors: plain.update(round=-1)},
    "a round beyond all": {"change": lambda plain, tensors: plain.update(round=10**30)},
    "a format of text": {"change": lambda plain, tensors: plain.update(format="1")},
    "a best that is none": {"change": lambda plain, tensors: plain.update(best={"score": "x"})},
    "no optimizers": {"change": lambda plain, tensors: plain.pop("optimizers")},
    "optimizers of text": {"change": lambda plain, tensors: plain.update(optimizers="x")},
    "a part of nothing": {"change": lambda plain, tensors: plain["optimizers"].update(critic=None)},
    "random numbers of text": {"change": lambda plain, tensors: plain["random"].update(python="x")},
    "a short random state": {"change": lambda plain, tensors: tensors.update({"random.torch": torch.zeros(3).byte()})},
    "a random state of floats": {"change": lambda plain, tensors: tensors.update({"random.prior": torch.zeros(3)})},
    "a feed that is a number": {"change": lambda plain, tensors: plain.update(feed=7)},
    "a seed of text": {"change": lambda plain, tensors: plain.update(seed="x")},
    "reports of text": {"change": lambda plain, tensors: plain.update(unreported={"x": "y"})},
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_checkpoint_is_refused_in_a_sentence(run, said, kind):
    forge(run, **FORGED[kind])
    said(*SAMPLE)
    err = said(*RESUME, codes=(2,))
    assert "round-00000002.safetensors" in err or "data order" in err
    assert err.count("\n") == 1


def test_health_that_is_forged_begins_anew(run, said):
    forge(run, lambda plain, tensors: plain.update(health={"courses": [[]], "most": 3}))
    said(*RESUME, codes=(0,))


@pytest.mark.parametrize(
    "line",
    ['{"round": 1e999, "time": 1, "values": {}}', '{"round": 1, "time": 1e999, "values": {}}',
     '{"round": -1, "time": 1, "values": {}}', '{"round": 1, "time": 1, "values": {"a": [1]}}', "[" * 100_000, "7",
     '{"round": 1, "time": 1, "values": {"a": 1' + "0" * 400 + "}}"],
)  # fmt: skip
def test_a_line_of_a_journal_that_is_none(run, said, line, capsys):
    run.journal.write_text(f"{line}\n{run.journal.read_text()}")
    before = run.read()
    err = said(*RESUME, codes=(2,))
    assert f"{run.journal}:1 is damaged: no report" in err
    assert run.read() == before  # it stays what it was
    for command in (("runs",), ("runs", "show", "tiny"), SAMPLE):
        said(*command, codes=(0,))
    run.journal.write_text(f"{run.journal.read_text()}{line}\n")
    other = RunFolder(shutil.copytree(run.path, run.path.with_name("20260101-000000-1")))
    err = said("compare", run.id, other.id, codes=(0,))
    assert all(f"{each.journal}:{run.journal.read_text().count(chr(10))} is damaged: no report" in err for each in (run, other))
    assert main(["runs", "show", run.id]) == 0
    assert "is damaged: no report" in capsys.readouterr().out


JUNK = '{"round": 1, "time": 1, "values": {"critic/loss": oops}}'


NEEDED = (("report", "tiny"), ("compare", "tiny", "OTHER"))


@pytest.mark.parametrize("command", [INTERPOLATE, ("export", "tiny", "--to", "pt2"), *NEEDED])
def test_who_can_do_without_a_damaged_line_says_so_once_and_goes_on(run, said, command):
    other = shutil.copytree(run.path, run.path.with_name("20260101-000000-1"))
    run.journal.write_text(f"{run.journal.read_text()}{JUNK}\n7\n")
    err = said(*[other.name if word == "OTHER" else word for word in command], codes=(0,))
    if command != INTERPOLATE:  # which reads none
        first = run.journal.read_text().count("\n") - 1
        assert err.count("is damaged") == 1
        assert f"{run.journal}:{first} is damaged: no report, from column 51 on ('oops}}}}'), " in err
        assert "and 1 line more; left out here, and in the way of training on: delete them\n" in err
        assert '"round"' not in err  # the sound beginning of a line


@pytest.mark.parametrize("command", NEEDED)
def test_a_journal_without_a_sound_line_is_refused_where_it_is_needed(run, said, command):
    other = shutil.copytree(run.path, run.path.with_name("20260101-000000-1"))
    run.journal.write_text(f"{JUNK}\n{JUNK}\n")
    err = said(*[other.name if word == "OTHER" else word for word in command], codes=(2,))
    assert f"{run.journal}:" in err
    assert "is damaged: no report, from column 51 on ('oops}}'); delete that line and try again\n" in err
    said("export", "tiny", "--to", "safetensors", codes=(0,))


@pytest.mark.parametrize("damage", [None, b"", b"\xff\xfe\xfa", b"data: {use: [\n", b"[1, 2]\n"])
def test_a_runs_recipe_that_is_gone_or_damaged(run, said, damage):
    run.recipe.unlink()
    if damage is not None:
        run.recipe.write_bytes(damage)
    for command in (SAMPLE, RESUME, ("export", "tiny", "--to", "pt2")):
        err = said(*command, codes=(2,))
        assert "recipe.yaml" in err
        assert err.endswith("; put it back as it was, or take it from a backup\n")
    for command in (("runs", "show", "tiny"), ("report", "tiny")):
        said(*command, codes=(0,))


@pytest.mark.parametrize("name", ["recipe.yaml", "metrics.jsonl", "tracking.json", "tracking.log", "evaluations.json"])
def test_a_folder_in_a_files_place(run, said, name):
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).mkdir()
    for command in (SAMPLE, RESUME, ("sync", "tiny"), ("runs", "show", "tiny")):
        assert f"{run.path / name} is a folder, not a file; remove it\n" in said(*command, codes=(2,))
    assert said("runs", codes=(0,)).count("is a folder") <= 1


HOSTILE = (10**9, -1, 0, 10**30, 2**63, 1e308, float("inf"), float("nan"), True, None, "", "x" * 3000, "../../../etc/passwd",
           "\u202e", [], {}, [[[]]], {"a": {"b": [1]}}, "9" * 50, 3.5, ["x"])  # fmt: skip


def parts_of(value, path=()):
    """Paths of a nested value's parts; of a list those of its first items."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for name, inner in items:
        yield from parts_of(inner, (*path, name))


def spoil(run, what, draw):
    """Replace a part of one of the folder's files by something that nobody expects."""
    if what == "checkpoint":
        def change(plain, tensors):
            path = draw.choice([path for path in parts_of(plain) if path])
            plain.update(put(plain, path, draw.choice(HOSTILE)))

        forge(run, change)
        return
    path = {"record": run.path / "run.json", "recipe": run.recipe, "journal": run.journal}[what]
    if what == "recipe":
        value = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump(put(value, draw.choice([*parts_of(value)]), draw.choice(HOSTILE)), sort_keys=False))
        return
    lines = path.read_text().splitlines() if what == "journal" else [path.read_text()]
    value = json.loads(lines[-1])
    lines[-1] = json.dumps(put(value, draw.choice([*parts_of(value)]), draw.choice(HOSTILE)))
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["record", "recipe", "checkpoint", "journal"])
def test_nothing_ends_in_a_traceback(run, said, what, tmp_path):
    """Seeded: 25 folders of each kind, which are others for another seed."""
    draw = random.Random(f"{what} 18")
    kept = tmp_path / "kept"
    shutil.copytree(run.path, kept)
    for _ in range(25):
        spoil(run, what, draw)
        for command in EVERY:
            said(*command)
        shutil.rmtree(run.path)
        shutil.copytree(kept, run.path)
