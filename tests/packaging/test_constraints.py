"""constraints.txt: one version for each package that the README's commands install, and nothing of one machine."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
PINS = {canonicalize_name(name): Version(version) for name, _, version in (line.partition("==") for line in LINES)}
ACCELERATOR = re.compile(r"(nvidia|cuda|triton|intel|pytorch-triton)\b.*")


def test_plain_pins_only():
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9a-z.]*", line)] == []
    assert len(PINS) == len(LINES)
    assert sorted(LINES, key=str.lower) == LINES
    assert not [name for name in PINS if ACCELERATOR.fullmatch(name)]
    assert PINS["torch"] == Version("2.13.0")


def test_what_the_project_asks_for_is_pinned_to_a_version_that_it_takes():
    extras = PROJECT["optional-dependencies"]
    wanted = [Requirement(r) for r in PROJECT["dependencies"] + extras["test"] + extras["docs"]]
    others = [r for r in wanted if r.name != "ganflow"]  # whose extra `test` has its extra `docs`
    assert [str(r) for r in others if not r.specifier.contains(PINS[canonicalize_name(r.name)])] == []


def test_a_next_major_version_is_not_taken_unseen():
    extras = PROJECT["optional-dependencies"]
    wanted = [Requirement(r) for r in PROJECT["dependencies"] + [text for extra in extras.values() for text in extra]]
    assert [str(r) for r in wanted if r.name != "ganflow" and not any(part.operator == "<" for part in r.specifier)] == []


def needed(distribution, extras, found):
    """The names of all that a distribution brings here, itself included."""
    name = canonicalize_name(distribution)
    if (name, extras) in found:
        return
    found.add((name, extras))
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            needed(requirement.name, frozenset(requirement.extras), found)


def test_everything_that_is_installed_is_pinned():
    found: set = set()
    needed("ganflow", frozenset({"test"}), found)
    names = {name for name, _ in found} - {"ganflow"}
    assert len(names) > 100
    assert sorted(name for name in names if name not in PINS and not ACCELERATOR.fullmatch(name)) == []
