"""How many trials run side by side on a large cluster, and what the driver's part of a trial costs.

    python tests/benchmarks/scale.py [--cpus 64] [--trials 1000]      trials that sleep and import no torch
    python tests/benchmarks/scale.py --real --cpus 8 --trials 48      real trials, on so many logical CPUs
    python tests/benchmarks/scale.py --gpus 8 --share 0.5             trials of half a GPU
    python tests/benchmarks/scale.py --nodes [--trials 400]           nodes of 8 CPUs that join, and one that is killed

One machine plays the cluster: its CPUs and GPUs are logical, so trials that sleep show the driver's and Ray's part alone. Printed
are the trials that ran at each tenth of the time, the share of the cluster's room that they filled between the first moment at
which nine tenths of it were and the moment at which the last trial had begun, and CPU seconds of the driver per trial. The room
is that of each moment: nodes may come and go.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from ray import tune

if TYPE_CHECKING:
    from ganflow.sweeps.records import SweepFolder

sys.path.insert(0, str(Path(__file__).parents[1] / "tune"))
sys.path.insert(0, str(Path(__file__).parents[1]))

STEPS = 4
NODE = 8  # CPUs
PAUSE = 15.0  # seconds between nodes that join or are lost
FULL = 0.9  # of the room: from there on the cluster is full
CHANGES = ("train.rounds=400", "train.device=cpu", "tune.retries=9")
PATIENT = ("env", "RAY_health_check_timeout_ms=100000", "RAY_health_check_failure_threshold=50")
"""Words before a head's command. Many processes that start on a few cores keep Ray's node from answering its head, which soon
holds it for dead."""
SLOW = {"RAY_raylet_start_wait_time_s": "200"}
"""Environment of a node that starts while others are busy: Ray gives it 30 s."""


class Sleeper(tune.Trainable):
    """A trial that sleeps. It notes in a file when it begins and ends; its process imports nothing of ganflow's."""

    def setup(self, config: dict[str, Any]) -> None:
        (self.spec,) = json.loads(config["specs"])
        self.step_number, self.began = 0, time.time()

    def step(self) -> dict[str, Any]:
        time.sleep(float(os.environ.get("SLEEP", "0.5")))
        self.step_number += 1
        done = self.step_number == STEPS
        if done:
            with open(Path(self.spec["folder"]).parent / "spans.txt", "a") as file:
                file.write(f"{self.began} {time.time()}\n")
        state = "finished" if done else "running"
        one = {"trial": self.spec["number"], "round": 100 * self.step_number, "state": state, "place": "", "error": ""}
        return {**one, "score": 1.0, "trials": [{**one, "score": 1.0}], "note": "", "done": done}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        pass


def spans_of(folder: Path) -> list[tuple[float, float]]:
    """When trials began and ended, of real ones by their journals."""
    from ganflow.runs.folders import RunFolder
    from ganflow.runs.journal import entries

    if (folder / "spans.txt").exists():
        return [tuple(map(float, line.split())) for line in (folder / "spans.txt").read_text().splitlines()]  # type: ignore[misc]
    times = [[e.time for e in entries(RunFolder(path.parent).journal)] for path in folder.glob("*-t*/run.json")]
    return [(each[0], each[-1]) for each in times if each]


def at_once(spans: list[tuple[float, float]], moment: float) -> int:
    """How many ran at that moment."""
    return sum(begin <= moment <= over for begin, over in spans)


