"""Only regular files are opened: a pipe, a socket, a device, also behind a link, is refused in a sentence, never waited for."""

from __future__ import annotations

import errno
import os
import pwd
import signal
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

from ganflow import GanflowError, open_regular, user_path
from ganflow.cli.main import main

KINDS = ("pipe", "socket", "device", "folder", "link to a pipe", "link to a device")
FILES = tuple(kind for kind in KINDS if kind != "folder")


@pytest.fixture(autouse=True)
def ends():
    """A test that waits for a pipe fails after 20 seconds."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits", pytrace=False))
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(here, capsys):
    """The one sentence with which a command refuses its input."""

    def run(*arguments):
        assert main(list(arguments)) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    return run


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


@contextmanager
def also_written(path):
    """A pipe that somebody else writes to: a library that opens it need not wait where no signal is heard."""
    file = os.open(path, os.O_RDWR) if path.is_fifo() else None
    try:
        yield
    finally:
        if file is not None:
            os.close(file)


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


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("command", ["run", "check", "recipe", "tune"])
def test_as_a_recipe(here, refused, kind, command):
    irregular(kind, here / "x.yaml")
    command = "check" if command == "recipe" else command
    assert refused(command, "x.yaml").endswith(
        "'x.yaml' is no file, but a pipe, a socket or a device; write the recipe to a file, and name that\n")  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_as_a_stage(here, refused, kind):
    (here / "sub").mkdir()
    irregular(kind, here / "sub" / "x.yaml")
    (here / "sub" / "stages.yaml").write_text("stages: [x.yaml]\n")
    assert "'sub/x.yaml' is no file, but a pipe, a socket or a device" in refused("check", "sub/stages.yaml")


RECIPE = """\
data: {{use: {data}}}
prior: {{use: normal, dim: 2}}
generator: {{use: mlp, width: 4}}
critic: {{use: mlp, width: 4}}
loss: minimax
optimizer: adam
train: {{rounds: 1, batch_size: 2{train}}}
track: {{mlflow: false}}
"""


def write(data="gaussians", train=""):
    Path("r.yaml").write_text(RECIPE.format(data=data, train=train))


@pytest.mark.parametrize("kind", ["pipe", "link to a device"])
@pytest.mark.parametrize("name", ["x.npy", "x.safetensors"])
@pytest.mark.parametrize("key", ["path", "labels"])
def test_as_tensors(here, refused, kind, name, key):
    import numpy as np

    np.save("good.npy", np.zeros((8, 2), np.float32))
    write(f"tensor_file, path: {name}" if key == "path" else f"tensor_file, path: good.npy, labels: {name}")
    with also_written(irregular(kind, here / name)):
        assert refused("run", "r.yaml", "-q").endswith(f"data.{key}: {name} cannot be read: not a regular file\n")


@pytest.mark.parametrize("kind", FILES)
def test_as_a_checkpoint(here, kind):
    from ganflow.runs.checkpoints import Damaged, read

    path = irregular(kind, here / "x.safetensors")
    with also_written(path), pytest.raises(Damaged, match="not a regular file"):
        read(here / "x.safetensors")


def test_in_the_folder_of_a_sentence_transformer(here):
    from ganflow_text.encoding.sentence_transformer import Transformer

    (here / "model").mkdir()
    irregular("pipe", here / "model" / "config.json")
    with pytest.raises(GanflowError, match=r"^encoder sentence_transformer: model/config.json is no file, but a pipe"):
        Transformer("model")


def test_paths_of_the_user(here, monkeypatch):
    monkeypatch.setenv("HOME", "/far/me")
    assert [user_path("k", text) for text in ("a/b", "/a", "~/a", "./~nobody/x", "b ~", "~")] == [
        Path(p) for p in ("a/b", "/a", "/far/me/a", "./~nobody/x", "b ~", "/far/me")]  # fmt: skip
    assert [user_path("k", text, Path("f")) for text in ("a", "/a")] == [Path("f/a"), Path("/a")]
    Path("loop").symlink_to("loop")
    home = pwd.getpwnam("root").pw_dir
    assert user_path("k", "~root") == Path(home)
    for text, says in {
        "~root/x": f"k: '~root/x': it means {home}/x, which is not there; for a folder here that is called so, write ./~root",
        "~nobody2/x": "k: '~nobody2/x': there is no user 'nobody2'; for a folder here that is called so, write ./~nobody2",
        "x" * 300: f"k: '{'x' * 50}' … (300 characters) cannot be a path: File name too long",
        "a\0b": r"k: 'a\x00b' cannot be a path: it holds a NUL, or half a character",
        "loop/x": "k: 'loop/x' cannot be a path: Too many levels of symbolic links",
    }.items():
        with pytest.raises(GanflowError) as caught:
            user_path("k", text)
        assert str(caught.value) == says


@pytest.mark.parametrize("use", ["image_folder", "tensor_file", "paired_folder", "unpaired_folder", "captioned_folder"])
@pytest.mark.parametrize("path", ["~nobody2/x", "x" * 300, "a\\0b"])
def test_what_can_be_no_path_is_the_keys_mistake(here, refused, use, path):
    write(f'{use}, path: "{path}"')
    assert "data.path: '" in refused("run", "r.yaml", "-q")


@pytest.mark.parametrize("start", ["~nobody2/x", "x" * 300, "a\\0b"])
def test_nor_a_run_to_start_from(here, refused, start):
    write(train=f', start_from: "{start}"')
    assert "train.start_from: '" in refused("run", "r.yaml", "-q")


def test_a_run_whose_name_is_too_long(here, refused):
    for command in (("sample",), ("run", "--resume"), ("tune", "--resume"), ("runs", "show")):
        assert "no " in refused(*command, "x" * 300)
