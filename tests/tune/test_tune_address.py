"""Addresses, and what is said where nobody, or somebody else, answers at one."""

import os
import socket
import subprocess
import sys
import tempfile

import pytest

from ganflow.cluster import joining
from ganflow.cluster.address import check_cluster, parse_address
from ganflow.cluster.joining import connect
from ganflow.errors import GanflowError
from ganflow.lock import is_locked, locked
from ganflow.scratch import LOCK


@pytest.mark.parametrize(
    ("text", "kind", "plain"),
    [
        ("local", "local", "local"),
        (" auto ", "auto", "auto"),
        ("node1:6379", "cluster", "node1:6379"),
        ("10.0.0.1:6379", "cluster", "10.0.0.1:6379"),
        ("[fd00::2]:6379", "cluster", "[fd00::2]:6379"),
        ("http://head:8265", "job", "http://head:8265"),
        ("http://head:8265/", "job", "http://head:8265"),
        ("https://lab.example/ray/", "job", "https://lab.example/ray"),
        ("HTTP://head:8265", "job", "HTTP://head:8265"),
        ("http://[fd00::2]:8265", "job", "http://[fd00::2]:8265"),
        ("http://[fd00::2]", "job", "http://[fd00::2]"),
    ],
)
def test_addresses(text, kind, plain):
    meant = parse_address(text)
    assert (meant.kind, str(meant)) == (kind, plain)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is not an address"),
        ("locla", "did you mean 'local'?"),
        ("node1", "for a cluster's head: node1:6379"),
        ("node1:", "'' in 'node1:' is not a port"),
        ("node1:http", "'http' in 'node1:http' is not a port"),
        ("node1:0", "from 1 to 65535, not 0"),
        ("node1:65536", "from 1 to 65535, not 65536"),
        ("node1:²", "is not a port"),
        (":6379", "'' in ':6379' is not a host"),
        ("fd00::2:6379", "is not a host"),
        ("a b:1", "is not a host"),
        ("http://", "names no host"),
        ("http://:8265", "names no host"),
        ("http://head:x", "is not a port"),
        ("http://head:99999", "from 1 to 65535"),
        ("http://head:8265/?a=1", "leave out what follows the path"),
        ("ftp://head", "ftp:// is not known"),
        ("spark://head", "spark:// is not known"),
    ],
)
def test_what_is_no_address(text, said):
    with pytest.raises(GanflowError) as refused:
        parse_address(text)
    assert said in str(refused.value)
    assert str(refused.value).startswith("--address: ")
    assert "\n" not in str(refused.value)


def test_ray_client_is_refused_with_the_reason():
    with pytest.raises(GanflowError, match=r"Ray Client .* is not made for Ray Tune.*http://head:8265, or head:6379"):
        parse_address("ray://head:10001")


def test_nobody_answers_at_a_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(GanflowError, match=f"no Ray cluster answers at {address}: connection refused"):
            check_cluster(address)


def test_a_host_that_does_not_exist():
    with pytest.raises(GanflowError, match=r"no Ray cluster answers at nowhere\.invalid:6379: no machine of that name"):
        check_cluster("nowhere.invalid:6379")


@pytest.mark.slow
def test_somebody_else_answers_at_a_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(GanflowError, match=f"what answers at 127.0.0.1:{port} is not the head of a Ray cluster"):
            check_cluster(f"127.0.0.1:{port}")


def test_jobs_are_submitted_elsewhere():
    with pytest.raises(ValueError, match="submit"), connect("http://head:8265"):
        pass


