"""What could go wrong in a cluster, told before anything starts: every fault in one sentence, all of them at once."""

import http.server
import json
import pickle
import subprocess
import threading
import uuid
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from cluster_helpers import OwnCluster

from ganflow.cluster.nodes import Node
from ganflow.cluster.submit import distributions
from ganflow.errors import GanflowError
from ganflow.recipe import Tune, read_recipe
from ganflow.tracking.destination import tracking_uri
from ganflow.tune import driver, preflight
from ganflow.tune.plan import begin, make_plan
from ganflow.tune.preflight import infeasible, mlflow_reachable


def tune(cpus=1, gpus=0):
    return Tune(resources={"cpus": cpus, "gpus": gpus})


def nodes(*resources):
    return [Node(str(i), f"node{i}", cpus, gpus) for i, (cpus, gpus) in enumerate(resources)]


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        (tune(2), nodes((2, 0))),
        (tune(0.5), nodes((1, 0))),
        (tune(1, 0.5), nodes((4, 1))),
        (tune(1, 2), nodes((4, 4))),
        (tune(1, 4), nodes((2, 2), (2, 2))),  # a bundle for each GPU: on two nodes
        (tune(1, 3), nodes((1, 4), (2, 4), (8, 0))),
        (tune(0.1), nodes((0.3, 0))),
    ],
)
def test_feasible(wanted, there):
    assert infeasible(wanted, there) == []


@pytest.mark.parametrize(
    ("wanted", "there", "said"),
    [
        (tune(4), nodes((2, 0)), "a trial wants 4 CPUs; this machine has 2"),
        (tune(4), nodes((2, 0), (3, 0)), "a trial wants 4 CPUs; the largest node has 3, the cluster 5"),
        (tune(1, 8), nodes((32, 4)), "a trial wants 8 GPUs; this machine has 4"),
        (tune(1, 8), nodes((32, 4), (32, 2)), "a trial wants 8 GPUs; the largest node has 4, the cluster 6"),
        (tune(1, 1), nodes((32, 0)), "a trial wants 1 GPU; this machine has 0"),
        (tune(1, 0.5), nodes((8, 0), (8, 0)), "a trial wants 0.5 GPUs; the largest node has 0, the cluster 0"),
        (tune(4, 2), nodes((4, 2)), "a trial wants 8 CPUs; this machine has 4"),
        (tune(8, 1), nodes((8, 0), (2, 1)), "a trial wants 8 CPUs and 1 GPU on one node; no node has both"),
        (tune(), [], "a trial wants 1 CPU; the largest node has 0, the cluster 0"),
    ],
)
def test_infeasible(wanted, there, said):
    assert infeasible(wanted, there) == [f"tune.resources: {said}"]


def test_both_faults_are_told():
    assert len(infeasible(tune(4, 4), nodes((2, 2)))) == 2


ASKING = """\
data: {use: gaussians, layout: ring}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: {use: non_saturating}
optimizer: {use: adam, lr: 1.0e-3}
metrics:
  - {use: sliced_wasserstein, samples: 256}
train: {rounds: 10, batch_size: 16, device: DEVICE}
tune:
  trials: 2
  resources: {cpus: CPUS, gpus: GPUS}
  space:
    optimizer.lr: {loguniform: [1.0e-4, 1.0e-2]}
"""


@pytest.fixture
def asking(tmp_path, monkeypatch):
    """asking(cpus=…) → the plan of a recipe that wants as much; asking.here(cpus, gpus) makes a machine of it."""
    monkeypatch.chdir(tmp_path)

    def plan(*changes, cpus=1, gpus=0, device="cpu"):
        Path("r.yaml").write_text(ASKING.replace("CPUS", str(cpus)).replace("GPUS", str(gpus)).replace("DEVICE", device))
        return make_plan("r.yaml", changes)

    def here(cpus, gpus):
        monkeypatch.setattr(preflight.machine, "cores", lambda: cpus)
        monkeypatch.setattr(preflight.compat, "gpus", lambda: gpus)

    plan.here = here
    return plan