def show(name: str, spans: list[tuple[float, float]], rooms: list[tuple[float, int]], cpu: float, moved: int) -> None:
    """Print how many ran at once, and the driver's cost.

    Args:
        rooms: the cluster's room, from each of these moments on.
        moved: trials that were begun again.
    """
    start, end = min(begin for begin, _ in spans), max(over for _, over in spans)

    def room(moment: float) -> int:
        return max([(since, size) for since, size in rooms if since <= moment], default=rooms[0])[1]

    tenths = [start + (end - start) * (i + 0.5) / 10 for i in range(10)]
    moments = [start + (end - start) * i / 1000 for i in range(1001)]
    full = next((moment for moment in moments if at_once(spans, moment) >= FULL * room(moment)), None)
    last = max(begin for begin, _ in spans)
    shares = [at_once(spans, moment) / room(moment) for moment in moments if (full or start) <= moment <= last]
    print(f"{name}: {len(spans)} trials in {end - start:.0f} s, {moved} of them begun again; at once, of the room then:")
    print("  " + " ".join(f"{at_once(spans, moment)}/{room(moment)}" for moment in tenths))
    cost = f"driver {cpu / len(spans) * 1000:.0f} ms of CPU per trial"
    since = f"full after {full - start:.0f} s, then" if full else "never full,"
    print(f"  {since} filled to {mean(shares or [0]):.0%}; {cost}")


def play(name: str, trials: int, address: str, changes: list[str], rooms: list[tuple[float, int]], real: bool,
         meanwhile: Callable[[SweepFolder], None] | None = None) -> None:  # fmt: skip
    """A sweep from its beginning to its end, in this process.

    Args:
        meanwhile: called with the sweep in a thread.
    """
    from sweep_helpers import recipe

    from ganflow.tune import driver, trial
    from ganflow.tune.plan import begin, make_plan

    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    plan = make_plan(recipe(folder), [*CHANGES, f"tune.trials={trials}", *changes])
    sweep = begin(plan, folder / "runs", "many")
    if not real:
        trial.Trial = Sleeper  # type: ignore[assignment,misc]
    if meanwhile:
        threading.Thread(target=meanwhile, args=[sweep], daemon=True).start()
    before = resource.getrusage(resource.RUSAGE_SELF)
    outcome = driver.go(sweep, plan, address, quiet=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert outcome.status == "finished", outcome
    over = sweep.trials()
    assert len(over) == trials, len(over)
    assert all(t.state == "finished" for t in over.values()), {t.state for t in over.values()}
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    show(name, spans_of(sweep.path), rooms, cpu, sum(t.crashes > 0 for t in over.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpus", type=int, default=64)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--nodes", action="store_true")
    args = parser.parse_args()
    from cluster_helpers import OwnCluster

    options: list[Any] = ["--num-cpus", args.cpus, "--num-gpus", args.gpus]
    with OwnCluster(cpus=0 if args.nodes else args.cpus, before=PATIENT, dashboard=False) as cluster:
        os.environ.update(cluster.environment())
        os.environ["RAY_ADDRESS"] = cluster.head
        changes, name = ["tune.resources={cpus: 1}"], f"{args.cpus} CPUs"
        rooms, meanwhile = [(0.0, args.cpus)], None
        if args.gpus:
            cluster.add(*options)
            changes, rooms = [f"tune.resources={{cpus: 0.1, gpus: {args.share}}}"], [(0.0, int(args.gpus / args.share))]
            name = f"{args.gpus} GPUs by {args.share}"
        if args.nodes:
            name, rooms = "nodes of 8 CPUs: one, two more, one of them killed, another", [(0.0, NODE)]
            cluster.add("--num-cpus", NODE, **SLOW)

            def meanwhile(sweep: SweepFolder) -> None:
                while not any(trial.state == "running" for trial in sweep.trials().values()):
                    time.sleep(0.5)
                for change in (1, 1, -1, 1):
                    time.sleep(PAUSE)
                    if change > 0:
                        cluster.add("--num-cpus", NODE, **SLOW)
                    else:
                        os.killpg(cluster.processes[-1].pid, signal.SIGKILL)
                    rooms.append((time.time(), rooms[-1][1] + change * NODE))

        play(name, args.trials, cluster.head, changes, rooms, args.real, meanwhile)


if __name__ == "__main__":
    main()
