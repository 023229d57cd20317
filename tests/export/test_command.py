"""`ganflow export`: what it prints, and its errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from export_helpers import trained

from ganflow.cli import main
from ganflow.runs.folders import RunFolder

RING = ("generator.width=8", "critic.width=8", "data.samples=500")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained("ring", tmp_path_factory.mktemp("work") / "runs", *RING)


@pytest.fixture
def work(ring: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working folder with the run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(ring.path.parent.parent)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["export", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1, told
    return told.removeprefix("ganflow: ").strip()


def test_a_folder_appears_and_is_not_overwritten(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "latest", "--to", "safetensors"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("wrote ring-safetensors/: ring (")
    assert line.endswith("README.md\n")
    assert refused(capsys, "ring", "--to", "safetensors").startswith("ring-safetensors is there already; choose another with -o")
    (work / "ring-safetensors" / "mine.txt").write_text("kept?")
    assert main(["export", "ring", "--to", "safetensors", "--force", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["path"], found["format"], found["round"], found["pushed"]) == ("ring-safetensors", "safetensors", 1, None)
    assert found["signatures"]["sample"]["inputs"]["z"]["dtype"] == "float32"
    assert not (work / "ring-safetensors" / "mine.txt").exists()
    assert [p.name for p in work.iterdir() if p.name.startswith(".")] == []

    (work / "thesis").mkdir()
    (work / "thesis" / "chapter.txt").write_text("everything")
    assert "--force replaces nothing else" in refused(capsys, "ring", "--to", "safetensors", "-o", "thesis", "--force")
    assert (work / "thesis" / "chapter.txt").read_text() == "everything"


def test_what_it_refuses(work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(capsys, "ring", "--to", "onxx").startswith("--to onxx: unknown format; did you mean 'onnx'? (formats: pt2, ")
    assert refused(capsys, "ring", "--to", "torchscript").startswith("--to torchscript: unknown format; did you mean 'pt2'?")
    assert "there is no folder nowhere/" in refused(capsys, "ring", "--to", "pt2", "-o", "nowhere/x")
    assert "no run 'rong'" in refused(capsys, "rong", "--to", "pt2")
    assert "--to hub, not --to pt2" in refused(capsys, "ring", "--to", "pt2", "--push", "ann/ring")
    assert "write NAME/ring" in refused(capsys, "ring", "--to", "hub", "--push", "ring")
    assert "--push a/b/c: " in refused(capsys, "ring", "--to", "hub", "--push", "a/b/c")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    missing = "needs onnxscript, which is not installed: pip install 'ganflow[onnx]'"
    assert refused(capsys, "ring", "--to", "onnx").endswith(missing)


def test_a_model_for_other_programs_is_no_run(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "ring", "--to", "pt2"]) == 0
    capsys.readouterr()
    assert main(["sample", "ring-pt2"]) == 2
    assert "ring-pt2 is a model that was exported for other programs, and no run; ring-pt2/README.md" in capsys.readouterr().err


def test_a_run_without_a_checkpoint(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    (run,) = (work / "runs").glob("ring/*")
    empty = Path(shutil.copytree(run, tmp_path / "copied" / "ring" / run.name))
    shutil.rmtree(empty / "checkpoints")
    assert "has no checkpoint yet; train it: ganflow run --resume" in refused(capsys, str(empty), "--to", "pt2")
    assert not (tmp_path / "ring-pt2").exists()


def test_damaged_weights(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "ring", "--to", "safetensors"]) == 0
    capsys.readouterr()
    weights = work / "ring-safetensors" / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-3] ^= 1
    weights.write_bytes(raw)
    assert main(["sample", "ring-safetensors"]) == 2
    told = capsys.readouterr().err
    assert "model.safetensors does not match its digest; export the run once more, or fetch " in told


def test_an_export_is_evaluated_and_compared(work: Path, ring: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """To the scores of its run; there is no critic, whose weights it has not."""
    import ganflow

    assert main(["export", "ring", "--to", "safetensors"]) == 0
    exported, of = ganflow.load("ring-safetensors"), ganflow.load("ring")
    assert (exported.name, exported.id) == ("ring", "ring-safetensors")
    assert exported.critic is None
    metric = {"use": "sliced_wasserstein", "samples": 64}
    assert exported.evaluate(metric).equals(of.evaluate(metric))
    capsys.readouterr()
    assert main(["compare", "ring-safetensors", "ring"]) == 0
    first = capsys.readouterr().out.splitlines()[0].split()
    assert first == ["ring", "ring-safetensors", "ring", ring.id, "second", "−", "first"]
    assert main(["sample", "ring-safetensors", "-n", "4", "-o", "four.png"]) == 0
    assert "4 samples of ring (ring-safetensors)" in capsys.readouterr().out


def test_an_export_is_gone_on_from(work: Path, ring: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """`train.start_from` takes the weights, which are an average's; there is no training to resume."""
    from safetensors.torch import load_file

    from ganflow.runs.loading import load_game

    assert main(["export", "ring", "--to", "safetensors"]) == 0
    capsys.readouterr()
    assert main(["run", "--resume", "ring-safetensors"]) == 2
    advice = "ganflow run ring-safetensors/recipe.yaml train.start_from=ring-safetensors/model.safetensors\n"
    assert capsys.readouterr().err.endswith(advice)
    assert main([*advice.split()[1:], "track.mlflow=false", "--runs", "begun"]) == 0
    told = capsys.readouterr().err
    assert "begins with the weights of ring (ring-safetensors), round 1: generator; its critic begins anew\n" in told
    again = ("track.mlflow=false", "--runs", "begun")
    assert main(["run", "ring", *RING, f"train.start_from={ring.path}", "train.rounds=1", *again]) == 0
    assert f"begins with the weights of ring ({ring.id}), round 1: generator and critic\n" in capsys.readouterr().err
    begun = trained("ring", work / "later", *RING, "train.start_from=ring-safetensors/model.safetensors", "train.rounds=1",
                    "optimizer={use: sgd, lr: 0}", "modifiers=[]")  # fmt: skip
    weights = load_file("ring-safetensors/model.safetensors")
    for name, t in load_game(begun).generator.state_dict().items():
        torch.testing.assert_close(t, weights[name], atol=0, rtol=0)


