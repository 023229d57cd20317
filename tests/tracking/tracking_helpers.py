"""What the tests of tracking do to a run's folder, and ask of a store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import Image

from ganflow.runs import folders
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import Journal
from ganflow.tracking.sync import SyncResult, sync

TINY = """\
data: {use: gaussians, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4}
critic: {use: mlp, width: 4}
loss: wasserstein
optimizer: rmsprop
train: {rounds: 2, batch_size: 8, sample_every: 100, compile: never}
"""
SEARCHED = f"""\
{TINY}metrics: [sliced_wasserstein]
tune: {{space: {{optimizer.lr: {{loguniform: [1e-4, 1e-2]}}}}, trials: 2}}
"""
"""The same, with a metric and a section `tune`."""


def report(folder: RunFolder, first: int, last: int) -> None:
    """Points of one metric, whose value is its round."""
    journal = Journal(folder.journal)
    for round in range(first, last + 1):
        journal.append(round, {"critic/loss": float(round)})
    journal.close()


def draw(folder: RunFolder, round: int) -> None:
    Image.new("RGB", (8, 8), (round % 256, 0, 0)).save(folder.samples / f"round-{round:08d}.png")


def history(uri: str, run_id: str, metric: str = "critic/loss") -> list[tuple[int, float]]:
    """Every point that the store has, duplicates too, in the order of rounds."""
    from ganflow.tracking import store

    return sorted((m.step, m.value) for m in store.client(uri).get_metric_history(run_id, metric))


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for something to happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def followed(folder: RunFolder) -> Iterator[list[SyncResult]]:
    """A run or a sweep, going on and followed, until the block ends."""
    over, results = threading.Event(), list[SyncResult]()
    target = lambda: results.append(sync(folder, follow=True, over=over, every=0.05))  # noqa: E731
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    try:
        with folders.locked(folder):
            yield results
    finally:  # an assertion that failed, too, ends it: nobody trains any more
        over.set()
        thread.join(60)
    assert not thread.is_alive()
