"""Sweeps as jobs: what is sent, what comes back, what is said where it cannot be sent."""

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from cluster_helpers import OwnCluster

from ganflow.cluster.address import parse_address
from ganflow.cluster.submit import check_dashboard, runtime_env, submit
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.recipe.source import folder, shipped


@pytest.fixture
def no_token(monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


class Answers:
    """Something at a port that speaks HTTP: it gives every request the same answer."""

    def __init__(self, status, body=b""):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.url

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.usefixtures("no_token")
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>", "is not Ray's dashboard; is it the right port?"),
        (200, b'{"version": 1}', "is not Ray's dashboard"),
        (200, b"[]", "is not Ray's dashboard"),
        (404, b"", r"is not Ray's dashboard \(HTTP 404\)"),
        (401, b"", "asks for a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"),
        (200, b'{"ray_version": "2.9.3"}', "runs Ray 2.9.3; ganflow needs 2.50 or newer"),
    ],
)
def test_what_answers_is_no_dashboard_for_us(status, body, said):
    with Answers(status, body) as url, pytest.raises(GanflowError, match=f"{url} {said}"):
        check_dashboard(url)


@pytest.mark.usefixtures("no_token")
def test_a_dashboard():
    with Answers(200, b'{"ray_version": "2.60.0", "version": "4"}') as url:
        assert check_dashboard(url) == "2.60.0"


@pytest.mark.usefixtures("no_token")
def test_nobody_answers():
    with pytest.raises(GanflowError, match=r"no Ray dashboard answers at http://127\.0\.0\.1:9: connection refused"):
        check_dashboard("http://127.0.0.1:9")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(GanflowError, match=f"no Ray dashboard answers at {url}: no answer in time"):
            check_dashboard(url, timeout=0.2)


def test_runs_must_be_a_path_on_the_cluster():
    with pytest.raises(GanflowError, match=r"a job needs the folder for its runs .* --runs /an/absolute/path .* not 'runs'"):
        submit(parse_address("http://127.0.0.1:9"), read_recipe("grid"), "runs")


def sent(environment):
    """The distributions in what is sent."""
    return sorted(path.name.split("-")[0] for path in Path(environment["working_dir"]).glob("*.dist-info"))


