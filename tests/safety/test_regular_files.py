"""Only regular files are opened: a pipe, a socket, a device, also behind a link, is refused in a sentence, never waited for."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from ganflow import open_regular

KINDS = ("pipe", "socket", "device", "folder", "link to a pipe", "link to a device")


def irregular(kind: str, path):
    """Something of this kind at the path, a link to it where that is asked."""
    if kind.startswith("link"):
        target = path.with_name(f"{path.name}.target")
        path.symlink_to(irregular(kind.rpartition(" ")[2], target))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's address is short
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        finally:
            os.chdir(here)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_not_opened(tmp_path, kind):
    path = irregular(kind, tmp_path / "x")
    with pytest.raises(OSError, match="not a regular file") as caught:
        open_regular(path)
    assert (caught.value.errno, caught.value.strerror, caught.value.filename) == (
        errno.EINVAL, "not a regular file", str(path))  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_nor_when_it_becomes_one_between_two_looks(tmp_path, kind, monkeypatch):
    path, regular = irregular(kind, tmp_path / "x"), tmp_path / "regular"
    regular.touch()
    looked = os.stat(regular)
    monkeypatch.setattr(os, "stat", lambda path: looked)
    with pytest.raises(OSError, match=r"not a regular file|No such device"):  # the latter of a socket
        open_regular(path)


def test_a_file_is_opened_also_behind_links(tmp_path):
    (tmp_path / "file").write_bytes(b"a\r\nb")
    (tmp_path / "one").symlink_to("file")
    (tmp_path / "two").symlink_to("one")
    for path in (tmp_path / "file", str(tmp_path / "two")):
        with open_regular(path) as file:
            assert file.read() == b"a\r\nb"
            assert not os.get_inheritable(file.fileno())


@pytest.mark.parametrize(
    ("name", "number", "says"),
    [
        ("missing", errno.ENOENT, "No such file"),
        ("x" * 300, errno.ENAMETOOLONG, "File name too long"),
        ("a\0b", errno.EINVAL, "null byte"),
        ("loop", errno.ELOOP, "symbolic links"),
    ],
)
def test_what_cannot_be_opened_is_an_oserror(tmp_path, name, number, says):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match=says) as caught:
        open_regular(f"{tmp_path}/{name}")
    assert caught.value.errno == number