@pytest.mark.parametrize(
    ("wanted", "there", "said"),
    [
        ({"cpus": 3}, (2, 0), "r.yaml:12: tune.resources: a trial wants 3 CPUs; this machine has 2"),
        ({"gpus": 1}, (2, 0), "r.yaml:12: tune.resources: a trial wants 1 GPU; this machine has 0"),
        ({"gpus": 2}, (8, 1), "r.yaml:12: tune.resources: a trial wants 2 GPUs; this machine has 1"),
        ({"device": "cuda"}, (2, 0), "r.yaml:9: train.device: this machine has no cuda; use auto or cpu"),
        ({"gpus": 0.5, "device": "cuda:1"}, (2, 4),
         "r.yaml:9: train.device: a trial's process sees its own GPU alone, as cuda:0, and not cuda:1; use train.device=cuda"),
    ],
)  # fmt: skip
def test_what_this_machine_lacks_is_said_before_ray_starts(asking, monkeypatch, wanted, there, said):
    asking.here(*there)
    monkeypatch.setattr(preflight.pick_device.__globals__["torch"].cuda, "device_count", lambda: there[1])
    plan = asking(**wanted)
    folder = begin(plan, Path("runs"))
    monkeypatch.setattr(driver, "_tune", lambda *arguments: pytest.fail("Ray was started"))
    with pytest.raises(GanflowError) as refused:
        driver.go(folder, plan)
    assert str(refused.value) == said
    assert not folder.records.exists()
    assert folder.read().status == "waiting"


def test_what_this_machine_has_just_enough_of(asking):
    asking.here(2, 1)
    preflight.check_resources(asking(cpus=2))
    preflight.check_resources(asking(cpus=1, gpus=1))
    preflight.check_resources(asking(cpus=0.5, gpus=0.25))


def test_what_the_command_line_wants_has_no_line(asking):
    asking.here(2, 0)
    with pytest.raises(GanflowError) as refused:
        preflight.check_resources(asking("tune.resources.cpus=8"))
    assert refused.value.in_shell == "command line: tune.resources: a trial wants 8 CPUs; this machine has 2"


@pytest.mark.parametrize("address", ["auto", "h:6379"])
def test_what_a_cluster_has_is_not_known_before(asking, address):
    asking.here(1, 0)
    preflight.check_resources(asking(cpus=64, gpus=2), address)
    with pytest.raises(GanflowError, match=r"^r\.yaml:9: train\.device: a trial's process sees its own GPU alone"):
        preflight.check_resources(asking(gpus=1, device="cuda:1"), address)


def test_distributions_of_the_recipe_and_of_its_space(workshop, tmp_path):
    workshop.install("acme")
    workshop.install("other")
    workshop.catalogue()
    file = tmp_path / "r.yaml"
    text = read_recipe("grid", ["~tune"]).to_yaml()
    file.write_text(text + "tune:\n  space:\n    critic: {choice: [{use: mlp}, {use: acme/mosaic, width: 8}]}\n")
    assert distributions(read_recipe(file)) == ["ganflow", "gf-acme"]
    file.write_text(text)
    assert distributions(read_recipe(file)) == ["ganflow"]
    assert distributions(read_recipe(file, ["critic=other/mosaic"])) == ["ganflow", "gf-other"]


TAKES_A_NAME = '''
    from ganflow import hookimpl, settings

    GANFLOW_CONTRACT = 2

    @settings
    class Mlp:
        """Another one."""

        @hookimpl
        def critic(self):
            raise NotImplementedError

    @hookimpl
    def register(offer):
        offer("critic", "mlp", Mlp)
'''


def test_a_plain_name_in_a_space_is_the_built_in_and_nobody_elses(workshop, tmp_path):
    workshop.install("acme", TAKES_A_NAME)
    workshop.catalogue()
    file = tmp_path / "r.yaml"
    space = "tune:\n  space:\n    critic: {choice: [{use: mlp}, {use: dcgan}]}\n"
    file.write_text(read_recipe("grid", ["~tune"]).to_yaml() + space)
    assert distributions(read_recipe(file)) == ["ganflow"]
    file.write_text(file.read_text().replace("use: dcgan", "use: acme/mlp"))
    assert distributions(read_recipe(file)) == ["ganflow", "gf-acme"]


