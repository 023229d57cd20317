"""What the nodes of a cluster answer, and what is made of it; and what a trial asks of them. No cluster needed."""

import time
from types import SimpleNamespace

import pytest

from ganflow.cluster import nodes
from ganflow.cluster.nodes import Node, alive_nodes, check_nodes, inspect_node
from ganflow.errors import GanflowError
from ganflow.recipe import Tune, read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.tune import preflight
from ganflow.tune.executors import bundles, workers


def of_ray(id, name, alive=True, port=1, **resources):
    return {"NodeID": id, "NodeManagerHostname": name, "Alive": alive, "NodeManagerAddress": "10.0.0.1",
            "NodeManagerPort": port, "Resources": resources}  # fmt: skip


def test_who_is_there(monkeypatch):
    there = [of_ray("a", "one", CPU=4.0, GPU=2.0), of_ray("b", "two"), of_ray("c", "two", port=2)]
    there.append(of_ray("d", "gone", alive=False))
    monkeypatch.setattr("ray.nodes", lambda: there)
    assert alive_nodes() == [
        Node("a", "one", 4.0, 2.0), Node("b", "two (10.0.0.1:1)", 0.0, 0.0), Node("c", "two (10.0.0.1:2)", 0.0, 0.0)
    ]  # fmt: skip


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """asked(answers) → faults of nodes that answer so; each is what this machine answers, changed by a function."""

    def ask(silent=None, **changes):
        def answers(probe, token, wanted, deadline):
            found = {}
            for name, change in changes.items():
                found[name] = inspect_node(str(probe), f"{token} {name}", wanted)
                change(found[name], probe)
            return found, silent or {}

        monkeypatch.setattr(nodes, "_ask", answers)
        faults = check_nodes(tmp_path / "s", ["ganflow", "torch"], time.monotonic())
        assert not (tmp_path / "s" / ".probe").exists()
        return faults

    return ask


def test_nodes_that_are_all_alike(asked):
    assert asked(one=lambda answer, probe: None, two=lambda answer, probe: None) == []


def test_one_that_is_silent(asked):
    assert asked({"two": "cut off"}) == ["two does not answer: cut off"]


@pytest.mark.parametrize(
    ("what", "there", "said"),
    [
        ("ganflow", "0.0.1", "one has ganflow 0.0.1, and this machine has "),
        ("torch", "", "one has no torch; this machine has "),
        ("Python", "2.7", "one has Python 2.7, and this machine has "),
        ("Ray", "1.0", "one has Ray 1.0, and this machine has "),
    ],
)
def test_other_versions(asked, what, there, said):
    (fault,) = asked(one=lambda answer, probe: answer["versions"].update({what: there}), two=lambda answer, probe: None)
    assert fault.startswith(said)


def test_a_folder_that_is_not_shared(asked):
    blind = lambda answer, probe: answer.update(read=None, error="No such file or directory")  # noqa: E731
    another = lambda answer, probe: answer.update(read="of another sweep")  # noqa: E731
    unseen = lambda answer, probe: (probe / "two").unlink()  # noqa: E731
    (fault,) = asked(one=blind)
    assert "is not shared: one does not see what this machine writes there" in fault
    (fault,) = asked(one=another, two=unseen, three=lambda answer, probe: None)
    assert "is not shared: one, two do not see" in fault


def test_a_folder_that_can_only_be_read(asked):
    (fault,) = asked(one=lambda answer, probe: answer.update(error="Read-only file system"))
    assert fault.startswith("one cannot write in ")
    assert fault.endswith(": Read-only file system")


def test_what_a_node_says_of_itself(tmp_path):
    (tmp_path / "driver").write_text("token")
    answer = inspect_node(str(tmp_path), "token node", ["torch", "not-installed"])
    assert (answer["read"], answer["error"], answer["mark"]) == ("token", "", "token node")
    assert (tmp_path / "node").read_text() == "token node"
    assert answer["versions"]["not-installed"] == ""
    assert set(answer["versions"]) == {"Python", "Ray", "torch", "not-installed"}
    assert inspect_node(str(tmp_path / "gone"), "token node", [])["error"] == "No such file or directory"


@pytest.mark.parametrize(
    ("resources", "many", "wanted"),
    [
        ({}, 1, [{"CPU": 1}]),
        ({"cpus": 0.5}, 1, [{"CPU": 0.5}]),
        ({"cpus": 2, "gpus": 0.5}, 1, [{"CPU": 2, "GPU": 0.5}]),
        ({"cpus": 2, "gpus": 1}, 1, [{"CPU": 2, "GPU": 1}]),
        ({"cpus": 2, "gpus": 3}, 3, [{"CPU": 2, "GPU": 1}] * 3),
    ],
)
def test_what_a_trial_asks_for(resources, many, wanted):
    tune = Tune(resources=resources)
    assert workers(tune) == many
    assert bundles(tune).bundles == wanted


@pytest.mark.parametrize(("address", "asked"), [("local", False), ("auto", True), ("10.0.0.1:6379", True)])
def test_nodes_are_asked_where_there_may_be_several(address, asked, monkeypatch, tmp_path):
    recipe = read_recipe("grid", ["track.mlflow=false"])
    plan = SimpleNamespace(recipe=recipe, tune=recipe.tune)
    monkeypatch.setattr(preflight, "alive_nodes", lambda: [Node("a", "one", 8.0, 0.0)])
    monkeypatch.setattr(preflight, "_ships", lambda: False)
    monkeypatch.setattr(preflight, "check_nodes", lambda path, wanted, deadline: [f"{path.name} is wrong"])
    if not asked:
        assert preflight.preflight(plan, RunFolder(tmp_path / "s"), address) == []
        return
    with pytest.raises(GanflowError, match="s is wrong"):
        preflight.preflight(plan, RunFolder(tmp_path / "s"), address)


def test_all_faults_at_once_and_notes_where_there_are_none(monkeypatch, tmp_path):
    recipe = read_recipe("grid", ["track.uri=http://127.0.0.1:9"])
    monkeypatch.setattr(preflight, "_ships", lambda: False)
    monkeypatch.setattr(preflight, "check_nodes", lambda path, wanted, deadline: ["not shared"])
    monkeypatch.setattr(preflight, "alive_nodes", list)
    plan = SimpleNamespace(recipe=recipe, tune=recipe.tune)
    with pytest.raises(GanflowError) as caught:
        preflight.preflight(plan, RunFolder(tmp_path), "auto")
    assert [line.split()[-1] for line in str(caught.value).splitlines()] == ["0", "shared"]  # the cluster has no CPUs
    monkeypatch.setattr(preflight, "alive_nodes", lambda: [Node("a", "one", 64.0, 8.0)])
    (note,) = preflight.preflight(plan, RunFolder(tmp_path), "local")
    assert note.startswith("MLflow at http://127.0.0.1:9 does not answer")


@pytest.mark.parametrize(("have", "want", "times"), [(0.3, 0.1, 3), (1, 0.5, 2), (2, 3, 0), (0.7, 0.1, 7), (5, 0, float("inf"))])
def test_how_often_one_fits(have, want, times):
    assert preflight._times(have, want) == times
