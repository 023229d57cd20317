"""Sweeps on machines that fail, for real: full disks, disks with errors, mounts that are lost, too little memory."""

import fcntl
import gc
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_helpers import OwnCluster
from PIL import Image
from sweep_helpers import TINY, Tuning, played, recipe, resume, tune

from ganflow.sweeps.records import SweepFolder

pytestmark = pytest.mark.slow

WIDE = TINY.replace("{cpus: 0.5}", "{cpus: 1}")  # of fewer processes, which take seconds to start
HOG = """
import errno, os, signal, time
from pathlib import Path
from ganflow import hookimpl, key, settings

GANFLOW_CONTRACT = 2

@settings
class Hog:
    way: str = key("", "how it fails")
    folder: str = key("", "in which a file of that name says that it does")

    @hookimpl
    def round_reported(self, game, report):
        if not self.way or report.round < 200 or not (Path(self.folder) / self.way).exists():
            return
        if self.way == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.way == "ray":
            kept = [bytearray(os.urandom(1 << 20) * 50) for _ in range(160)]
            time.sleep(60)
        elif self.way == "gpu":
            import torch
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")
        else:
            number = getattr(errno, self.way)
            raise OSError(number, os.strerror(number), "mount/x")

@hookimpl
def register(offer):
    offer("modifier", "hog", Hog)
"""


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


def remount(disk, options):
    assert run("mount", "-o", f"remount,{options}", str(disk)).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """Mount a disk in memory where runs are kept, or elsewhere."""
    mounted = []

    def mount(options, where="runs"):
        folder = tmp_path / where
        folder.mkdir()
        done = run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    gc.collect()
    for folder in mounted:
        if os.path.ismount(folder):
            assert run("umount", "-l", str(folder)).returncode == 0


@pytest.fixture
def errors(tmp_path):
    """A disk where runs are kept: a function after which everything on it fails with EIO, and one that mends it."""
    image, folder = tmp_path / "image", tmp_path / "runs"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    if run("mkfs.ext4", "-q", str(image)).returncode or run("mount", "-o", "loop", str(image), str(folder)).returncode:
        pytest.skip("no disk with errors can be made here: it needs loop devices and root")

    def fail():
        disk = os.open(folder, os.O_RDONLY)
        fcntl.ioctl(disk, 0x8004587D, struct.pack("I", 0))  # EXT4_IOC_SHUTDOWN: as after an error of the device
        os.close(disk)

    def mend():
        assert run("umount", str(folder)).returncode == 0
        run("e2fsck", "-y", str(image))
        assert run("mount", "-o", "loop", str(image), str(folder)).returncode == 0

    yield fail, mend
    gc.collect()
    run("umount", "-l", str(folder))


@pytest.fixture
def lose():
    """Mount a file system of another process, that has ended, on a folder: any use of it fails with ENOTCONN."""
    lost = []

    def lose(folder):
        script = (
            "import ctypes, os, sys; fd = os.open('/dev/fuse', os.O_RDWR); libc = ctypes.CDLL(None, use_errno=True); "
            "data = f'fd={fd},rootmode=40000,user_id=0,group_id=0'.encode(); "
            "sys.exit(libc.mount(b'lost', sys.argv[1].encode(), b'fuse', 0, data) and 1)"
        )
        done = run(sys.executable, "-c", script, str(folder))
        if done.returncode:
            pytest.skip(f"no mount can be lost here: {done.stderr.strip().splitlines()[-1:]}")
        lost.append(folder)

    yield lose
    for folder in lost:
        run("umount", "-l", str(folder))


