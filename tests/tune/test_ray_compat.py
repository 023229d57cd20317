"""Private parts of Ray that ganflow stands on: a test for each that fails where an upgrade takes it away or changes it."""

import inspect
import subprocess
import sys
from types import SimpleNamespace

import pytest
import ray.tune
from ray._private import services, worker
from ray._raylet import InnerGcsClient
from ray.air._internal import usage
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from ganflow.tune import compat


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
    code = "from ganflow.tune import compat; print(compat.has_token(), *compat.token_headers().values())"
    env = {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    if not token:
        code = code.replace(", *compat.token_headers().values()", "")
        assert in_a_process(code, **env) == ["False"]
        return
    assert in_a_process(code, **env, RAY_AUTH_TOKEN=token) == ["True", "Bearer", token]


def test_a_machine_without_a_cluster(monkeypatch):
    def nobody(address):
        raise ConnectionError("no Ray")

    monkeypatch.setattr(services, "canonicalize_bootstrap_address", nobody)
    assert compat.find_head() == ""


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
    for here, member in (({"ab"}, True), ({"cd"}, False)):
        monkeypatch.setattr(services, "find_node_ids", lambda here=here: here)
        assert compat.describe_head("h:6379", 3) == {"ray": "2.60.0", "python": "3.11.7", "member": member}


def test_a_light_command_imports_no_ray():
    code = "import sys, ganflow.tune.compat; print('ray' in sys.modules)"
    assert in_a_process(code, PYTHONPATH=":".join(sys.path)) == ["False"]
