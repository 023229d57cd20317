"""The page on export is executed as it is written, its commands by the command line's function."""

import shlex

import pytest
from docs_helpers import DOCS, blocks

from ganflow.cli.main import main

PAGE = blocks((DOCS / "export.md").read_text(encoding="utf-8"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*type hint:UserWarning")  # of MLflow's
def test_the_page_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["generator.width=8", "critic.width=8", "data.samples=500", "metrics=[]", "train.rounds=2", "track.mlflow=false"]
    assert main(["run", "ring", "-q", *small]) == 0
    names = {}
    for language, code in PAGE:
        if language == "bash":
            for line in code.splitlines():
                assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
        elif language == "python":
            exec(compile(code, "export.md", "exec"), names)
    assert names["points"].shape == (500, 2)
    assert (tmp_path / "served" / "MLmodel").exists()
    assert (tmp_path / "kept.png").stat().st_size > 1000