def test_only_folders_that_nobody_holds_are_removed(tmp_path, monkeypatch):
    """Those that killed sweeps left; not one that a sweep holds, or is about to: it has just been made."""
    monkeypatch.setattr(joining, "_LONGEST", len(str(tmp_path)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, held, fresh = (tmp_path / f"ganflow-ray-1-{name}" for name in ("left", "held", "fresh"))
    foreign = tmp_path / "ganflow-ray-1"
    for folder in (left, held, fresh, foreign):
        folder.mkdir()
        lock = folder / (LOCK if folder != foreign else ".lock")
        lock.touch()
        if folder != fresh:
            os.utime(lock, (0, 0))
    with locked(held / LOCK), joining._folder() as mine:
        assert mine.parent == tmp_path
        assert is_locked(mine / LOCK)
        assert {*tmp_path.iterdir()} == {held, fresh, foreign, mine}
    assert {*tmp_path.iterdir()} == {held, fresh, foreign}


LOCAL = """
import os, signal, sys
from ganflow.cluster.joining import connect
signal.signal(signal.SIGTERM, mine := lambda *_: None)
with connect("local", gpus=4):
    import ray
    assert signal.getsignal(signal.SIGTERM) is mine
    resources = ray.cluster_resources()
    assert (resources["CPU"], resources["GPU"]) == (len(os.sched_getaffinity(0)), 4), resources
    used = ray.remote(num_cpus=0)(lambda: os.getpid())
    assert ray.get(used.remote()) != os.getpid()
    place = ray._private.worker._global_node.get_session_dir_path()
    with connect("local"):  # nothing new
        pass
    assert ray.is_initialized()
assert not ray.is_initialized()
assert not os.path.exists(os.path.dirname(place))
with connect("local"):
    ray.get(used.remote())
"""


@pytest.mark.slow
def test_this_machine_alone_says_nothing_and_leaves_nothing(tmp_path):
    left, kept = tmp_path / "ganflow-ray-1-killed", tmp_path / "ganflow-ray-1999999999-of-another-container"
    for folder in (left, kept):
        folder.mkdir()
        (folder / LOCK).touch()
        os.utime(folder / LOCK, (0, 0))
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    env |= {"HOME": str(tmp_path), "RAY_ADDRESS": "127.0.0.1:1"}  # some other cluster, of no interest
    with short_folder(tmp_path) as temporary, locked(kept / LOCK):
        done = subprocess.run(
            [sys.executable, "-c", LOCAL], capture_output=True, text=True, env={**env, "TMPDIR": temporary}, timeout=400
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert not left.exists()
        assert kept.exists()
    assert not (tmp_path / ".ray").exists()


class short_folder:
    """A short name for a folder."""

    def __init__(self, folder):
        self.folder, self.link = folder, f"{tempfile.gettempdir()}/g{os.getpid()}"

    def __enter__(self):
        os.symlink(self.folder, self.link)
        return self.link

    def __exit__(self, *error):
        os.unlink(self.link)


@pytest.fixture(scope="module")
def guarded():
    from cluster_helpers import OwnCluster

    with OwnCluster(token="s" * 32) as made:
        yield made


JOIN = """
from ganflow.cluster.joining import connect
with connect({address!r}):
    import ray
    print("joined", ray.cluster_resources()["CPU"], ray.get(ray.remote(num_cpus=0)(lambda: 7).remote()))
"""


@pytest.mark.slow
class TestAClusterWithAToken:
    def test_joined_by_its_address(self, guarded):
        assert guarded.run(JOIN.format(address=guarded.head)) == "joined 2.0 7\n"

    def test_joined_where_ray_says_that_it_is(self, guarded):
        assert guarded.run(JOIN.format(address="auto"), RAY_ADDRESS=guarded.head) == "joined 2.0 7\n"

    @pytest.mark.parametrize(
        ("env", "said"),
        [
            ({"RAY_AUTH_TOKEN": "w" * 32}, "does not accept the token; set the cluster's own in RAY_AUTH_TOKEN"),
            ({"RAY_AUTH_TOKEN": ""}, "RAY_AUTH_MODE is 'token', and there is no token"),
            ({"RAY_AUTH_MODE": "disabled"}, "asks for a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"),
        ],
    )
    def test_kept_out_with_one_sentence(self, guarded, env, said):
        printed = guarded.run(JOIN.format(address=guarded.head), **env)
        assert printed.startswith("REFUSED ")
        assert said in printed
        assert printed.count("\n") == 1

    def test_the_dashboards_port_is_not_the_heads(self, guarded):
        printed = guarded.run(JOIN.format(address=f"127.0.0.1:{guarded.dashboard}"))
        assert "is not the head of a Ray cluster" in printed
        assert printed.count("\n") == 1

    def test_a_machine_that_is_no_part_of_it(self, guarded):
        """Its processes are not seen in a namespace of its own."""
        if subprocess.run(["unshare", "-p", "-f", "--mount-proc", "true"], capture_output=True).returncode:
            pytest.skip("this machine does not allow namespaces")
        apart = ["unshare", "-p", "-f", "--mount-proc"]
        printed = guarded.run(JOIN.format(address=guarded.head), before=apart)
        assert f"this machine is not part of the Ray cluster at {guarded.head}" in printed
        assert f"ray start --address={guarded.head}" in printed

    def test_other_versions(self, guarded):
        code = "import ray\nray.__version__ = '1.0'\n" + JOIN.format(address=guarded.head)
        printed = guarded.run(code)
        assert "has Ray 2." in printed
        assert "this machine has 1.0; they must be equal" in printed
