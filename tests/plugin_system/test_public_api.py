"""The public API: the names that a plugin imports from ganflow, and that plugins import nothing else of it."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import ganflow

ROOT = Path(ganflow.__file__).parents[1]
PUBLIC = {
    "AddedTerms", "Batch", "COLOURS", "CONTRACT", "ComparedRuns", "Data", "ENCODER_FILE", "Elementwise", "Examples", "Executor",
    "FAINT", "Field", "Game", "GanflowError", "IMAGE_ENDINGS", "IMAGE_ERRORS", "IMAGE_RANGE", "INK", "IterableData", "Loss",
    "MOST_TILES", "Metric", "NothingLeft", "Original", "Pictures", "Preview", "Prior", "ReadExamples", "Report", "RunFolder",
    "ScoreLoss", "SettingsError", "Signature", "SlopePenalty", "Step", "StoredExamples", "StreamData", "Sweep", "TensorData",
    "Terms", "TextEncoder", "TrackedRun", "Tracker", "TrainedRun", "TrialRun", "TrialSession", "UnknownRange", "Unreadable",
    "__version__", "add_axes", "add_run_arguments", "build_part", "check_inner", "check_output_path", "check_room", "class_field",
    "coloured_images", "compare", "data_of_run", "estimate_norm_statistics", "evaluating", "facts_of", "figure_image",
    "find_run", "fork_rng", "hookimpl", "image_error_text", "image_grid", "image_pairs", "image_sheet", "image_tensor",
    "in_threads", "is_grey", "key", "latent_map", "load", "load_encoder", "load_game", "load_sweep", "mixes_examples",
    "new_figure", "one_hot", "open_game", "open_image", "open_regular", "part", "picture_of", "play", "print_lines",
    "print_written", "range_advice", "read_image", "real_examples", "replacing_file", "resolved_recipe", "resume",
    "resume_sweep", "run", "run_seeds", "save_png", "settings", "shown_path", "shuffled", "spread_indices", "sweep",
    "to_eight_bits", "user_path", "whole_number", "write_output",
}  # fmt: skip
"""Frozen: a name that leaves this list breaks plugins, one that joins it must be kept."""


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def test_the_public_names_are_these():
    assert sorted(ganflow.__all__) == sorted(PUBLIC)
    assert not PUBLIC - set(dir(ganflow))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_name_is_there_and_never_a_submodule(name):
    assert getattr(ganflow, name) is not None
    if name != "settings":  # imported with ganflow itself, after its module, whose name it then has
        assert name not in {module.name for module in pkgutil.iter_modules(ganflow.__path__)}
    assert not isinstance(getattr(ganflow, name), type(ganflow))


def test_type_checkers_see_what_is_imported_lazily():
    body = tree_of(Path(ganflow.__file__)).body
    block = next(node for node in body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    for node in block.body:
        for alias in node.names:
            assert getattr(importlib.import_module(node.module), alias.name) is getattr(ganflow, alias.name)
    seen = {alias.name for node in block.body for alias in node.names}
    eager = {"CONTRACT", "__version__", "hookimpl", "key", "part", "settings"}
    assert seen | eager == PUBLIC
    assert not seen & eager


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'ganflow' has no attribute 'Lossy'"):
        _ = ganflow.Lossy
    with pytest.raises(ImportError, match="cannot import name 'Lossy'"):
        exec("from ganflow import Lossy")


def test_ganflow_alone_imports_next_to_nothing():
    program = "import sys, ganflow; print({m.partition('.')[0] for m in sys.modules} & {'torch', 'numpy', 'yaml', 'PIL', 'rich'})"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"


def imports_of(tree):
    """(line, module or module.name) of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_plugins_import_public_names_only():
    """Under TYPE_CHECKING and in functions, too."""
    allowed = {"ganflow", *(f"ganflow.{name}" for name in PUBLIC)}
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / "plugins").rglob("*.py"))
        for line, name in imports_of(tree_of(path))
        if name.partition(".")[0] == "ganflow" and name not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_ganflow_itself_does_not_import_its_face():
    """Only plugins do, and the file that MLflow copies into a model: other modules would be in a circle with it."""
    submodules = {module.name for module in pkgutil.iter_modules(ganflow.__path__)} - {"settings"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / "ganflow").rglob("*.py"))
        if path != ROOT / "ganflow" / "export" / "serving.py"
        for line, name in imports_of(tree_of(path))
        if name == "ganflow" or (name.count(".") == 1 and name.startswith("ganflow.") and name[8:] not in submodules)
    ]
    assert not wrong, "\n".join(wrong)
