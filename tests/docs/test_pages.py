"""What the pages of docs/ say is there: files, modules, functions, keys of formats, and the pages themselves."""

import ast
import importlib
import json
import re
import subprocess
import sys

import pytest
import yaml
from docs_helpers import DOCS, ROOT, pages
from omegaconf import OmegaConf

import ganflow
from ganflow.cli.main import main

PAGES = pages()
PLACEHOLDERS = {"ganflow.NAME", "ganflow.ROOM", "ganflow.commands"}
"""Not modules: what a reader fills in, and the group of entry points."""


def test_the_navigation_has_every_page_once():
    def names(entry):
        if isinstance(entry, str):
            return [entry]
        return [name for below in (entry.values() if isinstance(entry, dict) else entry) for name in names(below)]

    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(names(navigation)) == sorted(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    named = set(re.findall(r"(?<![\w/.-])((?:ganflow|plugins|recipes|tests|docs|\.ci)/[\w./-]*\w/?)", PAGES[page]))
    links = {link for link in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", PAGES[page]) if "://" not in link}
    missing = [path for path in named if not (ROOT / path).exists()]
    missing += [link for link in links if not (DOCS / page).parent.joinpath(link).exists()]
    assert not missing


def names_in(path):
    """Functions, classes, methods and module-level names of a file, dotted."""
    found = set()

    def visit(body, above):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(above + node.name)
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{above}{node.name}.")
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(above + target.id for target in targets if isinstance(target, ast.Name))

    visit(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


@pytest.mark.parametrize("page", PAGES)
def test_functions_are_in_the_files_where_they_are_said_to_be(page):
    """Written as `Class.function` in `ganflow/room/file.py`."""
    pairs = re.findall(r"`([\w.]+)` in\s`((?:ganflow|plugins)/[\w/]+\.py)`", PAGES[page])
    assert not [(name, path) for name, path in pairs if name not in names_in(ROOT / path)]


def resolved(dotted):
    """The object, or the module, of this name."""
    found = ganflow
    for name in dotted.split(".")[1:]:
        try:
            found = getattr(found, name)
        except AttributeError:
            found = importlib.import_module(f"{found.__name__}.{name}")
    return found


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"porting.md"}))  # which has names of contract 1
def test_modules_that_are_named_exist(page):
    """`ganflow.name` is public, `ganflow.room.file` a module, or something in one."""
    for dotted in {*re.findall(r"(?<![\w./-])ganflow(?:\.[A-Za-z_]\w*)+", PAGES[page])} - PLACEHOLDERS:
        resolved(dotted)  # what is not there raises


def test_code_on_the_page_of_metrics_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGES["metrics.md"], re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})


RECIPE = """\
name: small
data: {use: gaussians, layout: ring, samples: 100}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4, depth: 1}
critic: {use: mlp, width: 4, depth: 1}
loss: hinge
optimizer: {use: adam}
metrics: [{use: sliced_wasserstein, samples: 16}]
train: {rounds: 2, batch_size: 4, report_every: 2, sample_every: 2, threads: 1, compile: never}
track: {mlflow: false}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    (root / "small.yaml").write_text(RECIPE)
    assert main(["run", str(root / "small.yaml"), "-q", "--runs", str(root / "runs")]) == 0
    return ganflow.find_run("latest", root / "runs")


def rows_of(heading):
    """What stands in the first column of the tables below a heading of formats.md."""
    _, _, rest = PAGES["formats.md"].partition(f"## {heading}\n")
    section = re.split(r"^## ", rest, flags=re.MULTILINE)[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_key_of_run_json_is_described(run):
    assert not json.loads((run.path / "run.json").read_text()).keys() - set(rows_of("run.json"))


def test_every_file_of_a_run_is_described(run):
    there = {f"{path.name}/" if path.is_dir() else path.name for path in run.path.iterdir()}
    assert not there - set(rows_of("The folder of a run"))


def test_every_part_of_a_checkpoint_is_described(run):
    from safetensors import safe_open

    with safe_open(sorted(run.checkpoints.glob("round-*"))[-1], framework="pt") as file:
        names, header = set(file.keys()), file.metadata()
    rows = rows_of("A checkpoint")
    beginnings = tuple(name.removesuffix("…").replace("PART", "generator") for name in rows)
    other = tuple(name.removesuffix("…").replace("PART", "critic") for name in rows)
    assert not [name for name in names if not name.startswith((*beginnings, *other))]
    assert set(header) == {"plain", "digest"}
    within = {"metric", "score", '{"$tensor": NAME}'}
    assert json.loads(header["plain"]).keys() | {"unreported"} == set(rows[rows.index("format") :]) - within


def test_what_the_decision_on_yaml_says_of_other_readers():
    for text, value in {"12:30:00": 45000, "017": 15}.items():
        assert yaml.safe_load(f"a: {text}") == {"a": value}
        assert OmegaConf.create(f"a: {text}") == {"a": value}
    assert yaml.safe_load("a: 5e-5") == {"a": "5e-5"}
    assert yaml.safe_load("{a: 1, a: 2}") == {"a": 2}


@pytest.mark.slow
def test_what_the_decision_on_optimizers_says_of_torch():
    """Where this fails, torch.optim has become cheap to construct: decide again."""
    program = "import sys, torch; torch.optim.Adam([torch.zeros(1, requires_grad=True)]); print('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "True\n"
