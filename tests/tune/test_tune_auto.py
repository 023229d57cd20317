"""`--address auto` with real clusters: several heads on a machine of their own, which is a process namespace."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.rare

# Everything in one process, the namespace's first: its end is the end of all that it started.
SEVERAL = '''
import json, os, subprocess, sys, time
from cluster_helpers import OwnCluster

JOIN = """
from ganflow.cluster.joining import connect
with connect("auto"):
    import ray
    print("joined", ray.get_runtime_context().gcs_address.rpartition(":")[2], ray.get(ray.remote(num_cpus=0)(lambda: 7).remote()))
"""
OWN = """
import sys
from ganflow.cluster.joining import connect
with connect("local"):
    print("up", flush=True)
    sys.stdin.read()
"""
said, token = {}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "s" * 32}
with OwnCluster(cpus=1, dashboard=False, token="s" * 32) as guarded:

    def ask(name, code=JOIN, **more):
        said[name] = guarded.run(code, **more)

    ask("guarded, with its token")
    ask("guarded, without", RAY_AUTH_MODE="disabled")
    plain = {"RAY_AUTH_MODE": "disabled"}
    with OwnCluster(cpus=1, dashboard=False) as open_one:
        ask("two, of which one", **plain)
        ask("named by RAY_ADDRESS", **plain, RAY_ADDRESS=guarded.head)
        os.chown(open_one.folder, 65534, -1)
        os.chmod(open_one.folder, 0o700)
        ask("another user", **plain, before=["setpriv", "--bounding-set=-dac_override,-dac_read_search"])  # root as any user
        os.chown(open_one.folder, 0, -1)
        apart = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs tmpfs {open_one.folder} && exec "$@"', "sh"]
        ask("another's files", **plain, before=apart)
        environment = guarded.environment(**plain)
        own = subprocess.Popen([sys.executable, "-c", OWN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert own.stdout.readline() == b"up\\n"
        open_one.end()
        ask("a sweep's own, and a guarded one", **plain)
        own.communicate()
    with OwnCluster(cpus=1, dashboard=False) as first, OwnCluster(cpus=1, dashboard=False) as second:
        ask("several", **plain)
ports = [guarded.port, open_one.port, first.port, second.port]
print(json.dumps({**said, "ports": ports, "own": own.pid}))
'''


@pytest.fixture(scope="module")
def said():
    apart = ["unshare", "-p", "-f", "--mount-proc", "--kill-child"]
    if os.getuid() or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not allow namespaces")
    here = Path(__file__).parent
    search = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": search}
    done = subprocess.run([*apart, sys.executable, "-c", SEVERAL], capture_output=True, text=True, timeout=800, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


TOKEN = "asks for a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH with a file that holds it"


def refused(printed):
    """The lines of a refusal, without the one that says what can be done in any case."""
    assert printed.startswith("REFUSED ")
    first, *lines = printed.removeprefix("REFUSED ").splitlines()
    assert all(line.startswith(("  the Ray cluster at ", "  this machine is no")) for line in lines)
    return first, [line.strip() for line in lines]


def test_one_with_a_token(said):
    assert said["guarded, with its token"] == f"joined {said['ports'][0]} 7\n"


def test_one_whose_token_is_missing_is_named_with_what_to_set(said):
    first, (why,) = refused(said["guarded, without"])
    assert first.startswith("--address auto: the Ray cluster on this machine cannot be entered; start one with: ray start --head")
    assert why.endswith(f":{said['ports'][0]} {TOKEN}")


def test_the_one_that_can_be_entered_is_taken(said):
    assert said["two, of which one"] == f"joined {said['ports'][1]} 7\n"


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("another user", "is of the user root, whose files let nobody else in; run as root, or start one of your own with: "),
        ("another's files", "; make it one with: ray start --address="),
    ],
)
def test_where_none_can_be_entered_each_is_named_and_why(said, case, why):
    first, lines = refused(said[case])
    assert first.startswith("--address auto: none of the 2 Ray clusters on this machine can be entered; ")
    by_port = {port: line for line in lines for port in said["ports"] if f":{port}" in line}
    assert len(lines) == 2
    assert by_port[said["ports"][0]].endswith(TOKEN)
    assert why in by_port[said["ports"][1]]


def test_what_a_sweep_started_for_itself_is_said_to_be_that(said):
    _, lines = refused(said["a sweep's own, and a guarded one"])
    assert len(lines) == 2
    assert sum(f"is a sweep's own (process {said['own']}), and ends with it" in line for line in lines) == 1


def test_of_several_none_is_taken_by_chance(said):
    first, lines = refused(said["several"])
    assert lines == []
    assert first.startswith("--address auto: 2 Ray clusters on this machine can be entered, ")
    listed, choice = first.split("; choose one with: --address ")
    assert all(f":{port}" in listed for port in said["ports"][2:])
    assert choice in listed


def test_the_one_that_ray_address_names_is_the_only_one_meant(said):
    assert said["named by RAY_ADDRESS"] == f"REFUSED RAY_ADDRESS: the Ray cluster at 127.0.0.1:{said['ports'][0]} {TOKEN}\n"
