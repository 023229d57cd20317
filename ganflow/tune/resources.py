"""What a trial gets of the cluster."""

from __future__ import annotations

from typing import Any

from ganflow.recipe import Tune


def workers(tune: Tune) -> int:
    """Processes that train one trial together: one for each GPU."""
    return max(1, int(tune.resources.get("gpus", 0)))


def bundles(tune: Tune) -> Any:
    """One bundle for the trial, and one for each further worker: a placement group that Tune owns, so that trials with
    several workers wait for all of their places and cannot starve each other."""
    from ray import tune as ray_tune

    cpus, gpus, n = tune.resources.get("cpus", 1), tune.resources.get("gpus", 0), workers(tune)
    one = {"CPU": cpus, "GPU": gpus if n == 1 else 1} if gpus else {"CPU": cpus}
    return ray_tune.PlacementGroupFactory([one] * n)
