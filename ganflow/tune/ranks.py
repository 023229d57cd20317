"""The further workers of a trial with more than one GPU: actors in the bundles that Tune reserved for the trial."""

from __future__ import annotations

from typing import Any

import ray
from ray.util import get_current_placement_group, get_node_ip_address
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ganflow.recipe import read_recipe
from ganflow.runner.workers import Group, serve


class Rank:
    """One worker. It ends with the trial's actor, which owns it."""

    def serve(self, recipe: str, changes: list[str], rank: int, size: int, address: str) -> int:
        """Play along until the run ends; returns the rounds played."""
        return serve(read_recipe(recipe, changes), Group(rank, size, address))


def hire(recipe: str, changes: list[str], size: int) -> Group:
    """Start ranks 1 … size − 1, one in each further bundle of this actor's placement group; this process is rank 0.

    Args:
        recipe, changes: of the trial, for every rank to read.
    """
    group = Group.host(size, get_node_ip_address())
    reserved = get_current_placement_group()
    assert reserved is not None, "a trial with several workers has a placement group"
    for rank in range(1, size):
        share = reserved.bundle_specs[rank]
        place = PlacementGroupSchedulingStrategy(placement_group=reserved, placement_group_bundle_index=rank)
        options: dict[str, Any] = {"num_cpus": share.get("CPU", 0), "num_gpus": share.get("GPU", 0), "max_restarts": 0}
        actor: Any = ray.remote(Rank).options(scheduling_strategy=place, **options).remote()
        task = actor.serve.remote(recipe, changes, rank, size, group.address)
        _ranks.append((actor, task))  # an actor that nobody refers to is ended
    return group


_ranks: list[tuple[Any, Any]] = []


def dismiss() -> None:
    """End the ranks of the trial before."""
    while _ranks:
        actor, _ = _ranks.pop()
        ray.kill(actor)
