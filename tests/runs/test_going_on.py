"""Runs that go on otherwise: another rate, schedule or number of rounds, data that lie elsewhere; and the commands for what a run
cannot change."""

import json
import shlex
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from runner_helpers import assert_same_state, files, last, numbers, only_run

from ganflow.recipe import kept_recipe
from ganflow.runs.amend import by_command
from ganflow.runs.finding import all_runs
from ganflow.runs.folders import RunFolder

PLAIN = ("~metrics", "~schedule", "-q")  # a rate that nothing changes


@pytest.fixture(autouse=True)
def _undrawn(undrawn):
    pass


def rates(run, part="generator"):
    return {round: values[f"lr/{part}"] for round, values in numbers(run)}


def trained(work, ganflow, *changes):
    code, _, err = ganflow("run", "tiny.yaml", "-q", *changes)
    assert code == 0, err
    return only_run(work / "runs")


def resumed(ganflow, *changes):
    code, _, err = ganflow("run", "--resume", "latest", *changes)
    assert code == 0, err
    return err


def typed(ganflow, text):
    """Type a command that was advised."""
    program, *words = shlex.split(text)
    assert program == "ganflow"
    return ganflow(*words)


def decay(round, rounds, start=0.5):
    """`linear_decay` in the round with this number, of which the first is 1."""
    first = start * rounds
    return 1 - max(0.0, (round - 1 - first) / (rounds - first))


def test_a_rate_changes_from_a_round_on(work, ganflow):
    run = trained(work, ganflow, *PLAIN)
    said = resumed(ganflow, "optimizer.critic.lr=0.0005", "train.rounds=8").splitlines()
    assert said[1:4] == ["going on from round 6", "changed after round 6: optimizer.critic.lr: 0.001 → 0.0005",
                         "changed after round 6: train.rounds: 6 → 8"]  # fmt: skip
    assert rates(run) == pytest.approx(dict.fromkeys(range(1, 9), 1e-3))
    assert rates(run, "critic") == pytest.approx({**dict.fromkeys(range(1, 7), 1e-3), 7: 5e-4, 8: 5e-4})
    (change,) = run.read().amended
    assert (change["round"], change["changed"]) == (6, [line.partition(": ")[2] for line in said[2:4]])
    shown = ganflow("runs", "show", "latest")[1]
    assert "changed     after round 6: optimizer.critic.lr: 0.001 → 0.0005\n" in shown
    resumed(ganflow, "train.rounds=9")
    assert [(each["round"], len(each["changed"])) for each in run.read().amended] == [(6, 2), (8, 1)]
    assert rates(run, "critic")[9] == pytest.approx(5e-4)


def test_a_changed_rate_is_kept_where_its_rounds_are_lost(work, ganflow):
    """Killed before the next checkpoint: the last one has the former rate."""
    run = trained(work, ganflow, *PLAIN, "train.keep=9")
    resumed(ganflow, "optimizer.lr=0.0005", "train.rounds=8", "-q")
    for round in (6, 7, 8):  # nor the one at which it was changed
        (run.checkpoints / f"round-{round:08d}.safetensors").unlink()
    run.update(status="running")
    assert "changed" not in resumed(ganflow)
    assert rates(run) == pytest.approx({**dict.fromkeys(range(1, 6), 1e-3), **dict.fromkeys((6, 7, 8), 5e-4)})
    assert [each["round"] for each in run.read().amended] == [5]


def test_schedules_may_come_and_go(work, ganflow):
    run = trained(work, ganflow, "~metrics")
    resumed(ganflow, "~schedule", "train.rounds=8")
    assert rates(run)[8] == pytest.approx(1e-3)
    resumed(ganflow, "schedule.critic={use: step, every: 10, factor: 0.5}", "train.rounds=12")
    assert rates(run)[12] == pytest.approx(1e-3)
    assert rates(run, "critic") == pytest.approx({**rates(run, "critic"), 10: 1e-3, 11: 5e-4, 12: 5e-4})


def test_more_rounds_raise_a_rate_that_has_decayed(work, ganflow):
    run = trained(work, ganflow, "~metrics")
    hint = ganflow("run", "--resume", "latest")[2]
    why = "for its schedule is over 12 rounds instead of 6"
    rise = f"the learning rate of generator and critic goes up again, from 0.000333 to 0.001, {why}"
    assert hint.endswith(f"--resume {run.id} train.rounds=12 ({rise}; with train.schedule_rounds=6 it stays)\n")
    assert f"--resume {run.id} optimizer.lr=0.1 train.rounds=12 (" in ganflow("run", "--resume", "latest", "optimizer.lr=0.1")[2]
    said = resumed(ganflow, "train.rounds=12").splitlines()
    keep = f"{rise}; to keep it, stop and go on with: ganflow run --resume {run.id} train.schedule_rounds=6"
    assert said[2:4] == ["changed after round 6: train.rounds: 6 → 12", keep]
    wanted = {round: decay(round, 6 if round <= 6 else 12) * 1e-3 for round in range(1, 13)}
    assert rates(run) == pytest.approx(wanted)
    assert wanted[6] < wanted[7]


