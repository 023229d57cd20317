"""How long the commands take that train nothing: python tests/benchmarks/start_up.py

Wall time of a whole process, median of 9, on an idle machine: `ganflow --help` < 0.2 s, `ganflow check wgan` < 0.6 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {("--help",): 0.2, ("check", "wgan"): 0.6}
REPEATS = 9


def seconds(command: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    bare = [seconds((sys.executable, "-c", "")) for _ in range(REPEATS)]
    print(f"{'python':24} {statistics.median(bare):6.3f} s")
    for arguments, wanted in COMMANDS.items():
        command = (sys.executable, "-m", "ganflow", *arguments)
        seconds(command)  # once for the caches
        times = sorted(seconds(command) for _ in range(REPEATS))
        median = statistics.median(times)
        print(f"{' '.join(('ganflow', *arguments)):24} {median:6.3f} s  ({times[0]:.3f} … {times[-1]:.3f}; wanted < {wanted} s)")


if __name__ == "__main__":
    main()
