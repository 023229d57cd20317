"""When a further trial is proposed, and which one has the process that became free."""

from dataclasses import dataclass

import pytest
from ray.tune.experiment import Trial

from ganflow.tune import schedulers as module
from ganflow.tune.schedulers import InTurn, Room


@dataclass
class OfRay:
    status: str

    def is_finished(self):
        return self.status in (Trial.TERMINATED, Trial.ERROR)


class Controller:
    def __init__(self, trials):
        self.get_trials = lambda: trials


@pytest.fixture
def room(monkeypatch):
    """A step of Ray's that finds these trials and placement groups; returns how many proposals it admits."""

    def step(trials, groups, ahead=1):
        room = Room(ahead)
        monkeypatch.setattr(module, "states", lambda: groups)
        monkeypatch.setattr(module, "SHARE", 1e9)  # ask each time
        found = [OfRay(status) for status in trials]
        room.on_step_begin(0, found)
        admitted = next(n for n in range(999) if not room.admits())
        chosen = InTurn(room).choose_trial_to_run(Controller(found))
        return admitted, None if chosen is None else next(i for i, trial in enumerate(found) if trial is chosen)

    return step


R, P, PAUSED, OVER, FAILED = Trial.RUNNING, Trial.PENDING, Trial.PAUSED, Trial.TERMINATED, Trial.ERROR
HELD, WAITS, GONE, MOVED = "CREATED", "PENDING", "REMOVED", "RESCHEDULING"


@pytest.mark.parametrize(
    ("trials", "groups", "admitted", "chosen"),
    [
        ([], [], 1, None),  # Ray asks until it gets one
        ([OVER, FAILED], [GONE, HELD], 1, None),  # the same, beside a process that became free
        ([P], [HELD], 1, None),  # its process is starting: there may be room for another
        ([P], [WAITS], 0, 0),
        ([R, P], [HELD, HELD], 1, None),
        ([R, P, P], [HELD, HELD, WAITS], 0, 2),  # the second one's process is starting
        ([OVER, P, P], [HELD, HELD, WAITS], 0, 2),  # the first one's process became free: for the third
        ([R, R, P], [HELD, HELD, WAITS, GONE, GONE], 0, 2),
        ([R, R], [HELD, HELD, GONE], 1, None),
        ([P, P, R], [HELD], 0, 0),  # two were lost with their node, and have not asked again
        ([R, P, P], [HELD, MOVED, MOVED], 0, 1),
        ([R, P], [HELD], 0, 1),  # one that is to be retried
        ([PAUSED, R], [HELD], 1, None),  # it has no process
    ],
)
def test_at_most_one_trial_waits_for_resources_and_it_is_the_next(room, trials, groups, admitted, chosen):
    assert room(trials, groups) == (admitted, chosen)


def test_where_an_autoscaler_is_to_see_them_more_may_wait(room):
    assert room([R, P, P, P], [HELD, HELD, WAITS, WAITS], ahead=5) == (3, 2)


def test_the_cluster_is_not_asked_all_the_time(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "states", lambda: asked.append(1) or [HELD])
    monkeypatch.setattr(module, "SHARE", 1e-12)  # the next answer would be due in a year
    room = Room()
    for _ in range(3):
        room.on_step_begin(0, [OfRay(R)])
    assert len(asked) == 1
    assert not room.admits()  # what was free then may be taken