def test_names_in_a_card_are_no_markdown(work: Path, tmp_path: Path) -> None:
    import shutil

    (run,) = (work / "runs").glob("ring/*")
    copied = Path(shutil.copytree(run, tmp_path / "copied" / "ring" / run.name))
    about = json.loads((copied / "run.json").read_text())
    about["name"], about["data"]["name"] = "<script>alert(1)</script>\n# Free", "a|b`c"
    (copied / "run.json").write_text(json.dumps(about))
    (copied / "recipe.yaml").write_text((copied / "recipe.yaml").read_text() + "# ```\n# http://ann:S3cret@host\n")
    assert main(["export", str(copied), "--to", "hub", "-o", "card"]) == 0
    text = (tmp_path / "card" / "README.md").read_text()
    body = text.partition("\n---\n")[2]
    assert body.splitlines()[1] == "# \\<script\\>alert(1)\\</script\\> \\# Free"
    assert "a\\|b\\`c" in body
    assert "S3cret" not in text
    assert body.count("````") == 2
    import yaml

    front = yaml.safe_load(text.split("---\n")[1])
    assert front["library_name"] == "ganflow"
    assert "license" not in front


def test_the_scores_that_a_run_has_are_in_the_card(work: Path, tmp_path: Path) -> None:
    run = trained("ring", tmp_path / "scored", *RING, "metrics=[{use: modes, samples: 500}]", "train.rounds=2")
    assert main(["evaluate", str(run.path), "--seeds", "2"]) == 0
    assert main(["export", str(run.path), "--to", "safetensors", "-o", "scored-ring"]) == 0
    text = (tmp_path / "scored-ring" / "README.md").read_text()
    best = run.read().best
    assert best is not None
    name = str(best["metric"]).replace("_", "\\_")
    assert f"| {name} | {best['score']:.4g}" in text
    assert "| 2 | in training |" in text
    assert "| 2 | ganflow evaluate, 2 seeds |" in text
    assert main(["evaluate", str(run.path)]) == 0  # once more what training did
    assert main(["export", str(run.path), "--to", "safetensors", "-o", "scored-ring", "--force"]) == 0
    text = (tmp_path / "scored-ring" / "README.md").read_text()
    assert "in training" not in text
    assert text.count(f"| {name} | ") == 2  # of one seed, and of two
    assert "| 2 | ganflow evaluate, 1 seed |" in text
