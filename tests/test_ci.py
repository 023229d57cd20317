""".ci/run in a small repository of its own: it does the README's command, slow tests and docs, and fails when one fails."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SLOW = "-m pytest -q -m slow and not rare"
SCRIPT = Path(__file__).parents[1] / ".ci" / "run"
README = "<!-- run -->\n```\npython3 -c 'wrong one'\n```\n<!-- test -->\n```\npython3 -c 'print(\"tested\")' && {then}\n```\n"
FAKE_VENV = "mkdir -p .venv/bin && printf '#!/bin/sh\\necho \"$@\"; exit {code}' > .venv/bin/python && chmod +x .venv/bin/python"


@pytest.fixture
def ci(tmp_path):
    """Runs the script with this README in a repository, as root or not without the real apt-get."""
    if not SCRIPT.exists() or not shutil.which("git"):
        pytest.skip("not a checkout, or no git")
    (tmp_path / "bin").mkdir()
    apt = tmp_path / "bin" / "apt-get"
    apt.write_text("#!/bin/sh\necho no network; exit 100\n")
    apt.chmod(0o755)

    def run(readme):
        repository = tmp_path / "repository"
        (repository / ".ci").mkdir(parents=True)
        shutil.copy(SCRIPT, repository / ".ci" / "run")
        (repository / "README.md").write_text(readme)
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        for command in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "first")):
            subprocess.run(["git", *command], cwd=repository, check=True)
        (repository / "README.md").write_text("not committed")
        environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(tmp_path), "CI": "true"}
        done = subprocess.run(
            ["bash", ".ci/run"], cwd=repository, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert sorted(p.name for p in tmp_path.iterdir()) == ["bin", "repository"]  # it tidies up after itself
        return done.returncode, done.stdout

    return run


def test_it_does_all_three(ci):
    returned, said = ci(README.format(then=FAKE_VENV.format(code=0)))
    assert returned == 0
    *_, tested, _, slow, _, docs = said.splitlines()
    assert (tested, slow) == ("tested", SLOW)
    assert docs.startswith("-m properdocs build -f mkdocs.yml --strict --site-dir ")


@pytest.mark.parametrize("code", [1, 5])
def test_it_ends_as_the_slow_tests_do(ci, code):
    """They are run once: a test that passes only sometimes fails."""
    returned, said = ci(README.format(then=FAKE_VENV.format(code=code)))
    assert returned == code
    assert said.splitlines()[-3:] == ["tested", f"+ .venv/bin/python {SLOW}", SLOW]


def test_it_fails_when_the_readmes_command_fails(ci):
    returned, said = ci(README.format(then="exit 3"))
    assert returned == 3
    assert said.splitlines()[-1] == "tested"


def test_it_fails_when_the_readme_has_no_command(ci):
    assert ci("# nothing")[0] == 1
