"""Whether a cluster can be joined, by what is found out about it; no cluster needed."""

import importlib.util
import platform

import pytest
import ray

from ganflow.errors import GanflowError
from ganflow.tune import cluster
from ganflow.tune.cluster import check_cluster

HERE = {"address": "h:6379", "ray": ray.__version__, "python": platform.python_version(), "member": True}


@pytest.fixture
def found(monkeypatch):
    """found(…) → what is said of a cluster of which this was found out; the addresses at which a port was tried."""
    tried = []
    monkeypatch.setattr(cluster, "_answers", tried.append)

    def check(address="h:6379", **what):
        monkeypatch.setattr(cluster, "_probe", lambda address: {**HERE, **what})
        return check_cluster(address)

    check.tried = tried
    return check


def test_one_that_can(found):
    assert found() == HERE
    assert found.tried == ["h:6379"]
    assert found("auto")["address"] == "h:6379"
    assert len(found.tried) == 1  # there is no port to try
    assert found(ray=None, python=None)  # it does not say


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"fault": "nobody"}, "no Ray cluster runs on this machine"),
        ({"fault": "silent"}, "what answers at h:6379 is not the head of a Ray cluster"),
        ({"fault": "no token"}, "there is no token for the Ray cluster at h:6379; set RAY_AUTH_TOKEN"),
        ({"fault": "mode"}, "h:6379 asks for a token"),
        ({"fault": "token"}, "h:6379 does not accept the token"),
        ({"ray": "1.0"}, "h:6379 has Ray 1.0, and this machine has "),
        ({"python": "2.7"}, "h:6379 has Python 2.7, and this machine has "),
        ({"member": False}, "make it one with: ray start --address=h:6379, or submit a job with: --address http://h:8265"),
    ],
)
def test_one_that_cannot(found, what, said):
    with pytest.raises(GanflowError) as caught:
        found(**what)
    assert said in str(caught.value)


@pytest.mark.parametrize(("printed", "fault"), [("log\n{\"ray\": 1}\n", None), ("", "silent"), ("no JSON\n", "silent")])
def test_what_the_process_prints(monkeypatch, printed, fault):
    monkeypatch.setattr(cluster.child, "output", lambda command, timeout: printed)
    assert cluster._probe("h:1").get("fault") == fault


def test_the_process_is_one_that_can_be_started(monkeypatch):
    started = []
    monkeypatch.setattr(cluster.child, "output", lambda command, timeout: started.append(command) or "{}")
    cluster._probe("h:1")
    ((flag, module, address),) = started
    assert (flag, address) == ("-m", "h:1")
    assert importlib.util.find_spec(module)
