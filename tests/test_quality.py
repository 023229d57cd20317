"""The tree as a whole: style, types, layers, what is imported when, and nothing of one machine in it."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import ganflow
from ganflow.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {
    ".ci", ".dockerignore", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md",
    "Dockerfile", "LICENSE", "README.md", "constraints.txt", "docs", "ganflow", "mkdocs.yml", "plugins", "pyproject.toml",
    "recipes", "tests",
}  # fmt: skip
HEAVY = ["torch", "numpy", "ray", "mlflow", "omegaconf", "rich", "yaml", "matplotlib", "PIL", "sklearn"]


def run(*command):
    """In the root; stdout and stderr together when it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files():
    """What is in the repository, or would be after `git add`."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [Path(name) for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def test_the_top_level_holds_what_it_should_and_no_more():
    assert {path.parts[0] for path in files()} == TOP_LEVEL


def test_no_file_knows_a_machine_or_a_package_registry():
    machine = re.compile(r"/(?:home|root|Users|work|opt|mnt|tmp|scratch|data)/\w|\b[A-Z]:\\Users")
    registry = re.compile(r"\b(?:py[p]i\.org|python[h]osted|download\.py[t]orch|ana[c]onda\.org|--(?:extra-)?in[d]ex-url)")
    found = []
    for path in files():
        for number, line in enumerate((ROOT / path).read_bytes().decode("utf-8", "replace").splitlines(), 1):
            if machine.search(line) or registry.search(line):
                found.append(f"{path}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def test_style():
    run(sys.executable, "-m", "ruff", "check", "--output-format=concise", ".")


def test_types():
    run(sys.executable, "-m", "mypy")


def test_layers():
    out = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")  # a cache outlives modules that were moved
    assert "0 broken" in out


def test_overview_and_commands_agree():
    for module in {path.stem for path in (ROOT / "ganflow" / "cli").glob("*.py")} - {"__init__", "main"}:
        found = {name for name in vars(import_module(f"ganflow.cli.{module}")) if name.endswith("_command")}
        assert found == {f"{name.replace('-', '_')}_command" for name, (where, _) in COMMANDS.items() if where == module}


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], HEAVY),
        (["--version"], HEAVY),
        (["inpaint", "--help"], ["torch", "numpy", "ray", "mlflow", "omegaconf", "rich", "yaml", "matplotlib", "PIL", "scipy"]),
        (["run", "--help"], HEAVY),
        (["evaluate", "--help"], HEAVY),
        (["compare", "--help"], HEAVY),
        (["check", "wgan", "ring"], ["torch", "numpy", "ray", "mlflow", "rich", "matplotlib", "PIL", "sklearn"]),
        (["plugins"], ["torch", "numpy", "ray", "mlflow", "matplotlib", "PIL", "sklearn"]),
    ],
    ids=" ".join,
)
def test_light_commands_import_no_heavy_library(arguments, absent, tmp_path):
    program = f"""
import sys
from ganflow.cli.main import main
try:
    code = main({arguments!r})
except SystemExit as ended:
    code = ended.code
print("imported:", *sorted(set({absent!r}) & set(sys.modules)))
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"


def test_no_file_of_the_core_is_long():
    """A file has one job: one of more than 400 lines has several."""
    lengths = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in ROOT.glob("ganflow/**/*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_the_version_is_in_the_changelog():
    assert f"\n## {ganflow.__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
