"""report.html: what it holds, that it is whole, and that a stranger's run does nothing in it."""

import json
import os
import re

import pytest

from ganflow.cli.main import main
from ganflow.runs.finding import find_run
from ganflow.runs.journal import Journal
from ganflow.runs.report import PICTURES, POINTS, report_data, write_report

RECIPE = """
data: {use: gaussians, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: wasserstein
optimizer: rmsprop
metrics: [{use: sliced_wasserstein, samples: 64}]
train: {rounds: 4, batch_size: 8, sample_every: 2, evaluate_every: 4, checkpoint_every: 4, compile: never}
track: {mlflow: false}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(RECIPE)
    assert main(["run", "small.yaml", "-q"]) == 0
    return find_run("latest", tmp_path / "runs")


def embedded(path):
    """The data of a report, as its script reads them."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(text)


def test_a_run_leaves_a_report(run):
    data = embedded(run.path / "report.html")
    assert data == json.loads(json.dumps(report_data(run)))
    assert (data["status"], data["state"], data["round"]) == ("finished", "finished, round 4 of 4", 4)
    assert [panel["title"] for panel in data["panels"]] == ["critic's terms", "generator's terms", "estimates", "metrics"]
    assert [curve["name"] for curve in data["panels"][3]["curves"]] == ["sliced_w1_64"]
    assert data["panels"][0]["curves"][0]["x"] == [1, 2, 3, 4]
    assert [picture["round"] for picture in data["pictures"]] == [0, 2, 4]
    assert all(picture["src"].startswith("data:image/png;base64,iVBOR") for picture in data["pictures"])
    assert data["scores"][0][0] == "sliced_w1_64"
    assert "floor" in data["scores"][0][1]
    assert "use: vanilla/normal" in data["recipe"]


def test_it_needs_nothing_from_elsewhere(run):
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["']?(?!data:)\w""", page.split('id="data"')[0])
    assert "http:" not in re.sub(r'"data:image[^"]*"|http://www.w3.org/2000/svg', "", page)


def test_a_strangers_words_end_no_script(run):
    text = run.recipe.read_text()
    run.recipe.write_text(f"# </script><script>alert(1)</script><!-- &lt; \u2028\n{text}")
    run.update(error="</script><b>x", name="<img src=x>")
    write_report(run)
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert page.count("</script") == 2
    assert "<b>x" not in page
    data = embedded(run.path / "report.html")
    assert "</script><script>alert(1)</script><!-- &lt; \\u2028" in data["recipe"]
    assert data["state"].endswith("</script><b>x")


def test_a_strangers_links_and_pipes_are_not_read(run, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (run.samples / "round-00000001.png").symlink_to(secret)
    os.mkfifo(run.samples / "round-00000003.png")
    (run.samples / "round-x.png").write_bytes(b"no number")
    os.truncate(run.samples / "round-00000000.png", 2**23)
    assert [picture["round"] for picture in report_data(run)["pictures"]] == [2, 4]


def test_a_long_run_is_thinned(run):
    journal = Journal(run.journal)
    for round in range(5, 3005):
        journal.append(round, {"critic/wasserstein": float(round)})
    journal.close()
    for round in range(5, 105):
        (run.samples / f"round-{round:08}.png").write_bytes(b"p")
    data = report_data(run)
    curve = data["panels"][-1 if data["panels"][0]["title"] != "critic's terms" else 0]["curves"][0]
    assert POINTS <= len(curve["x"]) <= POINTS + 200
    assert curve["x"][-1] == 3004
    rounds = [picture["round"] for picture in data["pictures"]]
    assert (len(rounds), rounds[0], rounds[-1]) == (PICTURES, 0, 104)


def test_a_failed_run_has_its_reason(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(RECIPE)
    assert main(["run", "small.yaml", "-q", "optimizer.lr=1e30", "train.on_alarm=never"]) == 2
    data = embedded(find_run("latest", tmp_path / "runs").path / "report.html")
    assert data["status"] == "failed"
    assert "not finite" in data["state"] or "diverged" in data["state"] or "nan" in data["state"]


def test_the_command(run, capsys):
    assert main(["report", "latest", "-o", "mine.html", "--no-open"]) == 0
    assert capsys.readouterr().out == "mine.html: open it in a browser\n"
    assert embedded(run.path.parents[2] / "mine.html")["id"] == run.id
    assert main(["report", "latest", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == [0, 2, 4]
    assert main(["report", "latest", "-o", "mine.pdf"]) == 2
    assert "what should mine.pdf be? end its name in .html" in capsys.readouterr().err
    assert main(["report", "other"]) == 2
    assert "no run 'other'" in capsys.readouterr().err
