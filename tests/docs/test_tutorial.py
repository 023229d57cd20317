"""The tutorial's commands, typed as they stand, by a real shell in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from docs_helpers import DOCS, ROOT, blocks

TUTORIAL = (DOCS / "tutorial.md").read_text(encoding="utf-8")


@pytest.mark.slow  # five minutes where other programs run
def test_the_tutorial_can_be_typed(tmp_path):
    script = "\n".join(code for language, code in blocks(TUTORIAL) if language == "bash")
    program = tmp_path / "bin" / "ganflow"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ganflow "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    done = subprocess.run(["bash", "-euxc", script], cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "digits.png").stat().st_size > 1000
    assert Path(tmp_path / "runs" / "search-sweep-1" / "best.yaml").exists()