def test_what_is_sent(workshop, tmp_path, monkeypatch):
    workshop.install("acme")
    workshop.install("unused")
    workshop.catalogue()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    recipe = read_recipe("grid", ["critic=acme/mosaic", "train.rounds=7"])
    (tmp_path / "sent").mkdir()
    environment = runtime_env(recipe, tmp_path / "sent")
    assert sent(environment) == ["ganflow", "gf_acme"]
    assert read_recipe(tmp_path / "sent" / "recipe.yaml") == recipe
    assert (tmp_path / "sent" / "gf_acme" / "__init__.py").exists()
    assert not (tmp_path / "sent" / "gf_unused").exists()
    assert environment["env_vars"]["MLFLOW_TRACKING_URI"] == "http://mlflow.example:5000"
    assert int(environment["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) > 60


def test_a_recipes_server_does_not_become_the_users(workshop, tmp_path, monkeypatch):
    """An address in a job's environment gets the credentials that the cluster has."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = "track.uri=http://mlflow.example:5000"
    (tmp_path / "grid.yaml").write_text(read_recipe("grid", [uri]).to_yaml())
    for number, (recipe, passed) in enumerate([(read_recipe(tmp_path / "grid.yaml"), False), (read_recipe("grid", [uri]), True)]):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        assert ("MLFLOW_TRACKING_URI" in runtime_env(recipe, scratch)["env_vars"]) is passed


def test_what_is_sent_to_go_on_with_a_sweep(workshop, tmp_path, monkeypatch):
    """There is no recipe here that says which plugins it needs."""
    workshop.install("acme")
    workshop.catalogue()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    (tmp_path / "sent").mkdir()
    environment = runtime_env(None, tmp_path / "sent")
    assert sent(environment) == ["ganflow", "gf_acme"]
    assert "MLFLOW_TRACKING_URI" not in environment["env_vars"]
    assert not (tmp_path / "sent" / "recipe.yaml").exists()


class TestClusterFiles:
    def test_they_are_no_recipes(self, command):
        files = sorted(path.name for path in (folder() / "cluster").glob("*.yaml"))
        assert files == ["ray-up.yaml", "rayjob.yaml"]
        assert not [recipe for recipe in shipped() if "cluster" in recipe.name or "ray" in recipe.path.stem]
        assert "cluster" not in command("recipes")[1]

    @pytest.mark.parametrize(("name", "opens"), [("rayjob", "kubectl apply -f "), ("ray-up", "ray up ")])
    def test_each_opens_with_its_command_and_says_what_to_change(self, name, opens):
        first, *rest = (folder() / "cluster" / f"{name}.yaml").read_text().splitlines()
        assert first == f"# {opens}recipes/cluster/{name}.yaml"
        assert any(line.startswith("# Change: ") for line in rest)

    def test_the_job(self):
        job = yaml.safe_load((folder() / "cluster" / "rayjob.yaml").read_text())
        assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
        words = job["spec"]["entrypoint"].split()
        assert words[:5] == ["python", "-P", "-m", "ganflow", "tune"]
        assert words[words.index("--address") + 1] == "auto"
        read_recipe(words[5])
        runs = words[words.index("--runs") + 1]
        cluster = job["spec"]["rayClusterSpec"]
        pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        images = {container["image"] for pod in pods for container in pod["template"]["spec"]["containers"]}
        images |= {container["image"] for container in job["spec"]["submitterPodTemplate"]["spec"]["containers"]}
        assert len(images) == 1
        for pod in pods:
            spec = pod["template"]["spec"]
            mounted = {m["name"] for c in spec["containers"] for m in c["volumeMounts"] if m["mountPath"] == runs}
            assert mounted == {volume["name"] for volume in spec["volumes"]}
        assert int(yaml.safe_load(job["spec"]["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) >= 60

    def test_their_ray_is_the_one_that_is_tested(self):
        import ray

        job = yaml.safe_load((folder() / "cluster" / "rayjob.yaml").read_text())
        assert job["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__

    def test_the_cluster_is_right_to_ray_itself(self):
        from ray.autoscaler._private.util import prepare_config, validate_config

        config = yaml.safe_load((folder() / "cluster" / "ray-up.yaml").read_text())
        validate_config(prepare_config(config))


SUBMIT = """
from ganflow.recipe import read_recipe
from ganflow.cluster.address import parse_address
from ganflow.cluster.submit import submit
print("code", submit(parse_address({address!r}), read_recipe("grid", {changes!r}), "/runs", entrypoint={command!r}))
"""


def job(cluster, *command, changes=(), address=None, **env):
    return cluster.run(SUBMIT.format(address=address or cluster.url, changes=list(changes), command=list(command) or None), **env)


@pytest.fixture(scope="module")
def cluster():
    with OwnCluster(token="s" * 32) as made:
        yield made


@pytest.mark.slow
class TestJobs:
    def test_the_output_and_the_exit_code_come_back(self, cluster):
        printed = job(cluster, "sh", "-c", "ls *.yaml; echo one; sleep 1; echo two; exit 7", RAY_ADDRESS="127.0.0.1:1")
        # Ray's own line is written from a buffer, now before what the command prints first, now after it
        assert "recipe.yaml\none\ntwo\n" in re.sub(r".*Running entrypoint for job.*\n", "", printed)
        assert printed.endswith("code 7\n")
        assert printed.count("one\n") == 1
        assert printed.startswith(("raysubmit_", "note"))
        assert job(cluster, "true").endswith("code 0\n")

    def test_a_plugin_reaches_workers_that_do_not_have_it(self, cluster, tmp_path):
        """Installed for the sender alone, as a real distribution; seen by tasks, and by the job itself."""
        site = third_party(tmp_path)
        code = """
import ray
from importlib.metadata import entry_points, version
def look():
    from ganflow.plugins import load_catalogue
    (point,) = entry_points(group="ganflow", name="acme")
    return load_catalogue().find("critic", "acme/tiny").distribution, point.dist.version
ray.init(address="auto", log_to_driver=False)
print("JOB", look(), "WORKER", ray.get(ray.remote(look).remote()))
"""
        there = cluster.run("import importlib.util\nprint(importlib.util.find_spec('gf_tiny'))")
        assert there == "None\n"
        printed = job(cluster, "python", "-c", code, changes=["critic=acme/tiny"], PYTHONPATH=str(site))
        assert "JOB ('gf-tiny', '3.1') WORKER ('gf-tiny', '3.1')" in printed

    def test_a_changed_plugin_replaces_the_one_that_the_cluster_knows(self, cluster, tmp_path):
        """The version is the same."""
        site = third_party(tmp_path)
        for said in ("first", "second"):
            (site / "gf_tiny" / "said.py").write_text(f"WORD = {said!r}\n")
            code = "import gf_tiny.said; print('SAID', gf_tiny.said.WORD)"
            assert f"SAID {said}\n" in job(cluster, "python", "-c", code, changes=["critic=acme/tiny"], PYTHONPATH=str(site))

    def test_ctrl_c_ends_the_following_and_not_the_job(self, cluster, tmp_path):
        command = ["sh", "-c", f"echo begun; until [ -e {tmp_path}/go ]; do sleep 0.1; done; touch {tmp_path}/done"]
        printed = followed(cluster, command, tmp_path, lambda pid, name: os.kill(pid, signal.SIGINT))
        assert printed.endswith("code 130\n"), printed
        name, at = re.match(r"raysubmit_\w+", printed)[0], f"--address {cluster.url}"
        assert f"{name} goes on; follow it with: ray job logs -f {name} {at}; end it with: ray job stop {name} {at}" in printed
        assert not (tmp_path / "done").exists()
        (tmp_path / "go").touch()
        ray(cluster, "logs", "-f", name)
        assert (tmp_path / "done").exists()

    def test_a_whole_sweep(self, cluster, tmp_path):
        """By the command itself, with a plugin that only the sender has, and gone on with by name."""
        third_party(tmp_path)
        small = ["critic=acme/tiny", "train.rounds=4", "train.batch_size=8", "train.compile=never"]
        small += ["tune.trials=2", "tune.rounds=0", "~tune.metric", "~tune.mode"]
        small += ["metrics=[{use: modes, samples: 50}]", "track.mlflow=false"]
        small += ["tune.space={optimizer.lr: {loguniform: [1e-4, 1e-3]}}"]
        words = ["grid", *small, "--name", "sent", "--address", cluster.url, "--runs", str(tmp_path / "runs")]
        env = cluster.environment(PYTHONPATH=str(tmp_path / "site"))
        done = subprocess.run(
            [sys.executable, "-m", "ganflow", "tune", *words], capture_output=True, text=True, env=env, cwd=tmp_path, timeout=400
        )
        assert done.returncode == 0, done.stdout + done.stderr
        about = json.loads((tmp_path / "runs" / "sent" / "run.json").read_text())
        assert (about["status"], about["over"]) == ("finished", 2)
        again = ["--resume", "sent", "--address", cluster.url, "--runs", str(tmp_path / "runs")]
        done = subprocess.run(
            [sys.executable, "-m", "ganflow", "tune", *again], capture_output=True, text=True, env=env, cwd=tmp_path, timeout=400
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 trials are over" in done.stdout

    def test_a_stopped_job_has_time_to_keep_its_checkpoints(self, cluster, tmp_path):
        """Ray's own three seconds would not do."""
        command = ["sh", "-c", "trap 'sleep 5; echo kept; exit 143' TERM; echo begun; while true; do sleep 0.1; done"]
        printed = followed(cluster, command, tmp_path, lambda pid, name: ray(cluster, "stop", "--no-wait", name))
        assert re.search(r"kept\nraysubmit_\w+ was stopped\ncode 143\n$", printed), printed

    @pytest.mark.parametrize(
        ("env", "said"),
        [
            ({"RAY_AUTH_TOKEN": "w" * 32}, "does not accept the token"),
            ({"RAY_AUTH_TOKEN": ""}, "RAY_AUTH_MODE is 'token', and there is no token"),
            ({"RAY_AUTH_MODE": "disabled"}, "asks for a token"),
        ],
    )
    def test_kept_out_with_one_sentence(self, cluster, env, said):
        printed = job(cluster, "true", **env)
        assert printed.startswith("REFUSED ")
        assert said in printed
        assert printed.count("\n") == 1

    def test_the_heads_port_is_not_the_dashboards(self, cluster):
        printed = job(cluster, "true", address=f"http://{cluster.head}")
        assert "is not Ray's dashboard" in printed
        assert printed.count("\n") == 1

    def test_what_is_only_here_is_said(self, cluster):
        changes = ["data={use: image_folder, path: pictures}", "track.uri=http://localhost:5000", "train.start_from=latest"]
        printed = job(cluster, "true", changes=changes)
        assert "note: data.path is pictures: a relative path" in printed
        assert "note: http://localhost:5000 is this machine's MLflow" in printed
        assert "note: train.start_from is latest" in printed


def followed(cluster, command, tmp_path, act):
    """What is printed while a job is followed; `act(pid, name)` when it has begun."""
    script = tmp_path / "follow.py"
    script.write_text(SUBMIT.format(address=cluster.url, changes=[], command=command))
    said = []
    with subprocess.Popen(
        [sys.executable, "-u", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=cluster.environment()
    ) as following:
        for line in following.stdout:
            said.append(line)
            if line == "begun\n":
                act(following.pid, said[0].split()[0])
    return "".join(said)


def ray(cluster, *words):
    words = [sys.executable, "-m", "ray.scripts.scripts", "job", *words, "--address", cluster.url]
    subprocess.run(words, env=cluster.environment(), check=True, capture_output=True, timeout=300)


def third_party(tmp_path):
    """A distribution built and installed by pip into a folder of its own."""
    source, site = tmp_path / "source", tmp_path / "site"
    (source / "gf_tiny").mkdir(parents=True)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "gf-tiny"\nversion = "3.1"\ndependencies = ["torch", "no-such-package-anywhere"]\n'
        '[project.entry-points.ganflow]\nacme = "gf_tiny"\n'
    )
    (source / "gf_tiny" / "said.py").write_text("WORD = ''\n")
    (source / "gf_tiny" / "__init__.py").write_text(
        "from ganflow import hookimpl, settings\nGANFLOW_CONTRACT = 2\n"
        "@settings\nclass Tiny:\n    @hookimpl\n    def critic(self, data):\n"
        "        from torch import nn\n        return nn.Linear(data.shape[0], 1)\n"
        "@hookimpl\ndef register(offer):\n    offer('critic', 'tiny', Tiny)\n"
    )
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", site, source], check=True)
    return site


def test_a_copy_of_what_pip_installed(tmp_path, monkeypatch):
    from ganflow.cluster.submit import copy_distributions

    site = third_party(tmp_path)
    monkeypatch.syspath_prepend(site)
    copy_distributions(["gf-tiny"], tmp_path / "copy")
    held = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*.py")}
    assert held == {"gf_tiny/__init__.py", "gf_tiny/said.py"}