def test_a_rate_that_was_changed_and_goes_up_is_named_too(work, ganflow):
    run = trained(work, ganflow, "~metrics")
    both = "the learning rate of generator goes up again, from 0.000333 to 0.001, that of critic from 0.000333 to 0.0005, for"
    assert both in resumed(ganflow, "train.rounds=12", "optimizer.critic.lr=5e-4")
    assert rates(run, "critic")[7] == pytest.approx(5e-4)


def test_a_rate_that_was_lowered_more_than_it_rises_does_not_go_up(work, ganflow):
    trained(work, ganflow, "~metrics")
    said = resumed(ganflow, "train.rounds=12", "optimizer.critic.lr=1e-4")
    assert "the learning rate of generator goes up again, from 0.000333 to 0.001, for its schedule" in said


def test_more_rounds_at_the_rate_of_the_last(work, ganflow):
    """As asked: and as a recipe plays that says so from the beginning, bit for bit."""
    run = trained(work, ganflow, "~metrics", "train.on_alarm=never")  # the last round's check is none of the longer run's
    said = resumed(ganflow, "train.rounds=9", "train.schedule_rounds=6")
    assert "goes up" not in said
    assert rates(run) == pytest.approx({round: decay(min(round, 6), 6) * 1e-3 for round in range(1, 10)})
    assert ganflow("run", str(run.recipe), "--runs", "alone", "-q")[0] == 0
    alone = only_run(work / "alone")
    assert_same_state(run, alone)
    assert numbers(run) == numbers(alone)


@pytest.mark.parametrize(("change", "fits"), [("loss=hinge", True), ("train.n_critic=1", True), ("generator.width=8", False)])
def test_what_cannot_change_names_a_command_that_works(work, ganflow, change, fits):
    run = trained(work, ganflow, "~metrics")
    before = files(work)
    code, _, err = ganflow("run", "--resume", "latest", change, "train.rounds=1")
    assert (code, files(work)) == (2, before)
    first, line, advice = err.rstrip().split("\n")
    assert first == f"run {run.id} cannot go on with these changes:"
    assert change.partition("=")[0] in line
    what, _, command = advice.partition(": ")
    assert what == "undo them, or " + ("start a new run from its weights" if fits else
                                       "begin a new run, whose networks its weights do not fit")  # fmt: skip
    assert command == f"ganflow run runs/tiny/{run.id}/recipe.yaml {change} train.rounds=1" + f" train.start_from={run.id}" * fits
    code, _, err = typed(ganflow, command)
    assert code == 0, err
    (new,) = [each for each in all_runs(work / "runs") if each.id != run.id]
    started = new.read().start_from
    assert (started and started["round"]) == (6 if fits else None)


def test_a_recipe_that_was_typed_is_in_the_command(work, ganflow):
    trained(work, ganflow, "~metrics")
    command = ganflow("run", "tiny.yaml", "~metrics", "train.seed=1", "--resume", "latest")[2].rstrip().rpartition(": ")[2]
    assert command.startswith("ganflow run tiny.yaml '~metrics' train.seed=1 train.start_from=")
    assert typed(ganflow, f"{command} train.rounds=1")[0] == 0


PHOTOS = """\
name: photos
data: {use: image_folder, path: photos, size: 16}
prior: {use: uniform, dim: 8}
generator: {use: dcgan, width: 4}
critic: {use: dcgan, width: 4, norm: none}
loss: {use: hinge}
optimizer: {use: adam}
train: {rounds: 2, batch_size: 4, threads: 1, compile: never}
track: {mlflow: false}
"""


def test_data_may_lie_elsewhere_if_they_are_the_same(work, ganflow):
    (work / "photos").mkdir()
    draw = np.random.default_rng(0)
    for i in range(14):
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(work / "photos" / f"{i}.png")
    (work / "tiny.yaml").write_text(PHOTOS)
    run = trained(work, ganflow)
    shutil.move(work / "photos", work / "moved")
    said = resumed(ganflow, "data.path=moved", "train.rounds=3")
    assert "changed after round 2: data.path: photos → moved\n" in said
    assert kept_recipe(run.recipe).data.settings.path == "moved"
    assert run.read().data["source"].endswith("moved")

    shutil.copytree(work / "moved", work / "others")
    (work / "others" / "0.png").write_bytes((work / "others" / "1.png").read_bytes())
    before = files(work)
    code, _, err = ganflow("run", "--resume", "latest", "data.path=others", "train.rounds=4")
    assert (code, files(work)) == (2, before)
    first, line, advice = err.rstrip().split("\n")
    assert first.endswith("cannot go on with these changes, for there are other data (of another fingerprint):")
    assert line == "  data.path: moved → others"
    assert typed(ganflow, advice.partition(": ")[2])[0] == 0


