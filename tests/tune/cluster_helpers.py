"""Ray clusters of a test's own: on free ports, in a temporary folder, ended with the test."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from port_helpers import free_ports

BIN = Path(sys.executable).parent
DRIVER = """
import json, sys
from ganflow.errors import GanflowError
try:
{code}
except GanflowError as error:
    print("REFUSED", error)
"""

PLUGIN = """
from ganflow import hookimpl, settings

GANFLOW_CONTRACT = 2

@settings
class Patch:
    @hookimpl
    def critic(self, data):
        return None

@hookimpl
def register(offer):
    offer("critic", "patch", Patch)
"""


class OwnCluster:
    """`ray start --head`, and further nodes.

    Args:
        token: that it asks for; None for no token.
        before: words before the command of the head: `ip netns exec …`.
    """

    def __init__(self, token=None, *, cpus=2, before=(), ip=None, dashboard=True):
        self.folder = Path(tempfile.mkdtemp(prefix="gr-", dir="/tmp"))  # short: sockets live in it
        (self.folder / "home").mkdir()
        self.token, self.processes = token, []
        self.port, self.dashboard, *more = free_ports(4)
        self.head = f"{ip or '127.0.0.1'}:{self.port}"
        self.url = f"http://127.0.0.1:{self.dashboard}"
        head = ["--head", "--port", self.port, "--ray-client-server-port", more[0], "--temp-dir", self.folder / "r"]
        head += ["--include-dashboard", str(dashboard).lower(), "--dashboard-port", self.dashboard]
        head += ["--node-ip-address", ip] if ip else []
        try:
            self._start([*head, "--num-cpus", cpus, "--dashboard-agent-listen-port", more[1]], before, {})
            if dashboard:
                self._wait(self._dashboard_answers)
        except BaseException:
            self.end()
            raise

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token} if self.token else {"RAY_AUTH_MODE": "disabled"}
        if "PYTHONPATH" in more:  # in front of where ganflow itself may come from
            more["PYTHONPATH"] = os.pathsep.join(filter(None, [more["PYTHONPATH"], os.environ.get("PYTHONPATH")]))
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "HOME": str(self.folder / "home")}
        changed = {**kept, "PATH": f"{BIN}:{kept['PATH']}", **quiet, **token, **more}
        return {name: value for name, value in changed.items() if value is not None}

    def add(self, *options, before=(), **env):
        self._start(["--address", self.head, "--dashboard-agent-listen-port", *free_ports(1), *options], before, env)

    def site(self, folder, **versions):
        """A folder for PYTHONPATH in which distributions say that they have these versions; a plugin's has a critic, too."""
        for package, version in versions.items():
            info = folder / f"{package}-{version}.dist-info"
            info.mkdir(parents=True)
            name = package.replace("_", "-")
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            if package.startswith("gf_"):
                (info / "entry_points.txt").write_text(f"[ganflow]\n{package[3:]} = {package}\n")
                (folder / f"{package}.py").write_text(PLUGIN)

    def _start(self, options, before, env):
        ports = ["--min-worker-port", 0, "--max-worker-port", 0, "--disable-usage-stats", "--block"]
        command = [*before, BIN / "ray", "start", *options, *ports]
        log = self.folder / f"start-{len(self.processes)}.txt"
        with log.open("w") as out:
            process = subprocess.Popen(
                list(map(str, command)), stdout=out, stderr=out, env=self.environment(**env), start_new_session=True
            )
        self.processes.append(process)

        def started():
            assert process.poll() is None, log.read_text()
            if "Ray runtime started" not in log.read_text():
                raise OSError(log.read_text())

        self._wait(started)

    def _dashboard_answers(self):
        """It listens long before."""
        try:
            urllib.request.urlopen(f"{self.url}/api/version", timeout=10).close()
        except urllib.error.HTTPError as asks_for_a_token:
            asks_for_a_token.close()

    def _wait(self, tried, seconds=150):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return tried()
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.25)

    def run(self, code, *, cwd=None, before=(), timeout=300, **env):
        """Run a driver's code; what it printed."""
        script = self.folder / "driver.py"
        script.write_text(DRIVER.format(code="\n".join(f"    {line}" for line in code.strip().splitlines())))
        words = [*before, sys.executable, "-P", str(script)]
        done = subprocess.run(
            words, capture_output=True, text=True, cwd=cwd or self.folder, timeout=timeout, env=self.environment(**env)
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def end(self):
        """At once: asked politely, Ray takes half a minute."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for pid in self._left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _left(self):
        """Processes of this cluster that are still there: their command lines name its folder."""
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if f"{self.folder}/r".encode() in entry.read_bytes():
                    yield int(entry.parent.name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.end()

