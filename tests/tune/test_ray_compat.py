"""Private parts of Ray that ganflow stands on: a test for each that fails where an upgrade takes it away or changes it."""

import inspect
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import ray.tune
from ray._private import services, worker
from ray._raylet import InnerGcsClient
from ray.air._internal import usage
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.core.generated.gcs_pb2 import GcsNodeInfo
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from ganflow.cluster import compat


def in_a_process(code, **env):
    """What Python prints: Ray reads its token once in a process."""
    done = subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_the_thread_that_prints_about_deaths_is_the_one_that_is_replaced(monkeypatch):
    monkeypatch.setattr(worker, "listen_error_messages", worker.listen_error_messages)
    compat.silence_error_messages()
    assert worker.listen_error_messages(None, None) is None
    assert "target=listen_error_messages" in inspect.getsource(worker.connect)


def test_callbacks_are_counted_by_the_function_that_is_replaced(monkeypatch):
    monkeypatch.setattr(usage, "tag_callbacks", usage.tag_callbacks)
    compat.skip_usage_tags()
    assert usage.tag_callbacks([object()]) is False
    module = sys.modules[ray.tune.run.__module__]
    assert module.air_usage is usage
    assert "air_usage.tag_callbacks(" in inspect.getsource(module.run)


def test_every_death_of_a_process_is_one_that_tune_knows(monkeypatch):
    seen = []
    assert list(inspect.signature(RayActorManager._actor_task_failed).parameters) == ["self", "tracked_actor_task", "exception"]
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", lambda self, task, exception: seen.append(exception))
    compat.report_every_death()
    compat.report_every_death()  # patched once
    own = ValueError("its own")
    for exception in (OutOfMemoryError("the node was low on memory"), RayActorError(), own):
        RayActorManager._actor_task_failed(SimpleNamespace(), None, exception)
    assert [type(e) for e in seen] == [RayActorError, RayActorError, ValueError]
    assert "low on memory" in str(seen[0])
    assert not issubclass(RayTaskError, RayActorError)


@pytest.mark.parametrize("token", ["", "a" * 32])
def test_a_token_is_found_and_sent(token, tmp_path):
    code = "from ganflow.cluster import compat; print(compat.has_token(), *compat.token_headers().values())"
    env = {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    if not token:
        code = code.replace(", *compat.token_headers().values()", "")
        assert in_a_process(code, **env) == ["False"]
        return
    assert in_a_process(code, **env, RAY_AUTH_TOKEN=token) == ["True", "Bearer", token]


LINE = [
    "/x/raylet", "--raylet_socket_name=/x/ray/s/sockets/raylet", "--node_id=ab", "--node_ip_address=10.0.0.1",
    "--python_worker_command=python default_worker.py --gcs-address=10.0.0.1:6379 --temp-dir=/x/ray",
]  # fmt: skip


def test_nodes_are_read_from_the_command_lines_of_their_processes(monkeypatch):
    lines = {"ann": LINE, "bob": ["/x/raylet", "--help"], "cid": ["python", *LINE[1:]], "dan": None, None: LINE}
    processes = [SimpleNamespace(info={"cmdline": line, "username": user}) for user, line in lines.items()]
    monkeypatch.setattr(services.psutil, "process_iter", lambda names: processes)
    there = ("10.0.0.1:6379", "ab", "/x/ray/s/sockets/raylet")
    assert compat.raylets() == [(*there, "ann"), (*there, "another user")]


def test_a_node_is_entered_by_its_socket(tmp_path, monkeypatch):
    raylet = compat.Raylet("h:1", "ab", str(tmp_path / "raylet"), "ann")
    assert raylet.entrance == "absent"
    (tmp_path / "raylet").touch()
    assert raylet.entrance == "open"
    monkeypatch.setattr(os, "access", lambda path, how: False)
    assert raylet.entrance == "denied"


def test_a_head_is_described(monkeypatch):
    class Head:
        def __init__(self, address):
            self.address = address

        def internal_kv_get(self, key, namespace, timeout):
            assert (key, namespace, timeout) == (b"CLUSTER_METADATA", b"cluster", 3)
            return b'{"ray_version": "2.60.0", "python_version": "3.11.7"}'

        def get_all_node_info(self, timeout):
            return {b"\xab": None}

    assert all(hasattr(InnerGcsClient, name) for name in ("internal_kv_get", "get_all_node_info"))
    monkeypatch.setattr("ray._raylet.GcsClient", Head)
    here = {"open": "/open", "denied": "/denied", "absent": "/absent"}
    monkeypatch.setattr(compat.Raylet, "entrance", property(lambda raylet: raylet.socket[1:]))
    for entrances, node, member, owner in (
        (["open"], "ab", True, ""),
        (["denied"], "ab", True, "ann"),
        (["denied", "open"], "ab", True, ""),
        (["absent"], "ab", False, ""),
        (["open"], "cd", False, ""),
        ([], "ab", False, ""),
    ):
        monkeypatch.setattr(compat, "raylets", lambda e=entrances, n=node: [compat.Raylet("h", n, here[x], "ann") for x in e])
        about = {"ray": "2.60.0", "python": "3.11.7", "member": member, "owner": owner}
        assert compat.describe_head("h:6379", 3) == about


def test_nodes_that_are_alive_are_asked_for_with_a_time_limit(monkeypatch):
    def node(byte, state, **resources):
        return GcsNodeInfo(node_id=byte * 28, state=state, node_manager_hostname="h", resources_total=resources)

    alive, dead = GcsNodeInfo.ALIVE, GcsNodeInfo.DEAD
    nodes = [node(b"\1", alive, CPU=2.0), node(b"\2", dead, CPU=8.0), node(b"\3", alive, GPU=1.0)]
    asked = []
    client = SimpleNamespace(get_all_node_info=lambda timeout: asked.append(timeout) or {n.node_id: n for n in nodes})
    assert "worker.gcs_client = " in inspect.getsource(worker.connect)
    monkeypatch.setattr(worker, "global_worker", SimpleNamespace(gcs_client=client))
    assert compat.living_nodes(2.5) == [
        {"id": "01" * 28, "name": "h", "cpus": 2.0, "gpus": 0.0}, {"id": "03" * 28, "name": "h", "cpus": 0.0, "gpus": 1.0},
    ]  # fmt: skip
    assert asked == [2.5]


def test_gpus_are_those_that_are_there_and_visible(monkeypatch):
    from ray._private import accelerators

    for there, visible, expected in ((4, None, 4), (4, ["0", "2"], 2), (4, [], 0), (1, ["0", "1"], 1)):
        manager = SimpleNamespace(
            get_current_node_num_accelerators=lambda n=there: n, get_current_process_visible_accelerator_ids=lambda v=visible: v
        )
        monkeypatch.setattr(accelerators, "get_accelerator_manager_for_resource", lambda name, m=manager: m)
        assert compat.gpus() == expected


def test_the_processes_of_a_start_that_failed_are_ended(tmp_path):
    """Those whose command line names the folder, and no other child of this process."""
    words = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen([*words, f"--dir={tmp_path}/x"]) as named, subprocess.Popen(words) as other:
        try:
            compat.end_processes(str(tmp_path))
            assert named.poll() is not None
            assert other.poll() is None
        finally:
            named.kill()
            other.kill()


def test_a_light_command_imports_no_ray():
    code = "import sys, ganflow.cluster.compat; print('ray' in sys.modules)"
    assert in_a_process(code, PYTHONPATH=":".join(sys.path)) == ["False"]
