"""Distributions that are sent to a cluster: the same modules, the same entry points."""

import subprocess
import sys
from importlib.metadata import distribution

import pytest

from ganflow.cluster.submit import copy_distributions
from ganflow.errors import GanflowError


def copied(names, folder):
    copy_distributions(names, folder)
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_ganflow_itself_from_its_source(tmp_path):
    held = copied(["ganflow", "ganflow"], tmp_path)
    version = distribution("ganflow").version
    packages = {point.value.partition(":")[0].partition(".")[0] for point in distribution("ganflow").entry_points}
    assert {"ganflow", "ganflow_wgan", "ganflow_data"} <= packages
    assert {f"{package}/__init__.py" for package in packages} <= held
    assert {"ganflow/cluster/submit.py", f"ganflow-{version}.dist-info/entry_points.txt"} <= held
    assert not [name for name in held if "__pycache__" in name or name.startswith(("tests/", "recipes/", ".git"))]


def test_what_was_installed_is_all_there_without_what_it_depends_on(tmp_path):
    held = copied(["pluggy"], tmp_path)
    installed = {str(path) for path in distribution("pluggy").files if path.parts[0] == "pluggy" and path.suffix != ".pyc"}
    assert installed <= held
    metadata = (tmp_path / f"pluggy-{distribution('pluggy').version}.dist-info" / "METADATA").read_text()
    assert metadata == f"Metadata-Version: 2.1\nName: pluggy\nVersion: {distribution('pluggy').version}\n"


def test_data_files_and_submodules_come_along(workshop, tmp_path):
    site = workshop.install("acme", files={"inner.py": "x = 1"})
    (site / "gf_acme" / "weights").mkdir()
    (site / "gf_acme" / "weights" / "w.bin").write_bytes(b"\0\1")
    (site / "gf_acme" / ".gitignore").write_text("weights\n")  # Ray would leave them out
    (site / "gf_acme" / "__pycache__").mkdir(exist_ok=True)
    (site / "gf_acme" / "__pycache__" / "inner.cpython-311.pyc").write_bytes(b"old")
    held = {name for name in copied(["gf-acme"], tmp_path / "sent") if name.startswith("gf_acme/")}
    assert held == {"gf_acme/__init__.py", "gf_acme/inner.py", "gf_acme/weights/w.bin"}
    assert (tmp_path / "sent" / "gf_acme" / "weights" / "w.bin").read_bytes() == b"\0\1"


def test_an_editable_install_brings_what_was_imported_from_its_folder(workshop, tmp_path, monkeypatch):
    """A second top-level package, which no entry point names."""
    source = tmp_path / "project"
    (source / "acme_core").mkdir(parents=True)
    (source / "acme_core" / "__init__.py").write_text("core = True\n")
    (source / "unused").mkdir()
    (source / "unused" / "__init__.py").write_text("")
    site = workshop.install("acme", "import acme_core\n")
    (site / "gf_acme-1.0.dist-info" / "RECORD").write_text("gf_acme.pth,,\n")
    (site / "gf_acme-1.0.dist-info" / "direct_url.json").write_text(
        f'{{"url": "{source.as_uri()}", "dir_info": {{"editable": true}}}}'
    )
    monkeypatch.syspath_prepend(source)
    workshop.modules.add("acme_core")
    workshop.catalogue()
    held = copied(["gf-acme"], tmp_path / "sent")
    assert {"gf_acme/__init__.py", "acme_core/__init__.py"} <= held
    assert not [name for name in held if name.startswith("unused")]


def test_what_is_not_installed(tmp_path, workshop):
    with pytest.raises(GanflowError, match="gf-none cannot be sent to the cluster: it is not installed as a package here"):
        copy_distributions(["gf-none"], tmp_path)
    workshop.install("acme", entry="gf_nowhere")
    with pytest.raises(GanflowError, match="gf-acme cannot be sent to the cluster: none of its modules are found here"):
        copy_distributions(["gf-acme"], tmp_path)


SEEN = """
import importlib.util
from importlib.metadata import entry_points, version
print(sorted((e.name, e.value) for e in entry_points(group="ganflow")), version("gf-acme"))
print(importlib.util.find_spec("gf_acme").origin)
"""


def test_on_a_search_path_the_entry_points_are_seen(tmp_path, workshop):
    workshop.install("acme")
    copy_distributions(["ganflow", "gf-acme"], tmp_path / "sent")
    env = {"PYTHONPATH": str(tmp_path / "sent")}
    seen = subprocess.run([sys.executable, "-S", "-P", "-c", SEEN], check=True, capture_output=True, text=True, env=env).stdout
    assert "('acme', 'gf_acme')" in seen
    assert "('wgan', 'ganflow_wgan')" in seen
    assert "] 1.0\n" in seen
    assert seen.splitlines()[-1].startswith(str(tmp_path / "sent"))
