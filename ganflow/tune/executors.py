"""Resources and executors of trials: each by itself, or several as one batched computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.util import get_current_placement_group, get_node_ip_address
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ganflow.contract.roles import Executor, TrialRun, TrialSession
from ganflow.engine.build import pick_device
from ganflow.engine.distributed import Group
from ganflow.engine.rendezvous import Lost
from ganflow.engine.state import load_random_state, random_state
from ganflow.errors import GanflowError, PluginError
from ganflow.packed import NotPackable
from ganflow.packed.session import PackSession
from ganflow.recipe import Recipe, Tune, read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.workers import serve

Reported = Sequence[tuple[int, Any]]
_ranks: list[tuple[Any, Any]] = []


def workers(tune: Tune) -> int:
    """Processes that train one trial together: one for each GPU."""
    return max(1, int(tune.resources.get("gpus", 0)))


def bundles(tune: Tune) -> Any:
    """One bundle for the trial, and one for each further worker: a placement group that Tune owns, so that trials with
    several workers wait for all of their resources and cannot starve each other."""
    from ray import tune as ray_tune

    cpus, gpus, n = tune.resources.get("cpus", 1), tune.resources.get("gpus", 0), workers(tune)
    one = {"CPU": cpus, "GPU": gpus if n == 1 else 1} if gpus else {"CPU": cpus}
    return ray_tune.PlacementGroupFactory([one] * n)


class Rank:
    """One worker. It ends with the trial's actor, which owns it."""

    def serve(self, recipe: str, changes: list[str], rank: int, size: int, address: str) -> int:
        """Train along until the run ends; returns the rounds played."""
        return serve(read_recipe(recipe, changes), Group(rank, size, address), trial=True)


def start_workers(recipe: str, changes: list[str], size: int) -> Group:
    """Start ranks 1 … size − 1, one in each further bundle of this actor's placement group; this process is rank 0.

    Args:
        recipe, changes: of the trial, for every rank to read.
    """
    group = Group.host(size, get_node_ip_address())
    reserved = get_current_placement_group()
    assert reserved is not None, "a trial with several workers has a placement group"
    for rank in range(1, size):
        share = reserved.bundle_specs[rank]
        bundle = PlacementGroupSchedulingStrategy(placement_group=reserved, placement_group_bundle_index=rank)
        options: dict[str, Any] = {"num_cpus": share.get("CPU", 0), "num_gpus": share.get("GPU", 0), "max_restarts": 0}
        actor: Any = ray.remote(Rank).options(scheduling_strategy=bundle, **options).remote()
        task = actor.serve.remote(recipe, changes, rank, size, group.address)
        _ranks.append((actor, task))  # an actor that nobody refers to is ended
    return group


def stop_workers() -> None:
    """End the ranks of the trial before."""
    while _ranks:
        actor, _ = _ranks.pop()
        ray.kill(actor)


def executor_of(recipe: Recipe, pack: int) -> Executor:
    """Executor that `tune.executor` names, else one that plays `pack` trials together.

    Raises:
        PluginError: the component's builder returns something else.
    """
    chosen = recipe.parts.get("tune.executor")
    if chosen is None:
        return Packed(pack) if pack > 1 else Alone()
    made = chosen.settings.executor()
    if not isinstance(made, Executor):
        raise PluginError(f"{chosen.component}: its hook 'executor' returned a {type(made).__name__}, not an Executor")
    return made


class Alone(Executor):
    """Trials by themselves, one after the other where there are several."""

    def __init__(self) -> None:
        self._session: TrialSession | None = None
        self._ending = False

    def play(self, trials: Sequence[TrialRun]) -> Iterator[Reported]:
        for i, trial in enumerate(trials):
            if self._ending:
                return
            try:
                self._session = trial.open()
                for step in self._session:
                    yield [(i, step)]
                yield [(i, None)]
            except Lost:  # a worker died: Ray begins the trial again
                raise
            except GanflowError as error:
                yield [(i, error)]

    def finish(self, i: int) -> None:
        assert self._session
        self._session.stop("finished")

    def stop(self, status: str) -> None:
        self._ending = True
        if self._session:
            self._session.stop(status)


class Turns(Executor):
    """Trials side by side in one process, each by itself until its next score, so that what they have in common is known early.
    Every one of them trains as it would alone: the random state changes with the turn. The one furthest behind is the next.

    Args:
        scores: returns true if a step of a trial has a score.
        last: the round of each trial's last score, of trials that go on; else 0.
    """

    def __init__(self, scores: Callable[[Any], bool], last: Sequence[int]) -> None:
        self.scores, self.last = scores, list(last)
        self._sessions: dict[int, TrialSession] = {}
        self._status = ""  # with which all of them are to end

    def play(self, trials: Sequence[TrialRun]) -> Iterator[Reported]:
        turns = {i: self._steps(i, trial) for i, trial in enumerate(trials)}
        randoms: dict[int, Any] = {}
        device = pick_device(trials[0].recipe.train.device)
        while turns:
            i = min(turns, key=lambda i: (self.last[i], i))
            if i in randoms:
                load_random_state(device, *randoms[i])
            try:
                for step in turns[i]:
                    yield [(i, step)]
                    if not self._status and self.scores(step) and step.round > self.last[i]:
                        self.last[i] = step.round
                        break
                else:
                    del turns[i]
                    yield [(i, None)]
            except GanflowError as error:
                del turns[i]
                yield [(i, error)]
            randoms[i] = random_state(device)

    def _steps(self, i: int, trial: TrialRun) -> Iterator[Any]:
        if not self._status:
            self._sessions[i] = trial.open()
            yield from self._sessions[i]

    def finish(self, i: int) -> None:
        self._sessions[i].stop("finished")

    def stop(self, status: str) -> None:
        self._status = status
        for session in self._sessions.values():
            session.stop(status)


class Packed(Executor):
    """Trials that differ in numbers, together; those that cannot be packed one after the other, saying why."""

    def __init__(self, together: int) -> None:
        self.together = together
        self._pack: PackSession | None = None
        self._alone = Alone()

    def play(self, trials: Sequence[TrialRun]) -> Iterator[Reported]:
        for trial in trials:
            trial.wait()
        try:
            self._pack = PackSession([(trial.recipe, RunFolder(trial.folder), trial.about) for trial in trials])
        except NotPackable as reason:
            self.note = f"trials {trials[0].number} to {trials[-1].number} run one after the other: {reason}"
            yield from self._alone.play(trials)
            return
        for reports in self._pack:
            yield list(enumerate(reports))

    def finish(self, i: int) -> None:
        (self._pack or self._alone).finish(i)

    def stop(self, status: str) -> None:
        (self._pack or self._alone).stop(status)
