"""Runner of one-line faults: do the quick tests notice?

    python tests/faults/run.py                   # every list beside this file
    python tests/faults/run.py game tracking     # some areas
    python tests/faults/run.py game --only clamp # faults whose file, text or note holds a word
    python tests/faults/run.py --check           # every fault is found once, its tests exist: seconds, runs none

A list is a TOML file beside this one, named after its area, with one table for a fault:

    [[fault]]
    file = "ganflow/game/player.py"
    old = "scale.clamp(max=1.0)"          # must occur exactly once in the file; '''…''' may hold several lines
    new = "scale"
    tests = ["tests/game/test_player.py"] # quick test files (or pytest node ids) that should notice
    note = "short gradients are lengthened"

The tree is copied to a temporary folder; there one fault at a time is planted, its tests are run with `-x -q`, and the text is
restored. All the tests must pass without a fault first, as else "caught" would mean nothing. A fault whose tests do not end by
the time limit is "endless" and not caught: a red test must end. Not part of .ci/run: minutes to an hour.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from shutil import copy2

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CAUGHT = {1: "caught", 2: "caught"}  # pytest: a test failed, a test file could not be imported


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
        missing = [test for test in self.tests if not (ROOT / test.partition("::")[0]).exists()]
        return f"no such test: {', '.join(missing)}" if missing or not self.tests else None


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
    return into


def pytest_on(tree: Path, tests: list[str], limit: float | None, *, cached: bool) -> tuple[int | None, str]:
    """pytest's exit code (None when the time limit came first) and the end of its output."""
    path = os.pathsep.join([str(tree), str(tree / "plugins")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    if not cached:  # a planted file must leave no byte code behind
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
    folder = tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True)
    with folder as base, tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(
            [*command, "--basetemp", f"{base}/tests"],
            cwd=tree, env=environment, start_new_session=True, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            code = child.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        output.seek(0)
        return code, output.read()


def plant(tree: Path, fault: Fault, limit: float) -> str:
    """Outcome of one fault: caught, survived, endless or broken (its tests could not be run)."""
    file = tree / fault.file
    text, times = file.read_text(encoding="utf-8"), file.stat()
    file.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
    try:
        code, _ = pytest_on(tree, list(fault.tests), limit, cached=False)
    finally:
        file.write_text(text, encoding="utf-8")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    if code is None:
        return "endless"
    return "survived" if code == 0 else CAUGHT.get(code, "broken")


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
        tree = copied(Path(folder))
        code, output = pytest_on(tree, sorted({test for fault in chosen for test in fault.tests}), None, cached=True)
        if code != 0:
            print(output[-3000:], "\nThe tests do not pass without a fault: mend them first.", sep="")
            return 1
        for number, fault in enumerate(chosen, 1):
            began = time.monotonic()
            outcomes[fault.area].append(outcome := plant(tree, fault, options.limit))
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
