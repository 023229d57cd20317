"""ganflow evaluate and ganflow compare, on real runs of 30 rounds."""

import csv
import json
import math
import re
import shlex
import shutil

import pytest
from PIL import Image

from ganflow.cli.compare import UNKNOWN
from ganflow.cli.main import main
from ganflow.runs.checkpoints import read
from ganflow.runs.finding import all_runs
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import entries

RECIPE = """\
name: {name}
data: {{use: gaussians, layout: ring, samples: 400}}
prior: {{use: normal, dim: 2}}
generator: {{use: mlp, width: 8, depth: 1}}
critic: {{use: mlp, width: 8, depth: 1}}
loss: relativistic
optimizer: adam
metrics: [{{use: sliced_wasserstein, samples: {samples}, projections: 16}}]
train: {{rounds: 30, batch_size: 16, compile: never, threads: 1, sample_every: 30, evaluate_every: 10, seed: {seed}}}
track: {{mlflow: false}}
"""
KEPT = (
    '{"evaluations": [{"score": "x", "value": VALUE, "seeds": 1, "protocol": {}, "metric": {}, "checkpoint": "c", "round": 1, '
    '"digest": "d", "time": TIME}]}'
)
KNOWN = '''
from ganflow import GanflowError, Metric, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Known(Metric):
    def __init__(self, samples, scores, seed, repeats):
        self.samples, self.scores, self.seed, self.repeats = samples, scores, seed, repeats
        self.protocol = {"samples": samples, "seed": seed, "repeats": repeats}

    def evaluate(self, game):
        values = [self.scores[self.seed + r] for r in range(self.repeats)]
        return {f"known_{self.samples}": sum(values) / len(values), f"known_{self.samples}_floor": 0.5}


@settings
class Says:
    """Scores by seed."""

    samples: int = key(8)
    scores: list[float] = key([0.0, 1.0, 4.0, 9.0, 16.0, 25.0])
    seed: int = key(0, ge=0)
    repeats: int = key(1, ge=1)

    @hookimpl
    def metric(self):
        return Known(self.samples, self.scores, self.seed, self.repeats)


@settings
class Dense:
    """Needs a density."""

    @hookimpl
    def metric(self, data):
        if not data.knows_density:
            raise GanflowError(f"metric dense needs a known density, and data {data.name} has none: use data gaussians")
        return Known(8, [0.0], 0, 1)


@settings
class Fails:
    """Raises."""

    @hookimpl
    def metric(self):
        class Raises(Metric):
            def evaluate(self, game):
                raise RuntimeError("no such luck")

        return Raises()


@hookimpl
def register(offer):
    offer("metric", "says", Says)
    offer("metric", "dense", Dense)
    offer("metric", "fails", Fails)
'''


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A runs folder with the runs a and b, which differ in seed and samples, and c, like a with another seed."""
    root = tmp_path_factory.mktemp("made")
    for name, samples, seed in (("a", 64, 0), ("b", 32, 1), ("c", 64, 2)):
        (root / f"{name}.yaml").write_text(RECIPE.format(name=name, samples=samples, seed=seed))
        assert main(["run", str(root / f"{name}.yaml"), "-q", "--runs", str(root / "runs")]) == 0
    return root / "runs"


@pytest.fixture
def runs(made, command, tmp_path):
    """Copies of them in the working folder's runs folder, by name."""
    shutil.copytree(made, tmp_path / "runs")
    return {run.name: run for run in all_runs(tmp_path / "runs")}


@pytest.fixture
def known(workshop):
    workshop.install("known", KNOWN)
    workshop.catalogue()


def scores_of(run):
    return json.loads((run.path / "evaluations.json").read_text())["evaluations"]


# Protocols.


def test_the_record_has_the_protocols_of_base_scores(runs):
    protocols = runs["a"].read().protocols
    (name,) = protocols
    assert name == "sliced_w1_64"
    assert protocols[name]["samples"] == 64
    assert runs["a"].read().schema == "1.4"


# Evaluate.


