"""Wheels of what is installed: the same modules, the same entry points."""

import csv
import hashlib
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from importlib.metadata import distribution

import pytest

from ganflow.errors import GanflowError
from ganflow.tune.submit import build_wheels


def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_ganflow_itself_from_its_source(tmp_path):
    (wheel,) = build_wheels(["ganflow", "ganflow"], tmp_path)
    held = names(wheel)
    version = distribution("ganflow").version
    packages = {point.value.partition(":")[0].partition(".")[0] for point in distribution("ganflow").entry_points}
    assert {"ganflow", "ganflow_wgan", "ganflow_data"} <= packages
    assert {f"{package}/__init__.py" for package in packages} <= held
    assert {"ganflow/tune/submit.py", f"ganflow-{version}.dist-info/entry_points.txt"} <= held
    assert not [name for name in held if "__pycache__" in name or name.startswith(("tests/", "recipes/", ".git"))]
    assert wheel.name.startswith(f"ganflow-{version}-0")
    assert wheel.name.endswith("-py3-none-any.whl")


def test_record_is_right(tmp_path):
    (wheel,) = build_wheels(["pluggy"], tmp_path)
    info = f"pluggy-{distribution('pluggy').version}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        lines = list(csv.reader(archive.read(f"{info}/RECORD").decode().splitlines()))
        assert [path for path, *_ in lines] == archive.namelist()
        assert lines[-1] == [f"{info}/RECORD", "", ""]
        for path, digest, size in lines[:-1]:
            content = archive.read(path)
            assert int(size) == len(content)
            assert digest == "sha256=" + urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        installed = {str(path) for path in distribution("pluggy").files if path.parts[0] == "pluggy" and path.suffix != ".pyc"}
        assert installed <= set(archive.namelist())
        assert b"Requires" not in archive.read(f"{info}/METADATA")  # pip would fetch torch for ganflow


def test_compiled_code_keeps_its_tags(tmp_path):
    (wheel,) = build_wheels(["numpy"], tmp_path)
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert f"-{python}-{python}-" in wheel.name
    assert any(name.endswith(".so") for name in names(wheel))


def test_the_name_changes_with_the_files_and_with_nothing_else(workshop, tmp_path):
    site = workshop.install("acme")
    first, again = (build_wheels(["gf-acme"], tmp_path / folder)[0] for folder in "ab")
    assert first.name == again.name
    assert first.read_bytes() == again.read_bytes()
    with (site / "gf_acme" / "__init__.py").open("a") as module:
        module.write("# changed\n")
    (changed,) = build_wheels(["gf-acme"], tmp_path)
    assert changed.name != first.name
    assert changed.name.split("-")[:2] == first.name.split("-")[:2] == ["gf_acme", "1.0"]


def test_data_files_and_submodules_come_along(workshop, tmp_path):
    site = workshop.install("acme", files={"inner.py": "x = 1"})
    (site / "gf_acme" / "weights").mkdir()
    (site / "gf_acme" / "weights" / "w.bin").write_bytes(b"\0\1")
    (site / "gf_acme" / "__pycache__").mkdir(exist_ok=True)
    (site / "gf_acme" / "__pycache__" / "inner.cpython-311.pyc").write_bytes(b"old")
    (wheel,) = build_wheels(["gf-acme"], tmp_path)
    held = {name for name in names(wheel) if name.startswith("gf_acme/")}
    assert held == {"gf_acme/__init__.py", "gf_acme/inner.py", "gf_acme/weights/w.bin"}


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
    held = names(build_wheels(["gf-acme"], tmp_path)[0])
    assert {"gf_acme/__init__.py", "acme_core/__init__.py"} <= held
    assert not [name for name in held if name.startswith("unused")]


def test_what_is_not_installed(tmp_path, workshop):
    with pytest.raises(GanflowError, match="gf-none cannot be sent to the cluster: it is not installed as a package here"):
        build_wheels(["gf-none"], tmp_path)
    workshop.install("acme", entry="gf_nowhere")
    with pytest.raises(GanflowError, match="gf-acme cannot be sent to the cluster: none of its modules are found here"):
        build_wheels(["gf-acme"], tmp_path)


SEEN = "from importlib.metadata import entry_points; print(sorted((e.name, e.value) for e in entry_points(group='ganflow')))"


@pytest.mark.slow
def test_installed_without_what_it_depends_on_the_entry_points_are_seen(tmp_path, workshop):
    workshop.install("acme")
    wheels = build_wheels(["ganflow", "gf-acme"], tmp_path / "wheels")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--no-index", "--disable-pip-version-check"]  # as Ray does, with dependencies
    subprocess.run([*pip, *wheels], check=True, cwd=tmp_path)
    subprocess.run([python, "-m", "pip", "check", "--disable-pip-version-check"], check=True, capture_output=True, cwd=tmp_path)
    seen = subprocess.run([python, "-c", SEEN], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert "('acme', 'gf_acme')" in seen
    assert "('wgan', 'ganflow_wgan')" in seen
    where = "import importlib.util; print(importlib.util.find_spec('gf_acme').origin)"
    found = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert found.startswith(str(tmp_path / "venv"))