@pytest.fixture
def hog(tmp_path):
    """A plugin that fails in the second trial of a grid as long as a file says so; changes for a sweep, and its environment."""
    site = tmp_path / "site"
    OwnCluster.site(None, site, gf_hog="1.0")
    (site / "gf_hog.py").write_text(HOG)

    def fails(way):
        (tmp_path / way).touch()
        recipe(tmp_path, WIDE)
        more = f"+modifiers={{use: hog, folder: {tmp_path}}}"
        space = f"tune.space={{'modifiers[1].way': {{grid: ['', {way}, none]}}}}"
        changes = (more, space, "tune.search=grid", "tune.retries=1", "train.rounds=1000")
        return changes, {"PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}

    return fails


def assert_interrupted(code, out, err, sweep, *said):
    """In one sentence, which says how to go on; nothing is lost."""
    assert (code, out) == (2, ""), out + err
    assert err.count("\n") == 1, err
    assert all(word in err for word in said), err
    assert err.endswith(f", then go on with: ganflow tune --resume {sweep.sweep}\n")
    assert {t.state for t in sweep.trials().values()} <= {"waiting", "running", "finished"}
    assert not list(Path("/tmp").glob(f"ganflow-ray-{os.getpid()}-*"))


def assert_finished(folder, sweep, count, **env):
    code, out, err = resume(folder, sweep.sweep, "-q", **env)
    assert code == 0, err
    assert f"{count} trials are over" in out
    for number, trial in sweep.trials().items():
        assert (trial.state, trial.error, trial.cause) == ("finished", "", "")
        rounds = played(sweep.trial(number))
        assert rounds == sorted(set(rounds))
        assert sweep.trial(number).read().status == "finished"
    assert sweep.read().status == "finished"


def test_a_disk_that_fills_up_interrupts_the_sweep_and_with_room_it_goes_on(tmp_path, disk):
    place = disk("size=100k")
    recipe(tmp_path, WIDE)
    changes = ("train.keep=100000", "train.checkpoint_every=20", "train.rounds=4000")
    code, out, err = tune(tmp_path, "full", *changes, options=["-q"])
    sweep = SweepFolder(place / "full")
    assert_interrupted(code, out, err, sweep, "No space left on device", "; make room, then", f"{place}")
    remount(place, "size=500m")
    assert_finished(tmp_path, sweep, 4)


@pytest.mark.rare
def test_a_disk_with_errors(tmp_path, errors):
    fail, mend = errors
    recipe(tmp_path, WIDE)
    with Tuning.new(tmp_path, "bad", options=["-q"]) as process:
        process.playing(600)
        fail()
        code, out, err = process.end()
    mend()
    words = "Input/output error; ", "; see to that disk or mount, then"  # a checkpoint's sentence says more between them
    assert_interrupted(code, out, err, process.sweep, str(tmp_path / "runs"), *words)
    assert_finished(tmp_path, process.sweep, 4)


@pytest.mark.rare
def test_runs_on_a_mount_that_is_lost(tmp_path, lose):
    recipe(tmp_path, WIDE)
    with Tuning.new(tmp_path, "gone", options=["-q"]) as process:
        process.playing(600)
        lose(tmp_path / "runs")
        code, out, err = process.end()
    assert run("umount", "-l", str(tmp_path / "runs")).returncode == 0
    words = "Transport endpoint is not connected; ", "; see to that disk or mount, then"
    assert_interrupted(code, out, err, process.sweep, str(tmp_path / "runs"), *words)
    assert_finished(tmp_path, process.sweep, 4)


@pytest.mark.rare
def test_data_on_a_mount_that_is_lost(tmp_path, disk, lose):
    mount = disk("size=10m", "data")
    images = mount / "images"
    images.mkdir()
    for i in range(512):  # 51 of them are held out: fewer would be said to be too few for the metric
        Image.new("RGB", (16, 16), (i % 256, i // 256, 0)).save(images / f"{i}.png")
    text = WIDE.replace("data: {use: gaussians, layout: ring}", f"data: {{use: image_folder, path: {images}, size: 16}}")
    text = text.replace("{use: mlp, width: 8, depth: 1}", "{use: dcgan, width: 4}")
    recipe(tmp_path, text)
    changes = ("train.rounds=600", "metrics[0].samples=50", "tune.concurrency=1")
    with Tuning.new(tmp_path, "data", *changes, options=["-q"]) as process:
        process.playing(20)
        assert run("umount", "-l", str(mount)).returncode == 0
        lose(mount)
        code, out, err = process.end()
    words = ": Transport endpoint is not connected; see to that disk or mount"
    assert_interrupted(code, out, err, process.sweep, f"{images}", words)


def assert_one_failed(code, out, sweep, error):
    assert code == 1, out
    assert [t.state for t in sweep.trials().values()] == ["finished", "failed", "finished"]
    assert sweep.trials()[1].error == error
    assert "1 trial failed; see: ganflow sweeps show m\n" in out


REASONS = {
    "killed": "its process died at once; was it killed, for want of memory? (2 times)",
    "ray": "its process was ended: the node ran out of memory (2 times)",
}


@pytest.mark.rare
@pytest.mark.parametrize("way", REASONS)
def test_a_trial_that_is_killed_for_memory_fails_alone_and_is_tried_again_when_the_sweep_goes_on(way, tmp_path, hog):
    limit = {}
    changes, env = hog(way)
    if way == "ray":
        total, free = (int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()[:3:2])
        if free < 10 << 20:
            pytest.skip("too little memory is free to take 8 GB of it")
        limit = {"RAY_memory_usage_threshold": str(1 - (free - (4 << 20)) / total), "RAY_memory_monitor_refresh_ms": "50"}
    code, out, _ = tune(tmp_path, "m", *changes, "tune.concurrency=1", options=["-q"], **env, **limit)
    sweep = SweepFolder(tmp_path / "runs" / "m")
    assert_one_failed(code, out, sweep, REASONS[way])
    assert out.endswith("1 for no reason of its own; try again: ganflow tune --resume m\n")
    (tmp_path / way).unlink()
    assert_finished(tmp_path, sweep, 3, **env)


@pytest.mark.rare
def test_a_gpu_that_is_too_small_is_the_trials_own_trouble(tmp_path, hog):
    changes, env = hog("gpu")
    code, out, _ = tune(tmp_path, "m", *changes, options=["-q"], **env)
    sweep = SweepFolder(tmp_path / "runs" / "m")
    assert_one_failed(code, out, sweep, "CUDA out of memory. Tried to allocate 20 GiB. (2 times)")
    assert "try again" not in out
    (tmp_path / "gpu").unlink()
    code, out, _ = resume(tmp_path, "m", "-q", **env)
    assert_one_failed(code, out, sweep, "CUDA out of memory. Tried to allocate 20 GiB. (2 times)")