def test_a_run_that_diverged_goes_on_as_advised(work, ganflow):
    run = trained(work, ganflow, *PLAIN, "train.checkpoint_every=6")
    code, _, err = ganflow("run", "--resume", "latest", "optimizer.lr=1e25", "train.rounds=12", "-q")
    assert code == 2
    advice, _, command = err.rstrip().rpartition(": ")
    assert advice.startswith("ganflow: ")
    assert "; the last good checkpoint is " in advice
    assert command == f"ganflow run --resume {run.id} optimizer.lr=0.001"
    code, _, err = ganflow("run", "--resume", "latest")  # as it is it does so again, and says so at once
    assert code == 2
    assert f"and does so again as it is; better: {command}\n" in err
    code, _, err = typed(ganflow, command)
    assert code == 0, err
    assert "does so again" not in err
    assert (last(run).round, run.read().alarms) == (12, [])
    assert all(np.isfinite(value) for _, values in numbers(run) for value in values.values())


def test_advice_that_no_run_can_take_up_starts_another(work, ganflow):
    run = trained(work, ganflow, *PLAIN)
    command = by_command(run, "train.clip_grad=1", kept=True).in_shell
    assert command == f"ganflow run runs/tiny/{run.id}/recipe.yaml train.clip_grad=1 train.start_from={run.id}"
    assert typed(ganflow, f"{command} train.rounds=1")[0] == 0


REPORTS = ("train.rounds=12", "train.sample_every=4", "train.checkpoint_every=3", "train.evaluate_every=6")


def test_reports_come_when_asked_for(work, ganflow):
    """And not at pictures, checkpoints and evaluations; each is the mean of all rounds since the one before."""
    run = trained(work, ganflow, *REPORTS, "train.report_every=5")
    assert ganflow("run", "tiny.yaml", "-q", "--runs", "every", *REPORTS)[0] == 0
    each = [values for _, values in numbers(only_run(work / "every")) if "generator_loss" in values]
    lines = numbers(run)
    assert [round for round, _ in lines] == [5, 6, 10, 12, 12]
    assert [set(values) & {"generator_loss"} != set() for _, values in lines] == [True, False, True, True, False]
    for (begin, end), (_, values) in zip(((0, 5), (5, 10), (10, 12)), [lines[0], lines[2], lines[3]], strict=True):
        for name in ("generator_loss", "critic/gradient_penalty", "w_estimate"):
            assert values[name] == pytest.approx(np.mean([found[name] for found in each[begin:end]]))
    assert sorted(int(path.stem[-8:]) for path in run.checkpoints.glob("round-*")) == [6, 9, 12]


def test_a_run_goes_on_between_two_reports(work, ganflow):
    run = trained(work, ganflow, *REPORTS, "train.report_every=5")
    alone = numbers(run)
    (run.checkpoints / "round-00000012.safetensors").unlink()
    assert json.loads(json.dumps(last(run).plain["unreported"])).keys() >= {"generator_loss", "critic/wasserstein"}
    run.update(status="running")
    resumed(ganflow)
    assert numbers(run) == alone


def test_a_new_run_takes_the_average_along(work, ganflow):
    """At a rate of zero it is what the average of the earlier run would be after another round."""
    ema = "modifiers[1].decay=0.99"
    old = trained(work, ganflow, "optimizer.lr=0.01", "~schedule", ema)
    new = ("name=new", "train.start_from=tiny", "optimizer.lr=0", "train.rounds=1", "~schedule", ema)
    assert ganflow("run", "tiny.yaml", "-q", *new)[0] == 0
    (run,) = [each for each in all_runs(work / "runs") if each.name == "new"]
    before, after = last(old).tensors, last(run).tensors
    share = max(1 - 0.99, 9 / (10 + 6))  # the seventh round of the average
    names = [name for name in before if name.startswith("game.generator.") and not name.endswith(("_mean", "_var", "_tracked"))]
    for name in names:
        of = name.replace("generator", "extras.average")
        torch.testing.assert_close(after[of], torch.lerp(before[of], before[name], share))
    assert any(not torch.equal(before[name], before[name.replace("generator", "extras.average")]) for name in names)
    assert int(after["game.extras.average_rounds.rounds"]) == 7
    assert RunFolder(run.path).read().start_from["run"].endswith(old.id)


def test_a_run_of_another_device_goes_on_here(work, ganflow):
    """As one of a GPU does on a machine without any."""
    run = trained(work, ganflow, "~metrics", "train.device=cpu")
    run.update(device="cuda:0")
    run.recipe.write_text(run.recipe.read_text().replace("device: cpu", "device: cuda"))
    code, _, err = ganflow("run", "--resume", run.id, "train.rounds=8")
    assert (code, err) == (2, "ganflow: train.device: this machine has no cuda; use auto or cpu\n")
    code, _, err = ganflow("run", "--resume", run.id, "train.rounds=8", "train.device=auto")
    assert code == 0, err
    assert "device was cuda:0, is now cpu" in err
    assert (run.read().device, run.read().round) == ("cpu", 8)
    assert run.read().amended[-1]["changed"] == ["train.rounds: 6 → 8", "train.device: cuda → auto"]
