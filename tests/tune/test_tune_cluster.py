"""Whether a cluster can be joined, by what is found out about it; no cluster needed."""

import importlib.util
import platform

import pytest
import ray

from ganflow.cluster import address as cluster
from ganflow.cluster.address import check_cluster
from ganflow.errors import GanflowError

HERE = {"address": "h:6379", "ray": ray.__version__, "python": platform.python_version(), "member": True, "owner": ""}


@pytest.fixture
def found(monkeypatch):
    """found(…) → what is said of a cluster of which this was found out; the addresses at which a port was tried."""
    tried = []
    monkeypatch.setattr(cluster, "_answers", tried.append)

    def check(**what):
        monkeypatch.setattr(cluster, "_probe", lambda address: {**HERE, **what})
        return check_cluster("h:6379")

    check.tried = tried
    return check


@pytest.fixture
def auto(monkeypatch):
    """auto({address: what was found out about it}) → what `--address auto` finds where they run on this machine."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cluster.compat, "use_token", lambda: None)
    monkeypatch.setattr(cluster, "_answers", lambda address: None)

    def find(there, sockets=None):
        monkeypatch.setattr(cluster, "_listed", lambda: sockets or [(head, "/x/ray/s/sockets/raylet") for head in there])
        monkeypatch.setattr(cluster, "_probe", lambda address: {**HERE, "address": address, **there[address]})
        return check_cluster("auto")

    return find


def test_one_that_can(found):
    assert found() == HERE
    assert found.tried == ["h:6379"]
    assert found(ray=None, python=None)  # it does not say


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"fault": "silent"}, "what answers at h:6379 is not the head of a Ray cluster"),
        ({"fault": "no token"}, "there is no token for the Ray cluster at h:6379; set RAY_AUTH_TOKEN"),
        ({"fault": "mode"}, "h:6379 asks for a token"),
        ({"fault": "token"}, "h:6379 does not accept the token"),
        ({"ray": "1.0"}, "h:6379 has Ray 1.0, and this machine has "),
        ({"python": "2.7"}, "h:6379 has Python 2.7, and this machine has "),
        ({"owner": "ann"}, "h:6379 is of the user ann, whose files let nobody else in; run as ann, or "),
        ({"member": False}, "make it one with: ray start --address=h:6379, or submit a job with: --address http://h:8265"),
    ],
)
def test_one_that_cannot(found, what, said):
    with pytest.raises(GanflowError) as caught:
        found(**what)
    assert said in str(caught.value)


def test_auto_without_a_cluster(auto):
    with pytest.raises(GanflowError) as caught:
        auto({})
    said = "--address auto: no Ray cluster runs on this machine; start one with: ray start --head, or use --address local"
    assert str(caught.value) == said


def test_auto_takes_the_one_that_can_be_entered(auto):
    there = {"h:1": {"fault": "token"}, "h:2": {}, "h:3": {"member": False}}
    assert auto(there)["address"] == "h:2"
    two_nodes = [("h:2", "/a/raylet"), ("h:2", "/b/raylet"), ("h:1", "/c/raylet")]
    assert auto(there, two_nodes)["address"] == "h:2"  # a cluster with two nodes on this machine is one


def test_auto_takes_none_of_several_and_names_those_that_it_cannot_enter(auto):
    with pytest.raises(GanflowError) as several:
        auto({"h:1": {}, "h:2": {}, "h:3": {"fault": "mode"}})
    there = "2 Ray clusters on this machine can be entered, h:1 and h:2"
    assert str(several.value) == f"--address auto: {there}; choose one with: --address h:1"
    with pytest.raises(GanflowError) as none:
        auto({"h:1": {"fault": "silent"}, "h:2": {"owner": "ann"}, "h:3": {"ray": "1.0"}})
    first, *lines = str(none.value).splitlines()
    assert first.startswith("--address auto: none of the 3 Ray clusters on this machine can be entered; start one with: ")
    assert [line.count(f"h:{n}") > 0 for n, line in enumerate(lines, 1)] == [True] * 3


def test_auto_asks_nothing_of_a_cluster_that_a_sweep_started_for_itself(auto):
    with pytest.raises(GanflowError) as caught:
        auto({}, [("h:1", "/x/ganflow-ray-4711-x1y2/session_1/sockets/raylet")])
    assert str(caught.value).endswith("\n  the Ray cluster at h:1 is a sweep's own (process 4711), and ends with it")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("http://h:8265", "RAY_ADDRESS: http://h:8265 is a dashboard's address; submit a job with: --address http://h:8265"),
        ("ray://h:10001", "RAY_ADDRESS: Ray Client (ray://) is not made for Ray Tune"),
        ("nonsense", "RAY_ADDRESS: 'nonsense' is not an address"),
        ("h:1", "RAY_ADDRESS: the Ray cluster at h:1 does not accept the token"),
    ],
)
def test_auto_obeys_ray_address_as_ray_does(auto, monkeypatch, named, said):
    monkeypatch.setenv("RAY_ADDRESS", named)
    with pytest.raises(GanflowError) as caught:
        auto({"h:1": {"fault": "token"}, "h:2": {}})
    assert str(caught.value).startswith(said)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert auto({"h:2": {}})["address"] == "h:2"


@pytest.mark.parametrize(("printed", "fault"), [("log\n{\"ray\": 1}\n", None), ("", "silent"), ("no JSON\n", "silent")])
def test_what_the_process_prints(monkeypatch, printed, fault):
    monkeypatch.setattr(cluster.child, "output", lambda command, timeout: printed)
    assert cluster._probe("h:1").get("fault") == fault


@pytest.mark.parametrize(("busy", "patience"), [(False, ["3"]), (True, ["3", "15"])])
def test_a_busy_machine_is_asked_again_with_more_patience(monkeypatch, busy, patience):
    started = []
    monkeypatch.setattr(cluster.machine, "is_busy", lambda: busy)
    monkeypatch.setattr(cluster.child, "output", lambda command, timeout: started.append(command) or "")
    assert cluster._probe("h:1") == {"fault": "silent"}
    assert [command[3] for command in started] == patience
    flag, module, address, _ = started[0]
    assert (flag, address) == ("-m", "h:1")
    assert importlib.util.find_spec(module)
