"""Runner of one-line faults: do the quick tests notice?

    python tests/faults/run.py                   # every list beside this file
    python tests/faults/run.py game tracking     # some areas
    python tests/faults/run.py game --only clamp # faults whose file, text or note holds a word
    python tests/faults/run.py --check           # every fault is found once, its tests exist: seconds, runs none

A list is a TOML file beside this one, named after its area, with one table for a fault:

    [[fault]]
    file = "ganflow/engine/player.py"
    old = "scale.clamp(max=1.0)"          # must occur exactly once in the file; '''…''' may hold several lines
    new = "scale"
    tests = ["tests/engine/test_player.py"] # quick test files (or pytest node ids) that should notice
    note = "short gradients are lengthened"

The tree is copied to a temporary folder; there one fault at a time is planted, its tests are run with `-x -q`, and the text is
restored. What caught a fault must pass without it, as else "caught" would mean nothing. A fault whose tests do not end by the
time limit is "endless" and not caught: a red test must end. Not part of .ci/run: minutes to an hour.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import compileall
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from shutil import copy2
from typing import NoReturn

import numpy  # noqa: F401  (imported once, for all forks)
import pytest
import torch  # noqa: F401

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Fault:
    area: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    note: str

    @property
    def problem(self) -> str | None:
        """Reason why this fault cannot be planted, if there is one."""
        if not (ROOT / self.file).is_file():
            return "no such file"
        text = (ROOT / self.file).read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            return f"the text occurs {count} times"
        if self.old == self.new:
            return "nothing is changed"
        try:
            if self.file.endswith(".py"):
                compile(text.replace(self.old, self.new), self.file, "exec")
        except SyntaxError as error:
            return f"not Python once planted ({error.msg})"
        missing = [test for test in self.tests if not _exists(test)]
        return f"no such test: {', '.join(missing)}" if missing or not self.tests else None


def _exists(test: str) -> bool:
    """True for a file, and for a node id whose last function or class is defined in its file."""
    path, _, node = test.partition("::")
    name = node.partition("[")[0].rpartition("::")[2]
    if not name:
        return (ROOT / path).exists()
    return (ROOT / path).is_file() and re.search(rf"^ *(def|class) {name}\b", (ROOT / path).read_text("utf-8"), re.M) is not None


def faults(areas: list[str], only: str) -> list[Fault]:
    """Faults of some areas, or of all."""
    found = []
    for path in [HERE / f"{area}.toml" for area in areas] or sorted(HERE.glob("*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["fault"]:
            fault = Fault(path.stem, entry["file"], entry["old"], entry["new"], tuple(entry["tests"]), entry.get("note", ""))
            if only in f"{fault.file} {fault.old} {fault.note}":
                found.append(fault)
    return found


def copied(into: Path) -> Path:
    """Copy of the working tree: tracked files and new ones, none that git ignores."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in filter(None, subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            copy2(ROOT / name, into / name)
    compileall.compile_dir(into, quiet=2)
    return into


def pytest_on(tree: Path, tests: Sequence[str], limit: float) -> tuple[int | None, str]:
    """pytest's exit code (None when the time limit came first) and its output. By a fork of this process, which has imported
    torch: that is most of what a quick test costs."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as base:
        output = Path(base, "output")
        child = os.fork()
        if not child:
            _become_pytest(tree, [*tests, "--basetemp", f"{base}/tests"], output)
        code, until = None, time.monotonic() + limit
        while code is None and time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if ended else None
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if code is None:
            os.waitpid(child, 0)
        return code, output.read_text(encoding="utf-8", errors="replace")


def _become_pytest(tree: Path, arguments: list[str], output: Path) -> NoReturn:
    """Run pytest on the copied tree in this process, and end it."""
    os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    for standard in (1, 2):
        os.dup2(file, standard)
    os.chdir(tree)
    paths = [str(tree), str(tree / "plugins")]
    os.environ.update(PYTHONPATH=os.pathsep.join(paths), PYTHONDONTWRITEBYTECODE="1")  # no byte code of a planted file is left
    sys.dont_write_bytecode = True
    sys.path[:1] = paths
    code = 3
    try:
        code = int(pytest.main(["-n", "0", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *arguments]))
    finally:
        sys.stdout.flush()
        os._exit(code)


class Runner:
    """Outcomes of faults in a copy of the tree."""

    def __init__(self, tree: Path, limit: float) -> None:
        self.tree, self.limit = tree, limit
        self.sound: dict[str, bool] = {}  # tests that were seen to pass without a fault

    def plant(self, fault: Fault) -> str:
        """Outcome of one fault: caught, survived, endless (its tests do not end), or broken (they fail without it, too)."""
        file = self.tree / fault.file
        text, times = file.read_text(encoding="utf-8"), file.stat()
        file.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        try:
            code, _ = pytest_on(self.tree, fault.tests, self.limit)
        finally:
            file.write_text(text, encoding="utf-8")
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # its byte code is good again
        if code == 0:
            self.sound.update(dict.fromkeys(fault.tests, True))
            return "survived"
        return "broken" if not all(map(self.passes, fault.tests)) else "endless" if code is None else "caught"

    def passes(self, test: str) -> bool:
        """A test's verdict without a fault."""
        if test not in self.sound:
            code, output = pytest_on(self.tree, [test], 10 * self.limit)
            self.sound[test] = code == 0
            if code != 0:
                print(output[-3000:], f"{test} does not pass without a fault: mend it first.", sep="\n")
        return self.sound[test]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="*")
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--limit", type=float, default=180, metavar="SECONDS", help="for the tests of one fault")
    options = parser.parse_args()
    chosen = faults(options.areas, options.only)
    for fault in (stale := [fault for fault in chosen if fault.problem]):
        print(f"{fault.area}: {fault.file}: {fault.problem}: {fault.old!r}")
    if stale or options.check:
        print(f"{len(chosen)} faults, {len(stale)} to mend")
        return 1 if stale else 0
    outcomes: dict[str, list[str]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="faults-tree-") as folder:
        runner = Runner(copied(Path(folder)), options.limit)
        for number, fault in enumerate(chosen, 1):
            began = time.monotonic()
            outcomes[fault.area].append(outcome := runner.plant(fault))
            line = " ".join(fault.old.split())[:70]
            print(f"{number:3d}/{len(chosen)} {outcome:8s} {time.monotonic() - began:4.0f} s  {fault.area}  {fault.file}: {line}"
                  f"{f'  ({fault.note})' if fault.note else ''}", flush=True)
    outcomes["all"] = list(chain.from_iterable(outcomes.values()))
    for area, those in outcomes.items():
        caught = those.count("caught")
        print(f"{area:10s} {caught} of {len(those)} caught ({100 * caught / max(1, len(those)):.0f} %)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
