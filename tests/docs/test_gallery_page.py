"""docs/gallery.md is what recipes and results say, and tests/benchmarks/gallery.py measures what is missing, however it ends."""

import dataclasses
import json
import math
import re
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from docs_helpers import DOCS, ROOT, compare
from PIL import Image

from ganflow.cli.main import main as ganflow_main
from ganflow.recipe import read_recipe

sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
import gallery
import gallery_page

TINY = """\
# ganflow run recipes/tiny.yaml
# A ring in a | moment: with p(x|z). It is small.
name: tiny
data: {use: gaussians, layout: ring, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4, depth: 1}
critic: {use: mlp, width: 4, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-3}
metrics: [{use: sliced_wasserstein, samples: 32, projections: 8}]
train: {rounds: 6, batch_size: 8, compile: never, checkpoint_every: 2, sample_every: 1000}
"""
NEXT = TINY.replace("run recipes/tiny.yaml", "run recipes/next.yaml train.start_from=tiny").replace("name: tiny", "name: next")
EMPTY = f"# Gallery\n\n{gallery_page.BEGIN}{gallery_page.END}"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with recipes/tiny.yaml and docs/gallery.md."""
    monkeypatch.chdir(tmp_path)
    for folder in ("recipes", "docs"):
        Path(folder).mkdir()
    Path("recipes/tiny.yaml").write_text(TINY)
    Path("docs/gallery.md").write_text(EMPTY)
    return tmp_path


def play(*arguments, before=lambda count: None):
    """The command, with trainings in this process: exit code, and what ganflow was called with."""
    calls = []

    def train(given, folder):
        before(len(calls))
        calls.append(list(given))
        (folder / f"cpu-{len(calls)}").write_text("1.5")
        return ganflow_main(list(given))

    where = ["--recipes", "recipes", "--docs", "docs", "--runs", "build"]
    return gallery.main([*arguments, *where], train), calls


def entry(changes=(), earlier=None, name="recipes/tiny.yaml"):
    recipe = read_recipe(name, changes)
    known = gallery_page.depends(recipe, earlier)
    return gallery_page.Entry("tiny", Path(name), "", known, frozenset(recipe.lines))


def same(kept, now):
    return now.is_that_of({"depends": json.loads(json.dumps(kept.depends))})


def kept(docs="docs"):
    """The results without what differs from time to time."""
    found = {file.name: json.loads(file.read_text()) for file in sorted(Path(docs, "gallery").glob("*.json"))}
    for result in found.values():
        for seed in result["seeds"]:
            assert seed.pop("cpu") > 0
    return found


# The page.


def test_the_page_is_what_recipes_and_results_say():
    entries = gallery_page.read_entries()
    results = {name: gallery_page.read_result(name, DOCS / "gallery") for name in entries}
    compare(DOCS / "gallery.md", "gallery", gallery_page.markdown(entries, results))
    used = set()
    for name, result in results.items():
        files = [gallery_page.file_of(name, DOCS / "gallery", ending) for ending in (".json", ".png")]
        if result:
            used |= {files[0].name} | ({files[1].name} if result["picture"] else set())
        if result.get("picture"):
            data = files[1].read_bytes()
            assert sha256(data).hexdigest()[:16] == result["picture"]
            assert len(data) < 60_000
    assert {path.name for path in (DOCS / "gallery").glob("*")} == used
    linked = re.findall(r'<a href="\.\./(recipes/[\w/]+\.yaml)">', (DOCS / "gallery.md").read_text(encoding="utf-8"))
    assert sorted(linked) == sorted(f"recipes/{path.relative_to(ROOT / 'recipes')}" for path in ROOT.glob("recipes/**/*.yaml")
                                    if path.parent.name != "cluster")  # fmt: skip


def test_healthy_recipes_raised_no_alarm_and_those_that_show_a_fault_did():
    raised = {}
    for path in sorted((DOCS / "gallery").glob("*.json")):
        raised[path.stem] = {sign for seed in json.loads(path.read_text())["seeds"] for sign in seed["alarms"]}
    assert len(raised) > 20
    assert {name: signs for name, signs in raised.items() if signs} == {
        "theory-collapse": {"modes dropped", "critic under-trained"},  # the latter with one seed of three
        "theory-lines": {"critic saturated", "gradient vanished (critic)"},
        "theory-saturation": {"critic saturated", "gradient vanished (critic)"},
    }


def test_what_needs_a_folder_and_what_is_a_sweep_is_not_trained():
    entries = gallery_page.read_entries()
    others = {name: entry.why for name, entry in entries.items() if entry.why}
    folders = {name for name in entries if name.endswith("_paper") or name.startswith(("sweeps/", "photos"))}
    assert set(others) == folders | {"stackgan_birds"}
    assert others["wgan_paper"] == "needs a folder of yours: `data.path=path/to/images`"
    assert others["stackgan_birds"] == "is `stackgan_stage1_birds` and then `stackgan_stage2_birds`"
    assert entries["stackgan_stage2_birds"].after == "stackgan_stage1_birds"


def result_of(scores, **changes):
    versions = {"ganflow": "0.1.0", "torch": "2.9"}
    seeds = [{"seed": seed, "cpu": 40.0 + seed, "rounds": 6, "scores": values, "alarms": [], "versions": versions}
             for seed, values in enumerate(scores)]  # fmt: skip
    return {"depends": {"k": 1}, "picture": "p", "seeds": seeds, **changes}


def row(result):
    made = gallery_page.Entry("a/b", Path("b.yaml"), "One | two.", {"k": 1})
    (line,) = [x for x in gallery_page.markdown({"a/b": made}, {"a/b": result}).splitlines() if ">a/b<" in x]
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_row():
    values = [1.25, 1.5, 1.0]
    scores = [{"d": v, "d_error": 0.1, "d_floor": 0.5 + v / 100, "share": v / 2} for v in values]
    first, seconds, shown, picture = row(result_of(scores))
    assert (first, seconds) == (r'<a href="../recipes/a/b.yaml">a/b</a><br>One \| two.', "41<br>n 3")
    mean, sd, floor = np.mean(values), np.std(values, ddof=1), 0.5 + np.mean(values) / 100
    floor_error = sd / 100 / math.sqrt(3)
    assert shown.replace("\u00a0", " ") == (
        f"d {mean:.4g} ± {sd:.2g} (floor {floor:.4g} ± {floor_error:.2g})<br>share {mean / 2:.4g} ± {sd / 2:.2g}"
    )
    assert '<img src="gallery/a-b.png" alt="a/b, seed 0"' in picture
    assert row(result_of(scores, picture=""))[3] == ""


def test_rows_of_what_is_not_known_or_went_wrong():
    assert row({})[1:] == ["", "not measured yet", ""]
    assert row(result_of([{"d": 1.0}], depends={"k": 2}))[1:] == ["", "not measured since the recipe changed", ""]
    wrong = result_of([{"d": 1.0}, {}])
    wrong["seeds"][1] |= {"diverged": True, "alarms": ["not finite"]}
    _, seconds, shown, _ = row(wrong)
    assert seconds == "40<br>n 2"
    assert shown.replace("\u00a0", " ") == "d 1 (n 1)<br>seed 1 diverged<br>alarm: not finite, 1 of 2"


def test_scores_of_single_classes_are_left_out():
    each = {f"asked_{digit}": 0.5 for digit in range(10)}
    shown = row(result_of([{"asked": 0.5, "w1": 1.0, "w1_share": 0.5, **each}]))[2].replace("\u00a0", " ")
    assert shown == "asked 0.5<br>w1 1<br>w1_share 0.5"


@pytest.mark.parametrize(
    "changes",
    [["name=other"], ["track.mlflow=false"], ["train.seed=5"], ["train.threads=2"], ["trackers=[jsonl]"],
     ["train.n_critic=1"], ["metrics[0].repeats=3"], ["optimizer.critic.lr=0.005"]],  # these say what is so anyway
    ids=str,
)  # fmt: skip
def test_what_leaves_results_as_they_are(work, changes):
    assert same(entry(), entry(changes))


@pytest.mark.parametrize(
    "changes",
    [["train.rounds=7"], ["optimizer.lr=1e-3"], ["optimizer.critic.lr=1e-3"], ["metrics[0].repeats=2"], ["loss=hinge"],
     ["+modifiers=ema"], ["prior.dim=3"], ["recipe_version=2"]],
    ids=str,
)  # fmt: skip
def test_what_makes_them_outdated(work, changes):
    assert not same(entry(), entry(changes))
    assert not same(entry(changes), entry())


def test_a_new_key_at_its_default_changes_nothing(work):
    """Nor one of the run that it starts from; one that the recipe writes does, and one that is gone."""
    now = entry(["generator.depth=1"])
    older = dataclasses.replace(now, depends={p: v for p, v in now.depends.items() if p != "critic.activation"})
    assert same(older, now)
    assert not same(now, older)
    assert not same(older, entry(["critic.activation=relu"]))
    assert not same(older, entry(["critic.activation=leaky_relu"]))  # which may be another default than that of then
    assert same(entry(earlier=older), entry(earlier=now))
    assert not same(entry(earlier=older), entry(earlier=entry(["generator.depth=2"])))
    modified = entry(["+modifiers=ema"])
    assert not same(now, dataclasses.replace(modified, written=now.written))  # a section that was not there has no defaults


def test_plugins_contract_and_earlier_run_count(work, monkeypatch):
    before = entry()
    assert not same(before, entry(earlier=before))
    Path("recipes/commented.yaml").write_text(TINY.replace("It is small.", "Other words.") + "# the end\n")
    assert same(before, entry(name="recipes/commented.yaml"))
    for version, distribution, alike in (("0.1.9", "ganflow", True), ("0.2.0", "ganflow", False), ("0.1.9", "acme", False)):
        about = {"distribution": distribution, "version": version}
        monkeypatch.setattr(gallery_page, "versions", lambda chosen, about=about: {
            c.component.plugin: dict(about) for c in chosen})  # fmt: skip
        assert same(before, entry()) is alike
    monkeypatch.undo()
    monkeypatch.setattr(gallery_page, "CONTRACT", 3)
    assert not same(before, entry(name=work / "recipes" / "tiny.yaml"))


# The command.


def test_a_missing_seed_is_trained_and_no_other(work, capsys):
    code, calls = play("--seeds", "2")
    assert code == 0
    assert [call[2] for call in calls] == ["train.seed=0", "train.seed=1"]
    out = capsys.readouterr().out
    assert "[1/2] tiny, seed 0: 2 trainings of unknown length to go" in out
    result = kept()["tiny.json"]
    assert [(seed["seed"], seed["rounds"], seed["alarms"]) for seed in result["seeds"]] == [(0, 6, []), (1, 6, [])]
    (journal,) = Path("build").glob("tiny/*/0/tiny/*/metrics.jsonl")
    lines = [json.loads(line)["values"] for line in journal.read_text().splitlines()]
    last = [values["sliced_w1_32"] for values in lines if "sliced_w1_32" in values][-1]
    assert result["seeds"][0]["scores"]["sliced_w1_32"] == pytest.approx(last, rel=1e-5)
    endings = ("", "_error", "_floor", "_floor_error")
    assert {*result["seeds"][0]["scores"]} == {f"sliced_w1_32{ending}" for ending in endings}
    (sheet,) = Path("build").glob("tiny/*/0/tiny/*/samples/round-*6.png")
    with Image.open("docs/gallery/tiny.png") as small, Image.open(sheet) as large:
        assert small.width / small.height == pytest.approx(large.width / large.height, rel=0.01)
        difference = np.asarray(small.convert("RGB"), float) - np.asarray(large.convert("RGB").resize(small.size), float)
        assert abs(difference).mean() < 4
    page = Path("docs/gallery.md").read_text()
    assert r"A ring in a \| moment: with p(x\|z). | 2<br>n 2 | sliced_w1_32 " in page

    assert play("--seeds", "2") == (0, [])
    code, calls = play("--seeds", "3")
    assert [call[2] for call in calls] == ["train.seed=2"]
    assert "[1/1] tiny, seed 2: about 0 min of one core to go" in capsys.readouterr().out
    assert Path("docs/gallery.md").read_text() != page


def test_what_was_measured_of_an_earlier_recipe_is_outdated(work, capsys):
    assert play("--seeds", "1")[0] == 0
    Path("recipes/tiny.yaml").write_text(TINY.replace("rounds: 6", "rounds: 5"))
    assert play("--page") == (0, [])
    assert " not measured since the recipe changed |" in Path("docs/gallery.md").read_text()
    assert play("--dry-run", "--seeds", "1") == (0, [])
    assert capsys.readouterr().out.splitlines()[-2:] == ["tiny, seed 0", "about 0 min of one core to go"]
    assert len(play("--seeds", "1")[1]) == 1
    assert [seed["rounds"] for seed in kept()["tiny.json"]["seeds"]] == [5]


def test_interrupted_and_gone_on_is_as_never_interrupted(work, capsys):
    def interrupt(count):
        if count == 1:
            raise KeyboardInterrupt

    code, calls = play("--seeds", "2", before=interrupt)
    assert (code, len(calls)) == (130, 1)
    assert "stopped; go on with: python tests/benchmarks/gallery.py --seeds 2" in capsys.readouterr().err
    assert [seed["seed"] for seed in kept()["tiny.json"]["seeds"]] == [0]
    run = next(Path("build").glob("tiny/*/0/tiny/*/run.json"))
    changed = run.stat().st_mtime_ns
    assert len(play("--seeds", "2")[1]) == 1
    assert run.stat().st_mtime_ns == changed
    gone_on, page, picture = kept(), Path("docs/gallery.md").read_text(), Path("docs/gallery/tiny.png").read_bytes()
    assert len(play("tiny", "--seeds", "2", "--again")[1]) == 2
    assert (kept(), Path("docs/gallery.md").read_text(), Path("docs/gallery/tiny.png").read_bytes()) == (gone_on, page, picture)


def test_a_finished_run_whose_result_was_not_kept_is_not_trained_again(work):
    assert play("--seeds", "1")[0] == 0
    before = kept()
    Path("docs/gallery/tiny.json").unlink()
    assert play("--seeds", "1") == (0, [])
    assert kept() == before


def test_what_another_starts_from_is_trained_first_with_the_same_seed(work):
    Path("recipes/next.yaml").write_text(NEXT)
    code, calls = play("next", "--seeds", "2")
    assert code == 0
    assert [(Path(call[1]).stem, call[2]) for call in calls] == [
        ("tiny", "train.seed=0"), ("next", "train.seed=0"), ("tiny", "train.seed=1"), ("next", "train.seed=1")]  # fmt: skip
    for seed in ("0", "1"):
        (run,) = Path("build").glob(f"next/*/{seed}/next/*/run.json")
        assert re.search(rf"tiny/\w+/{seed}/tiny/", json.loads(run.read_text())["start_from"]["run"])
    assert {name: len(result["seeds"]) for name, result in kept().items()} == {"next.json": 2, "tiny.json": 2}
    before = gallery_page.read_entries(Path("recipes"))["next"]
    Path("recipes/tiny.yaml").write_text(TINY.replace("rounds: 6", "rounds: 5"))
    now = gallery_page.read_entries(Path("recipes"))["next"]
    assert not same(before, now)
    assert now.key != before.key


def test_one_that_fails_is_named_and_the_others_are_trained(work, capsys):
    Path("recipes/a.yaml").write_text(TINY.replace("name: tiny", "name: a").replace("dim: 2", "dim: 0"))
    assert play("--page")[0] == 2  # a recipe with a mistake is named at once
    assert "a.yaml:5: prior.dim" in capsys.readouterr().err
    Path("recipes/a.yaml").write_text(TINY.replace("name: tiny", "name: a").replace("{rounds", "{start_from: x, rounds"))
    code, calls = play("--seeds", "1")
    assert (code, len(calls)) == (1, 2)
    assert capsys.readouterr().err.endswith("1 of 2 trainings failed: a, seed 0\n")
    assert [*kept()] == ["tiny.json"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tinny"], "there is no recipe 'tinny'; did you mean 'tiny'? (`ganflow recipes` lists them)"),
        (["--seeds", "0"], "--seeds: 0 seeds cannot be trained; give 1 to 1000, or seeds (1,2,3)"),
        (["--seeds", "1,1"], "--seeds: 1 is named twice, and the same seed trains the same run; name each once"),
        (["paper"], "paper is not trained here: needs a folder of yours: `data.path=path/to/x`"),
        (["--again"], "--again measures recipes anew: name them, and leave out --page and --dry-run"),
    ],
)
def test_mistakes(work, capsys, arguments, sentence):
    text = TINY.replace("tiny.yaml", "paper.yaml data.path=path/to/x").replace("name: tiny", "name: paper")
    Path("recipes/paper.yaml").write_text(text)
    assert play(*arguments) == (2, [])
    assert capsys.readouterr().err == f"gallery.py: {sentence}\n"
    assert not Path("docs/gallery").exists()


def test_a_damaged_result_and_a_page_without_a_place(work, capsys):
    Path("docs/gallery").mkdir()
    for text in ("{", "[]", '{"depends": {}, "picture": "", "seeds": [{}]}'):
        Path("docs/gallery/tiny.json").write_text(text)
        assert play("--page")[0] == 2
        assert "tiny.json is damaged: " in capsys.readouterr().err
    Path("docs/gallery/tiny.json").unlink()
    Path("docs/gallery.md").write_text("# Gallery\n")
    assert play("--page")[0] == 2
    assert "needs the lines '<!-- begin: gallery -->'" in capsys.readouterr().err


def test_a_picture_is_made_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    data = gallery.small_png(tmp_path / "noise.png")
    assert len(data) < 60_000
    (tmp_path / "small.png").write_bytes(data)
    with Image.open(tmp_path / "small.png") as small:
        assert (small.mode, max(small.size)) == ("P", 240)


@pytest.mark.rare
def test_killed_between_and_within_seeds(work):
    """SIGKILL of the command: its training ends as well, and the command goes on where that was."""
    Path("recipes/tiny.yaml").write_text(TINY.replace("rounds: 6", "rounds: 1000").replace("every: 2", "every: 20"))
    (work / "whole").mkdir()
    (work / "whole" / "gallery.md").write_text(EMPTY)
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "gallery.py"), "--recipes", "recipes", "--seeds", "3"]
    mine = [*command, "--docs", "docs", "--runs", "build"]

    def killed_when(ready):
        process = subprocess.Popen(mine, stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 120
            while not ready():
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.wait()

    def result():
        return Path("docs/gallery/tiny.json")

    def checkpoints(seed):
        return list(Path("build").glob(f"tiny/*/{seed}/tiny/*/checkpoints/round-*.safetensors"))

    killed_when(lambda: checkpoints(0))
    assert not result().exists()
    killed_when(result().exists)
    first = {path: path.stat().st_mtime_ns for path in Path("build").glob("tiny/*/0/tiny/*/*")}
    killed_when(lambda: checkpoints(1))
    subprocess.run(mine, check=True, stdout=subprocess.DEVNULL)
    assert {path: path.stat().st_mtime_ns for path in Path("build").glob("tiny/*/0/tiny/*/*")} == first
    assert len(list(Path("build").glob("tiny/*/*/tiny/*/run.json"))) == 3  # none was begun twice
    subprocess.run([*command, "--docs", "whole", "--runs", "whole/runs"], check=True, stdout=subprocess.DEVNULL)
    assert kept() == kept("whole")
    assert Path("docs/gallery/tiny.png").read_bytes() == Path("whole/gallery/tiny.png").read_bytes()