@pytest.mark.parametrize(
    "uri", ["sqlite:////x/y.db", "postgresql://u:p@h/db", "mysql+pymysql://u@h/db", "databricks", "databricks://profile"]
)
def test_stores_that_no_server_is_asked_for(uri):
    assert mlflow_reachable(uri) == []


@pytest.mark.parametrize("uri", ["http://:5000", "http://host:99999"])
def test_addresses_that_are_none_are_refused_before_the_cluster_is_asked(uri, tmp_path):
    folder = SimpleNamespace(path=tmp_path / "s")
    with pytest.raises(GanflowError, match=f"'{uri}' names no host, or no port from 1 to 65535"):
        driver.go(folder, SimpleNamespace(recipe=read_recipe("grid", [f"track.uri={uri}"])))


@pytest.mark.parametrize(("status", "said"), [(200, None), (404, None), (401, "not allowed in; set MLFLOW_TRACKING_TOKEN")])
def test_a_server_that_answers(status, said):
    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        notes = mlflow_reachable(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
    assert [said in note for note in notes] == ([True] if said else [])


@pytest.mark.parametrize(
    ("uri", "why"), [("http://127.0.0.1:9", "connection refused"), ("http://mlflow.invalid:5000", "no machine of that name")]
)
def test_a_server_that_is_away_keeps_nothing_from_being_done(uri, why):
    (note,) = mlflow_reachable(uri)
    assert note == f"MLflow at {uri} does not answer ({why}); what is not sent is kept: ganflow sync"


def test_where_the_points_go(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(read_recipe("grid")) is None
    assert tracking_uri(read_recipe("grid", ["track.uri=http://a"])) == "http://a"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://b")
    assert tracking_uri(read_recipe("grid")) == "http://b"
    assert tracking_uri(read_recipe("grid", ["track.uri=http://a"])) == "http://a"
    assert tracking_uri(read_recipe("grid", ["track.mlflow=false"])) is None


PREFLIGHT = """
from pathlib import Path
from types import SimpleNamespace
from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.cluster.joining import connect
from ganflow.tune.preflight import preflight
recipe = read_recipe({recipe!r}, {changes!r})
plan = SimpleNamespace(recipe=recipe, tune=recipe.tune)
folder = Path({folder!r})
folder.mkdir(exist_ok=True)
with connect({address!r}):
    try:
        print(json.dumps(preflight(plan, RunFolder(folder), {address!r})))
    finally:
        assert list(folder.iterdir()) == []
"""
CALM = ["track.mlflow=false"]


@pytest.fixture(scope="module")
def pair():
    """A head, and a second node whose ganflow says that it is another version, and which has a plugin in another version."""
    with OwnCluster() as made:
        made.site(made.folder / "there", ganflow="0.0.1", gf_acme="2.0")
        made.site(made.folder / "here", gf_acme="1.0")
        made.add("--num-cpus", 1, "--node-ip-address", "127.0.0.2", PYTHONPATH=str(made.folder / "there"))
        yield made


@pytest.mark.slow
class TestACluster:
    def refused(self, cluster, changes=(), recipe="grid", **env):
        name = str(cluster.folder / "sweep")
        code = PREFLIGHT.format(recipe=str(recipe), changes=[*CALM, *changes], folder=name, address=cluster.head)
        printed = cluster.run(code, **env)
        return [line.removeprefix("REFUSED ") for line in printed.splitlines()]

    def test_all_is_well(self):
        with OwnCluster() as one:
            changes = ["track.mlflow=true", "track.uri=http://127.0.0.1:9"]
            (notes,) = self.refused(one, changes)
            assert "connection refused" in json.loads(notes)[0]
            (fault,) = self.refused(one, ["tune.resources={cpus: 1, gpus: 2}"])
            assert fault == "arguments: tune.resources: a trial wants 2 GPUs; this machine has 0"

    def test_versions_of_every_node(self, pair):
        (fault,) = self.refused(pair)
        assert "127.0.0.2" in fault
        assert "has ganflow 0.0.1, and this machine has 0." in fault

    def test_every_fault_at_once(self, pair):
        faults = self.refused(pair, ["tune.resources={cpus: 64, gpus: 0}"])
        assert len(faults) == 2
        assert faults[0] == "arguments: tune.resources: a trial wants 64 CPUs; the largest node has 2, the cluster 3"
        assert "has ganflow 0.0.1" in faults[1]

    def test_a_plugins_version_and_a_node_without_it(self, pair):
        faults = self.refused(pair, ["critic=acme/patch"], PYTHONPATH=str(pair.folder / "here"))
        assert len(faults) == 3
        (other,) = [fault for fault in faults if "gf-acme 2.0" in fault]
        assert "127.0.0.2" in other
        assert "and this machine has 1.0; they must be equal" in other
        (missing,) = [fault for fault in faults if "has no gf-acme; this machine has 1.0: install it there" in fault]
        assert "127.0.0.2" not in missing


SEVERAL = """
import os, sys, json
os.environ["RAY_AUTH_MODE"] = "disabled"
os.makedirs(os.environ["RAY_TMPDIR"] + "/ray", exist_ok=True)
import ray
from ray.cluster_utils import Cluster
from ganflow.recipe import Tune
from ganflow.cluster.nodes import alive_nodes
from ganflow.tune.preflight import infeasible
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=2, num_gpus=4))
more = cluster.add_node(num_cpus=8, num_gpus=2)
ray.init(cluster.address, log_to_driver=False)
told = [infeasible(Tune(resources=dict(cpus=1, gpus=gpus)), alive_nodes()) for gpus in (4, 5, 8)]
cluster.remove_node(more)
told.append(infeasible(Tune(resources=dict(cpus=8)), alive_nodes()))
ray.shutdown()
cluster.shutdown()
print(json.dumps(told))
"""


@pytest.mark.slow
def test_storage_that_two_hosts_do_not_share():
    with two_hosts() as hosts, OwnCluster(before=hosts.in_first(), ip=hosts.first, dashboard=False) as cluster:
        shared, own = cluster.folder / "shared", cluster.folder / "own"
        shared.mkdir()
        own.mkdir()
        elsewhere = ["unshare", "-m", "-u", "sh", "-c", f'mount -t tmpfs tmpfs {own} && hostname second && exec "$@"', "sh"]
        cluster.add("--num-cpus", 1, "--node-ip-address", hosts.second, before=[*hosts.in_second(), *elsewhere])

        def preflight(folder):
            code = PREFLIGHT.format(recipe="grid", changes=CALM, folder=str(folder / "sweep"), address=cluster.head)
            return cluster.run(code, before=hosts.in_first())

        assert preflight(shared) == "[]\n"
        remedy = "give a folder on storage that every node mounts with --runs"
        assert preflight(own) == (
            f"REFUSED {own}/sweep is not shared: second does not see what this machine writes there; {remedy}\n"
        )


class two_hosts:
    """Two network namespaces that reach each other."""

    def __init__(self):
        mark = uuid.uuid4().hex[:6]
        self.names = [f"gf{mark}{side}" for side in "ab"]
        third = int(mark[:2], 16)
        self.first, self.second = f"10.213.{third}.1", f"10.213.{third}.2"

    def in_first(self):
        return ["ip", "netns", "exec", self.names[0]]

    def in_second(self):
        return ["ip", "netns", "exec", self.names[1]]

    def __enter__(self):
        a, b = self.names
        try:
            for name in self.names:
                self._ip("netns", "add", name)
            self._ip("link", "add", a, "netns", a, "type", "veth", "peer", "name", b, "netns", b)
            for name, ip in ((a, self.first), (b, self.second)):
                self._ip("-n", name, "addr", "add", f"{ip}/24", "dev", name)
                for device in ("lo", name):
                    self._ip("-n", name, "link", "set", device, "up")
            subprocess.run([*self.in_second(), "unshare", "-m", "-u", "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            why = getattr(error, "stderr", b"") or str(error).encode()
            pytest.skip(f"this machine does not allow network namespaces: {why.decode().strip()}")
        return self

    def __exit__(self, *error):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    @staticmethod
    def _ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True)


class TestADryRun:
    """`ganflow tune --dry-run` refuses what a start refuses, and notes what a start notes."""

    @pytest.fixture(autouse=True)
    def files(self, asking):
        asking.here(2, 0)

    def test_what_this_machine_lacks(self, asking, command):
        asking(cpus=8)
        assert command.refused("tune", "r.yaml", "--dry-run") == (
            "ganflow: r.yaml:12: tune.resources: a trial wants 8 CPUs; this machine has 2"
        )

    def test_what_the_cluster_lacks(self, asking, command, monkeypatch):
        """Where there may be more than here."""
        asking(cpus=8)
        monkeypatch.setattr(preflight, "connect", lambda address: nullcontext())
        for cpus, code in ((4.0, 2), (8.0, 0)):
            monkeypatch.setattr(preflight, "alive_nodes", lambda cpus=cpus: [Node("a", "h", cpus, 0.0)])
            found = command("tune", "r.yaml", "--dry-run", "--address", "h:6379")
            assert found[0] == code, found
        monkeypatch.setattr(preflight, "alive_nodes", lambda: [Node("a", "h", 4.0, 0.0)])
        assert command.refused("tune", "r.yaml", "--dry-run", "--address", "h:6379").startswith(
            "ganflow: r.yaml:12: tune.resources: a trial wants 8 CPUs; this machine has 4"
        )

    def test_an_address_at_which_nobody_answers(self, asking, command):
        asking(cpus=1)
        dry = ("tune", "r.yaml", "--dry-run", "--address")
        assert command.refused(*dry, "127.0.0.1:9").startswith("ganflow: no Ray cluster answers at 127.0.0.1:9: ")
        job = "http://127.0.0.1:9"
        assert command.refused(*dry, job).startswith("ganflow: a job needs the folder for its runs as the cluster's nodes see it")
        assert command.refused(*dry, job, "--runs", "/shared").startswith(f"ganflow: no Ray dashboard answers at {job}: ")

    def test_a_space_of_fewer_configurations_than_trials(self, asking, command):
        asking(cpus=1)
        few = ("tune.space={optimizer.lr: {choice: [1.0e-3, 2.0e-3]}}", "tune.trials=5")
        code, out, err = command("tune", "r.yaml", "--dry-run", *few)
        assert (code, err) == (0, "tune.trials: 2 and not 5, for the space has no more configurations\n")
        assert "2 trials of" in out
        assert command("tune", "r.yaml", "--dry-run", "-q", *few)[2] == ""

    def test_trials_that_would_not_be_packed(self, asking, command, monkeypatch):
        asking(cpus=1)
        monkeypatch.setattr("ganflow.packed.worth_packing", lambda *asked: (False, "they are too large"))
        assert command("tune", "r.yaml", "--dry-run", "tune.pack=4")[2] == "trials are not packed: they are too large\n"

    def test_a_store_that_cannot_be(self, asking, command):
        asking(cpus=1)
        away = ("track.mlflow=true", "track.uri=http://127.0.0.1:9")
        code, _, err = command("tune", "r.yaml", "--dry-run", *away)
        assert (code, err.count("\n")) == (0, 1)
        assert err.startswith("MLflow at http://127.0.0.1:9 does not answer")
        assert "is not the address of an MLflow store" in command.refused(
            "tune", "r.yaml", "--dry-run", "track.mlflow=true", "track.uri=gopher://h"
        )


def test_a_plan_goes_to_rays_processes_without_data(tmp_path, monkeypatch):
    """Data may hold locks, which nobody can pickle, and more than a process should be sent."""
    monkeypatch.chdir(tmp_path)
    plan = make_plan("sweeps/asha", ["track.mlflow=false", "data.samples=1000000"])
    sent = pickle.dumps(plan)
    assert len(sent) < 100_000
    copy = pickle.loads(sent)
    assert (copy.recipe.resolved(), copy.metric, copy.repeats) == (plan.recipe.resolved(), plan.metric, plan.repeats)