def test_a_checkpoint_is_scored_as_the_run_scored_it(command, runs):
    code, out, err = command("evaluate", "a", "--json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)
    last = [e for e in entries(runs["a"].journal) if "sliced_w1_64" in e.values][-1]
    assert (row["value"], row["round"]) == (last.values["sliced_w1_64"], 30)
    assert row["protocol"] == runs["a"].read().protocols["sliced_w1_64"]
    checkpoint = read(runs["a"].checkpoints / row["checkpoint"])
    assert row["digest"] == checkpoint.digest
    assert len(checkpoint.digest) == 64
    (kept,) = scores_of(runs["a"])
    assert kept == {key: value for key, value in row.items() if key not in ("run", "name")}


def test_best_and_a_file(command, runs):
    best = runs["a"].read().best
    code, out, _ = command("evaluate", "a", "--checkpoint", "best", "--json")
    assert code == 0
    (row,) = json.loads(out)
    assert (row["value"], row["round"]) == (best["score"], best["round"])
    file = min(runs["a"].checkpoints.glob("round-*"))
    (row,) = json.loads(command("evaluate", "a", "--checkpoint", file, "--json")[1])
    assert row["round"] == int(file.stem.removeprefix("round-"))
    assert "one run's file" in command.refused("evaluate", "a", "b", "--checkpoint", file)


def test_several_seeds(command, runs, known):
    """Of 0, 1, 4 the mean is 5/3, its standard error √13/3."""
    code, out, err = command("evaluate", "a", "c", "--metric", "says", "--seeds", "3")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "name  run                   round  score    value        floor  seeds",
        f"a     {runs['a'].id}  30     known_8  1.667 ± 1.2  0.5    3",
        f"c     {runs['c'].id}  30     known_8  1.667 ± 1.2  0.5    3",
        f"kept in runs/a/{runs['a'].id}/evaluations.json",
        f"kept in runs/c/{runs['c'].id}/evaluations.json",
    ]
    (kept,) = scores_of(runs["a"])
    assert (kept["value"], kept["error"]) == (pytest.approx(5 / 3), pytest.approx(math.sqrt(13) / 3))
    assert kept["protocol"] == {"samples": 8, "seed": 0, "repeats": 1, "seeds": 3}
    assert kept["metric"]["use"] == "known/says"


def test_seeds_do_not_share_repeats(command, runs, known):
    """Repeats of seed 0: 0 and 1; of the next: 4 and 9. Mean (0.5 + 6.5) / 2, standard error 6 / √2 / √2."""
    code, out, _ = command("evaluate", "a", "--metric", "{use: says, repeats: 2}", "--seeds", "2", "--json")
    (row,) = json.loads(out)
    assert (code, row["value"], row["error"]) == (0, pytest.approx(3.5), pytest.approx(3.0))


def test_forms_of_the_table(command, runs, known):
    both = ("--metric", "{use: says, samples: 4}", "--metric", "{use: says, samples: 5, seed: 2}")
    code, out, _ = command("evaluate", "a", *both, "--markdown", "--csv", "scores.csv")
    assert code == 0
    assert out.splitlines() == [
        "| name | run | round | score | value | floor |",
        "|---|---|---|---|---|---|",
        f"| a | {runs['a'].id} | 30 | known_4 | 0 | 0.5 |",
        f"| a | {runs['a'].id} | 30 | known_5 | 4 | 0.5 |",
        "wrote scores.csv: 2 scores",
    ]
    with open("scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["score"], float(row["value"]), row["error"], row["round"]) for row in rows] == [
        ("known_4", 0.0, "", "30"), ("known_5", 4.0, "", "30"),
    ]  # fmt: skip
    assert json.loads(rows[1]["protocol"]) == {"samples": 5, "seed": 2, "repeats": 1}


