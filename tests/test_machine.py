"""Which errors are the machine's, whichever way they come."""

import errno
import os
import pickle
from pathlib import Path

import pytest

from ganflow.cli.main import _exhausted
from ganflow.engine.rendezvous import Failed, Lost
from ganflow.errors import GanflowError
from ganflow.machine import Broken, broken, of_memory
from ganflow.plugins.loading import ended_from_outside, plugins_fault

MACHINES = ["ENOSPC", "EDQUOT", "EIO", "EROFS", "ESTALE", "ENOTCONN", "EREMOTEIO", "EUCLEAN"]
OTHERS = ["ENOENT", "EACCES", "EPERM", "EISDIR", "ECONNREFUSED", "EPIPE", "ENOMEM", "EINVAL", "ENODEV"]


def numbered(name, *file):
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), *file)


def raised(error, cause=None, hidden=False):
    """An error as it arrives: raised while another was handled."""
    try:
        try:
            raise cause or ValueError
        except Exception as before:
            if hidden:
                raise error from None
            raise error from before
    except Exception as whole:
        return whole


@pytest.mark.parametrize("name", MACHINES)
def test_a_disks_error_is_one_however_it_is_wrapped(name):
    words = os.strerror(getattr(errno, name))
    plain = numbered(name, "photos/x.png")
    assert str(broken(plain)).startswith(f"photos/x.png: {words}; ")
    for hidden in (False, True):
        sentence = raised(GanflowError(f"cannot write runs/x: {words}; earlier ones are intact"), numbered(name), hidden)
        assert str(broken(sentence)).startswith(f"cannot write runs/x: {words}; earlier ones are intact; ")
        vague = raised(GanflowError("the image photos/x.png cannot be read"), plain, hidden)
        assert str(broken(vague)).startswith(f"photos/x.png: {words}; ")
    assert str(broken(Failed(f"OSError: {plain}"))).startswith(f"OSError: {plain}; ")  # from another process, as text
    assert str(broken(RuntimeError(f"worker: {plain}"))).startswith(f"photos/x.png: {words}; ")
    assert isinstance(pickle.loads(pickle.dumps(broken(plain))), Broken)
    assert plugins_fault(plain, "now", "here") is None
    assert _exhausted(plain) == f"{broken(plain)}, and try again"


@pytest.mark.parametrize("name", OTHERS)
def test_other_errors_of_the_system_are_not(name):
    for error in (numbered(name), numbered(name, "photos/x.png"), raised(GanflowError("no"), numbered(name))):
        assert broken(error) is None
    assert broken(RuntimeError(str(numbered(name, "/x")))) is None


def test_what_is_no_disks(tmp_path):
    for error in (ValueError("no"), GanflowError("no"), Lost("worker 1 of 2 died"), KeyboardInterrupt(), MemoryError()):
        assert broken(error, tmp_path) is None
    assert broken(RuntimeError("[c10d] The socket has failed (errno: 107 - Transport endpoint is not connected)")) is None


def test_a_process_that_ray_ends_is_no_plugins_fault():
    ended = SystemExit(1)
    ended.ray_terminate_msg = "The process receives a SIGTERM."  # as Ray raises it
    assert plugins_fault(ended, "now", "here") is None
    assert ended_from_outside(ended)
    assert not ended_from_outside(SystemExit(1))


def test_a_folder_that_is_gone_is_named(tmp_path):
    gone = tmp_path / "data"
    assert str(broken(GanflowError("no image in it"), tmp_path, gone)).startswith(f"{gone}: No such file or directory; see to ")
    assert str(broken(numbered("EIO"), tmp_path, gone)).startswith(f"{gone}: Input/output error; ")
    assert str(broken(numbered("EIO"), tmp_path)).startswith(f"{tmp_path}: Input/output error; ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_real_full_disk():
    with pytest.raises(OSError) as caught, open("/dev/full", "wb", buffering=0) as file:  # noqa: PT011 - any
        file.write(b"x")
    assert str(broken(caught.value, Path("/dev"))) == "/dev: No space left on device; make room"


@pytest.mark.parametrize(
    ("text", "machines"),
    [
        ("MemoryError: Unable to allocate 3.00 GiB for an array", True),
        ("RuntimeError: [enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory", True),
        ("OSError: [Errno 12] Cannot allocate memory", True),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of 79 GiB", False),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory.", False),
        ("ValueError: no", False),
    ],
)
def test_too_little_memory_is_the_machines_but_not_a_gpus(text, machines):
    assert of_memory(text) == machines