def test_a_floor_is_shown_and_kept_with_its_error(command, runs):
    """Of real points: 16 disjoint pairs of 20 of the 400 in training."""
    metric = "{use: sliced_wasserstein, samples: 20}"
    code, out, _ = command("evaluate", "a", "--metric", metric, "--csv", "scores.csv")
    (kept,) = scores_of(runs["a"])
    assert code == 0
    assert f"{kept['floor']:.4g} ± {kept['floor_error']:.2g}" in out
    assert 0.02 < kept["floor_error"] / kept["floor"] < 0.3
    with open("scores.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["floor_error"]) == kept["floor_error"]
    command("evaluate", "c", "--metric", metric)
    code, out, _ = command("compare", "a", "c")
    assert f"(floor {kept['floor']:.4g} ± {kept['floor_error']:.2g})" in out
    facts = json.loads(command("compare", "a", "c", "--json")[1])
    assert facts["scores"]["sliced_w1_20"]["runs"][0]["floor_error"] == kept["floor_error"]


def test_floors_of_seeds_are_of_other_pairs(command, runs):
    metric = ("--metric", "{use: sliced_wasserstein, samples: 8}")
    one, more = (json.loads(command("evaluate", "a", *metric, "--seeds", n, "--json")[1])[0] for n in ("1", "3"))
    assert one["floor"] != more["floor"] == pytest.approx(one["floor"], abs=4 * one["floor_error"])
    assert more["floor_error"] == pytest.approx(one["floor_error"] / math.sqrt(3), rel=0.4)


def test_an_evaluation_whose_floor_was_found_otherwise_is_replaced(command, runs):
    assert command("evaluate", "a")[0] == 0
    path = runs["a"].path / "evaluations.json"
    path.write_text(path.read_text().replace('"floor": "', '"floor": "otherwise: '))
    assert command("evaluate", "a")[0] == 0
    (kept,) = scores_of(runs["a"])
    assert not kept["protocol"]["floor"].startswith("otherwise")


def test_the_same_evaluation_replaces_the_earlier(command, runs, known):
    for seeds in ("1", "2", "1"):
        assert command("evaluate", "a", "--metric", "says", "--seeds", seeds)[0] == 0
    assert [kept["seeds"] for kept in scores_of(runs["a"])] == [2, 1]


def strict(text):
    """JSON without the words for NaN and the infinities that Python adds to it."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_json_is_nothing_else(command, runs, known, tmp_path):
    endless = "{use: says, scores: [1.0e+308, 1.0e+308], repeats: 2}"
    code, out, err = command("evaluate", "a", "c", "--metric", endless, "--json", "--csv", "x.csv")
    assert (code, strict(out)[0]["value"], err) == (0, "inf", "wrote x.csv: 2 scores\n")
    code, out, err = command("compare", "a", "c", "--json", "--output", "x.png")
    assert (code, strict(out)["scores"]["known_8"]["runs"][0]["value"], err) == (0, "inf", "wrote x.png: 2 runs\n")


@pytest.mark.parametrize("which", ["last", "best", "x.safetensors"])
def test_a_run_without_checkpoints(command, runs, which):
    """What is advised makes one."""
    for path in runs["a"].checkpoints.iterdir():
        path.unlink()
    refused = command.refused("evaluate", "a", "--checkpoint", which)
    assert refused == f"ganflow: run {runs['a'].id} has no checkpoint yet; train it: ganflow run --resume {runs['a'].id}"
    assert command(*shlex.split(refused.partition("train it: ")[2])[1:], "-q")[0] == 0
    assert command("evaluate", "a", "--checkpoint", which.replace("x.safetensors", "last"))[0] == 0


def test_a_run_whose_checkpoints_are_all_damaged(command, runs):
    for path in runs["a"].checkpoints.iterdir():
        path.write_bytes(b"?")
    refused = command.refused("evaluate", "a")
    assert f"run {runs['a'].id} has only damaged checkpoints: " in refused
    assert refused.endswith(f"; restore one from a backup, or train anew: ganflow run runs/a/{runs['a'].id}/recipe.yaml")
    assert command(*shlex.split(refused.partition("anew: ")[2])[1:], "-q")[0] == 0
    assert command("evaluate", "a")[0] == 0  # the new one


def test_another_runs_checkpoint_is_not_scored_as_this_ones(command, runs, known):
    theirs = next(runs["c"].checkpoints.glob("round-*"))
    refused = command.refused("evaluate", "a", "--metric", "says", "--checkpoint", str(theirs))
    assert f"is not one of run {runs['a'].id}, whose scores are kept" in refused
    assert not (runs["a"].path / "evaluations.json").exists()


def test_what_is_not_finite_is_kept(command, runs, known):
    assert command("evaluate", "a", "--metric", "{use: says, scores: [1.0e+308], seed: 0}")[0] == 0
    assert command("evaluate", "a", "--metric", "{use: says, scores: [1.0e+308, 1.0e+308], repeats: 2}")[0] == 0
    assert scores_of(runs["a"])[-1]["value"] == "inf"
    assert command("compare", "a", "c")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nothing",), "no run 'nothing' in runs/"),
        (("a", "--metric", "frechett"), "command line: unknown metric 'frechett'; did you mean 'frechet'?"),
        (("a", "--metric", "{use: frechet, sample: 3}"), "unknown key 'sample' in metric 'frechet'; did you mean 'samples'?"),
        (("a", "--seeds", "0"), "argument --seeds: 0 is not 1 or more"),
        (("a", "--checkpoint", "worst"), "has no checkpoint 'worst'"),
        (("a", "--json", "--markdown"), "two forms of one table"),
        (("a", "--csv", "x.txt"), "end its name in .csv"),
    ],
)
def test_mistakes(command, runs, arguments, text):
    assert text in command.refused("evaluate", *arguments)
    assert not list(RunFolder(runs["a"].path).path.glob("evaluations*"))


def test_nothing_is_evaluated_where_one_run_cannot_be(command, runs, known):
    recipe = runs["b"].path / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("samples: 400", "samples: 500"))
    refused = command.refused("evaluate", "a", "b", "--metric", "says")
    assert re.search(r"the data gaussians \(ring\) changed since run \S+ began \(fingerprint \w+ then, \w+ now\)", refused)
    assert not (runs["a"].path / "evaluations.json").exists()


def test_a_metric_that_does_not_suit_the_data(command, known, tmp_path):
    (tmp_path / "roll.yaml").write_text(RECIPE.format(name="roll", samples=64, seed=0))
    assert command("run", "roll.yaml", "-q", "metrics=[]", "data=swiss_roll", "train.rounds=2")[0] == 0
    refused = command.refused("evaluate", "roll", "--metric", "dense")
    assert refused.startswith("ganflow: metric dense needs a known density, and data ")
    assert "has no metrics; name one: --metric sliced_wasserstein" in command.refused("evaluate", "roll")
    assert command("evaluate", "roll", "--metric", "sliced_wasserstein")[0] == 0


def test_a_metric_that_fails_is_named(command, runs, known):
    refused = command.refused("evaluate", "a", "--metric", "fails")
    assert re.search(r"gf-known 1\.0.* failed when run \S+ was evaluated: RuntimeError: no such luck", refused)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("{", "is damaged"),
        ("[]", "it is not a mapping"),
        ('{"schema": "2.0"}', "of a newer ganflow"),
        ('{"evaluations": [{"score": 1}]}', "is damaged"),
        (KEPT.replace("VALUE", "1" + 400 * "0").replace("TIME", "0.0"), "'x' has a value that is no number"),
        (KEPT.replace("VALUE", "1.0").replace("TIME", "Infinity"), "Infinity is no number"),
        (KEPT.replace("VALUE", "1.0").replace("TIME", "-1"), "'x' has a value that is no number"),
        (KEPT.replace("VALUE", "1.0").replace("TIME", "NaN"), "NaN is no number"),
        (KEPT.replace("VALUE", "NaN").replace("TIME", "0.0"), "NaN is no number; in JSON it is the text 'nan'"),
        (KEPT.replace("VALUE", "-Infinity").replace("TIME", "0.0"), "-Infinity is no number; in JSON it is the text '-inf'"),
        (KEPT.replace("VALUE", "1e999").replace("TIME", "0.0"), "'x' has a value that is no number (value)"),
        (KEPT.replace("VALUE", '"1.5"').replace("TIME", "0.0"), "'x' has a value that is no number (value)"),
        (KEPT.replace("VALUE", '"good"').replace("TIME", "0.0"), "'x' has a value that is no number (value)"),
        (KEPT.replace("VALUE", "true").replace("TIME", "0.0"), "is damaged"),
        (KEPT.replace("VALUE", '1.0, "floor": "0x1"').replace("TIME", "0.0"), "'x' has a value that is no number (floor)"),
        (KEPT.replace("VALUE", '1.0, "error": -0.1').replace("TIME", "0.0"), "'x' has a standard error below 0"),
        (KEPT.replace("VALUE", "1.0").replace("TIME", "0.0").replace('"seeds": 1', '"seeds": 0'), "'x' has no seeds"),
        (KEPT.replace("VALUE", '1.0, "goal": "best"').replace("TIME", "0.0"), "is damaged"),
    ],
)
def test_a_damaged_file_is_named(command, runs, text, how):
    (runs["a"].path / "evaluations.json").write_text(text)
    for refused in (command.refused("compare", "a", "c"), command.refused("evaluate", "a")):
        assert "evaluations.json" in refused
        assert how in refused
        assert "remove it, and evaluate the run again: ganflow evaluate " in refused or "update ganflow" in refused


def test_a_damaged_newest_checkpoint(command, runs):
    newest = max(runs["c"].checkpoints.glob("round-*"))
    newest.write_bytes(newest.read_bytes()[:-1] + b"?")
    for names in (("c",), ("a", "c")):
        refused = command.refused("evaluate", *names)
        assert f"the newest checkpoint of run {runs['c'].id} is damaged" in refused
        _, *advised = shlex.split(refused.rpartition("to use that: " if len(names) == 1 else "to evaluate that: ")[2])
        assert command(*advised)[0] == 0
    assert [kept["round"] for kept in scores_of(runs["c"])] == [29]


def test_what_to_type_for_mlflow(command, runs, tmp_path):
    (tmp_path / "runs").rename(tmp_path / "others")
    record = json.loads((tmp_path / "others" / "a" / runs["a"].id / "run.json").read_text())
    record["tracking"]["mlflow"] = True
    (tmp_path / "others" / "a" / runs["a"].id / "run.json").write_text(json.dumps(record))
    out = command("evaluate", "a", "--runs", "others")[1]
    assert out.endswith(f"evaluations.json; to MLflow: ganflow sync {runs['a'].id} --runs others\n")


# Compare.


def test_side_by_side(command, runs):
    code, out, err = command("compare", "a", "c", "--output", "both.png")
    assert code == 0
    assert err == ("" if "within noise" in out else f"ganflow: {UNKNOWN}\n")
    head, rounds, *lines, wrote = out.splitlines()
    assert head.split("  ")[-1] == "second − first"
    assert head.split()[:4] == ["a", runs["a"].id, "c", runs["c"].id]
    assert rounds.split() == ["round", "30", "30"]
    last = {name: list(entries(run.journal)) for name, run in runs.items()}
    (sliced,) = [line for line in lines if line.startswith("sliced_w1_64")]
    a, c = (last[name][-1].values["sliced_w1_64"] for name in ("a", "c"))
    assert f"{a:.4g}" in sliced
    assert f"{c:.4g}" in sliced
    assert f"  {c - a:+.3g} ± " in sliced
    assert sliced.endswith((", within noise", " of measurement, noise of training not known"))
    (term,) = [line for line in lines if line.startswith("critic/relativistic")]
    assert f"{last['a'][-2].values['critic/relativistic']:.4g}" in term
    assert not any(line.startswith(("lr/", "rounds_per_second")) for line in lines)
    assert wrote == "wrote both.png: 2 runs"
    with Image.open("both.png") as drawn, Image.open(max(runs["a"].samples.glob("*.png"))) as one:
        assert drawn.width >= one.width
        assert drawn.height >= 2 * one.height  # they are wide, and stand below each other


def test_scores_of_another_round_are_shown_with_it(command, runs, known, monkeypatch):
    """In the table, and below the names in the picture of the last round."""
    from ganflow.sweeps import report

    best = sorted(runs["a"].checkpoints.glob("round-*.safetensors"))[0]
    round = int(best.stem.partition("-")[2])
    for name, which in (("a", str(best)), ("c", "last")):
        command("evaluate", name, "--checkpoint", which, "--metric", "{use: says, scores: [2.0]}")
    captions = []
    monkeypatch.setattr(report, "sheet", lambda found: captions.extend(found) or Image.new("RGB", (8, 8)))
    code, out, _ = command("compare", "a", "c", "--output", "both.png")
    (line,) = [line for line in out.splitlines() if line.startswith("known_8")]
    assert (code, round < 30, f"in round {round}" in line) == (0, True, True)
    (_, _, first), (_, _, second) = captions
    assert re.search(rf"known_8 2[^,]* in round {round}(,|$)", first)
    assert "in round" not in second


def test_the_comparison_for_programs(command, runs):
    code, out, _ = command("compare", "a", "c", "--json")
    found = json.loads(out)
    assert code == 0
    assert [run["id"] for run in found["runs"]] == [runs["a"].id, runs["c"].id]
    assert found["scores"]["sliced_w1_64"]["protocol"]["samples"] == 64
    (row,) = found["scores"].values()
    assert [score["round"] for score in row["runs"]] == [30, 30]
    a, c = row["runs"]
    error = math.hypot(a["error"], c["error"])
    assert row["difference"] == {
        "of": runs["c"].id, "less": runs["a"].id, "value": pytest.approx(c["value"] - a["value"]),
        "error": pytest.approx(error), "within_noise": abs(c["value"] - a["value"]) <= 2 * error or None,
    }  # fmt: skip
    assert (found["not_compared"], found["advice"]) == ([], [])


def test_of_three_the_best_and_the_worst_are_named(command, runs, known):
    for name, score in (("a", "2.0"), ("b", "7.0"), ("c", "5.0")):
        assert command("evaluate", name, "--metric", f"{{use: says, scores: [{score}, 2.0]}}")[0] == 0
        kept = json.loads((runs[name].path / "evaluations.json").read_text())
        assert kept["evaluations"][0]["goal"] == "min"
        kept["evaluations"][0]["error"] = 1.0
        (runs[name].path / "evaluations.json").write_text(json.dumps(kept))
    (line,) = [line for line in command("compare", "a", "b", "c")[1].splitlines() if line.startswith("known_8")]
    assert line.endswith("  best a, worst b: 5 ± 1.4 of measurement, noise of training not known")


def advised(command, text):
    """Type the command that a message ends with."""
    code, _, err = command(*shlex.split(text.rpartition(" alike: ")[2])[1:])
    assert code == 0, err


def test_other_protocols_are_refused_and_the_advice_works(command, runs):
    refused = command.refused("compare", "a", "b")
    assert refused.startswith("ganflow: sliced_w1_64: samples 64 against 32, reference ")
    assert f"; evaluate both alike: ganflow evaluate {runs['a'].id} {runs['b'].id} --metric " in refused
    advised(command, refused)
    code, out, _ = command("compare", "a", "b", "--json")
    assert code == 0
    found = json.loads(out)["scores"]["sliced_w1_64"]["runs"]
    assert [score["value"] for score in found] == [scores_of(runs[name])[0]["value"] for name in ("a", "b")]


def test_a_score_by_other_protocols_is_left_out_with_all_differences(command, runs, known):
    """The others are compared; one command evaluates all that is left out alike."""
    for name, metric in (("a", "{use: modes, samples: 99}"), ("b", "{use: modes, samples: 98, seed: 5}")):
        assert command("evaluate", name, "--metric", "says", "--metric", metric)[0] == 0
    code, out, err = command("compare", "a", "b")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[-10:] if line.startswith("known")] == ["known_8"]
    listed = lines[lines.index("not compared:") + 1 :]
    assert listed[1].startswith("modes_99: samples 99 against 98, ")
    assert listed[1].endswith(", seed 0 against 5")
    assert listed[0].startswith("sliced_w1_64: samples 64 against 32, reference ")
    assert listed[-1].startswith(f"evaluate both alike: ganflow evaluate {runs['a'].id} {runs['b'].id} --metric ")
    found = json.loads(command("compare", "a", "b", "--json")[1])
    assert {"known_8"} == found["scores"].keys()
    apart = {each["score"]: each for each in found["not_compared"]}
    assert {"samples 99 against 98", "seed 0 against 5"} <= set(apart["modes_99"]["differences"])
    assert apart["modes_99"]["runs"] == [runs["a"].id, runs["b"].id]
    assert found["advice"] == [listed[-1].partition(": ")[2]]
    advised(command, out)
    code, out, _ = command("compare", "a", "b")
    assert "not compared" not in out
    assert code == 0
    assert {"known_8", "sliced_w1_64", "modes_99"} <= {line.split()[0] for line in out.splitlines() if line.strip()}


def test_where_nothing_can_be_compared_all_of_it_is_listed(command, runs, known):
    for name, metric in (("a", "{use: says, samples: 4}"), ("b", "{use: says, samples: 5, seed: 1}")):
        assert command("evaluate", name, "--metric", metric)[0] == 0
    refused = command.refused("compare", "a", "b")
    first, *lines, last = refused.splitlines()
    assert first == "no score can be compared:"
    assert lines[0].startswith("sliced_w1_64: samples 64 against 32, reference ")
    assert lines[1:] == ["known_4: samples 4 against 5, seed 0 against 1"]
    advised(command, last)
    assert "not compared" not in command("compare", "a", "b")[1]


def test_the_advice_has_the_number_of_seeds_and_the_runs_folder(command, runs, known, tmp_path):
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    for name, samples in (("a", 4), ("c", 5)):
        metric = f"{{use: says, samples: {samples}}}"
        assert command("evaluate", name, "--metric", metric, "--seeds", "2", "--runs", "elsewhere")[0] == 0
    code, out, _ = command("compare", "a", "c", "--runs", "elsewhere")
    assert (code, "known_4: samples 4 against 5" in out.splitlines()) == (0, True)
    assert out.endswith(" --seeds 2 --runs elsewhere\n")
    advised(command, out)
    code, out, _ = command("compare", "a", "c", "--runs", "elsewhere")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("known_4")]
    assert line.endswith("  +0 ± 0.71, within noise")  # 0 and 1 in both: each ± 0.5, together √½


def test_runs_that_are_given_by_path_are_advised_by_path(command, runs, tmp_path, monkeypatch):
    """Two folders of runs, with the same id in both."""
    (tmp_path / "here").mkdir()
    shutil.copytree(tmp_path / "runs", tmp_path / "here" / "other")
    monkeypatch.chdir(tmp_path / "here")
    a, b = (f"{tmp_path}/runs/{name}/{runs[name].id}" for name in ("a", "b"))
    refused = command.refused("compare", a, f"other/b/{runs['b'].id}")
    assert f"ganflow evaluate {a} other/b/{runs['b'].id} --metric " in refused
    assert "--runs" not in refused
    advised(command, refused)
    assert command("compare", a, f"other/b/{runs['b'].id}")[0] == 0
    assert command("compare", a, b)[0] == 2  # that one was not evaluated


def test_an_id_that_two_runs_have_is_no_advice(command, runs, tmp_path):
    shutil.copytree(tmp_path / "runs" / "b", tmp_path / "runs" / "copy")
    refused = command.refused("compare", "a", "copy")
    assert f"ganflow evaluate {runs['a'].id} runs/copy/{runs['b'].id} --metric " in refused
    advised(command, refused)


def test_runs_without_a_common_score(command, runs, known):
    """Terms are shown, and how to have a score in common."""
    for name in ("a", "c"):
        lines = [json.loads(line) for line in runs[name].journal.read_text().splitlines()]
        kept = [line for line in lines if "sliced_w1_64" not in line["values"]]
        runs[name].journal.write_text("".join(json.dumps(line) + "\n" for line in kept))
    text = "ganflow: the runs have no score in common; their terms are compared; evaluate them alike: ganflow evaluate"
    code, out, err = command("compare", "a", "c")
    assert (code, "critic/relativistic" in out) == (0, True)
    assert err == f"{text} {runs['a'].id} {runs['c'].id} --metric sliced_wasserstein\n"
    assert command("evaluate", "c", "--metric", "says")[0] == 0
    code, out, err = command("compare", "a", "c")
    assert (code, "known_8" in out) == (0, True)
    assert err.startswith(f"{text} {runs['a'].id} {runs['c'].id} --metric '{{use: known/says, ")
    advised(command, err)
    code, out, err = command("compare", "a", "c", "b")
    assert err.startswith(f"ganflow: b {runs['b'].id} has no score in common with the others; evaluate them alike: ")


def changed_data(run, **keys):
    record = json.loads((run.path / "run.json").read_text())
    record["data"]["fingerprint"] = "f" * 16
    (run.path / "run.json").write_text(json.dumps(record))
    recipe = (run.path / "recipe.yaml").read_text()
    for key, (old, new) in keys.items():
        assert f"{key}: {old}" in recipe
        recipe = recipe.replace(f"{key}: {old}", f"{key}: {new}")
    (run.path / "recipe.yaml").write_text(recipe)


def test_other_data_are_refused_with_the_keys_that_differ(command, runs):
    changed_data(runs["c"], samples=(400, 500), layout=("ring", "grid"))
    refused = command.refused("compare", "a", "c")
    assert "the runs had different data" in refused
    assert f"gaussians (ring) (ffffffffffff) in run {runs['c'].id}: " in refused
    assert "data.layout ring against grid" in refused
    assert "data.samples 400 against 500" in refused
    assert refused.endswith("; compare runs of the same data")


def test_other_data_of_another_component(command, runs):
    """Of which every key is another: their name says enough."""
    changed_data(runs["c"])
    recipe = runs["c"].path / "recipe.yaml"
    text = re.sub(r"(?m)^data:\n(  .*\n)+", "data: {use: swiss_roll}\n", recipe.read_text())
    recipe.write_text(text)
    refused = command.refused("compare", "a", "c")
    assert ": data.use data/gaussians against data/swiss_roll; compare runs of the same data" in refused


def test_other_data_by_the_same_keys(command, runs):
    changed_data(runs["c"])
    refused = command.refused("compare", "a", "c")
    assert "the keys of data are equal in both recipes, so the files, or what was drawn, differ" in refused
    (runs["c"].path / "recipe.yaml").write_text("data: no_such_data\n")
    assert "by which keys cannot be read (" in command.refused("compare", "a", "c")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("a",), "compare it with which run?"),
        (("a", "a"), "two of these names mean the same run"),
        (("a", "nothing"), "no run 'nothing' in runs/"),
        (("a", "c", "--output", "x.gif"), "end its name in .png"),
    ],
)
def test_mistakes_in_comparing(command, runs, arguments, text):
    assert text in command.refused("compare", *arguments)


def test_without_pictures_there_is_no_picture(command, runs):
    shutil.rmtree(runs["c"].samples)
    assert command("compare", "a", "c")[0] == 0
    refused = command.refused("compare", "a", "c", "--output", "x.png")
    assert refused == f"ganflow: run c {runs['c'].id} has no picture of samples; leave --output out"


def test_scores_without_a_recorded_protocol(command, runs):
    for name in ("a", "c"):
        record = json.loads((runs[name].path / "run.json").read_text())
        del record["protocols"]
        (runs[name].path / "run.json").write_text(json.dumps(record))
    code, out, err = command("compare", "a", "c")
    assert (code, "sliced_w1_64" in out) == (0, True)
    line, *others = err.splitlines()
    assert line == "ganflow: sliced_w1_64: no protocol is recorded, so nothing says that it was computed alike"
    assert others == ([] if "within noise" in out else [f"ganflow: {UNKNOWN}"])
