"""Files of numpy's from a stranger: small ones that would fill the memory, and what is no array of numbers."""

import pickle
import zipfile

import pytest
from ganflow_data.tensors import read
from ganflow_translation.files import read_numbers

from ganflow import machine
from ganflow.cli.main import main
from ganflow.errors import GanflowError

RECIPE = """\
data: {{use: tensor_file, path: {file}}}
prior: {{use: normal, dim: 2}}
generator: {{use: mlp, width: 8, depth: 1}}
critic: {{use: mlp, width: 8, depth: 1}}
loss: {{use: non_saturating}}
optimizer: {{use: adam, lr: 1.0e-3}}
train: {{rounds: 1, batch_size: 8, compile: never}}
"""


def header(shape, descr="'|u1'"):
    """A .npy file of version 1 without its numbers."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + (len(text) + 1).to_bytes(2, "little") + text + b"\n"


def bomb(file, gigabytes=0.4, declared=None):
    """A .npz file of zeros, a thousandth of what is in it."""
    count = int(gigabytes * 2**30)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed, packed.open("x.npy", "w") as member:
        member.write(header((declared or count, 1)))
        for _ in range(count // 2**22):
            member.write(bytes(2**22))
    return file


@pytest.fixture
def little(monkeypatch):
    """A machine with a little memory."""
    monkeypatch.setattr(machine, "available", lambda: 10**8)


@pytest.mark.parametrize("command", ["run", "check --build", "data"])
def test_an_archive_that_would_fill_the_memory(tmp_path, monkeypatch, capsys, little, command):
    monkeypatch.chdir(tmp_path)
    file = bomb(tmp_path / "b.npz")
    assert file.stat().st_size < 4_000_000
    (tmp_path / "r.yaml").write_text(RECIPE.format(file="b.npz"))
    assert main([*command.split(), "r.yaml"]) in (1, 2)
    out = "".join(capsys.readouterr())
    assert "b.npz, unpacked, would take 428 MB of memory, and 100 MB are free; keep its arrays in .npy files" in out
    assert "Traceback" not in out


def test_archives_that_lie(tmp_path):
    for declared, why in ((10**15, "EOF|allocate"), (7, None)):
        file = bomb(tmp_path / "b.npz", 0.01, declared)
        if why is None:
            assert read(file)["x"].shape == (7, 1)
            continue
        with pytest.raises(GanflowError, match=rf"cannot read .*b\.npz: .*({why})"):
            read(file)


HOSTILE = {
    "huge": header((10**18, 3)),
    "too huge": header((10**30,)),
    "negative": header((-5,)),
    "many": header((2**31, 2**31, 2**31)),
    "empty items": header((10**18,), "'|V0'"),
    "objects": header((3,), "'|O'") + pickle.dumps([1, 2, 3]),
    "fields": header((2,), "[('a', '<f4'), ('b', '<i2')]") + bytes(12),
    "objects in fields": header((2,), "[('a', '|O')]") + bytes(16),
    "texts": header((2,), "'<U3'") + bytes(24),
    "times": header((2,), "'<M8[s]'") + bytes(16),
    "halves of numbers": header((2, 2), "'<c8'") + bytes(32),
    "deep": b"\x93NUMPY\x01\x00\x40\x1f" + b"(" * 8000,
    "code": header("__import__('os').mkdir('harm')"),
    "long": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "version": b"\x93NUMPY\x09\x00",
    "nothing": b"",
    "pickle": pickle.dumps({"a": 1}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_files_that_hold_no_numbers(tmp_path, monkeypatch, capsys, what):
    """Each command that reads such a file, and each kind of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npy").write_bytes(HOSTILE[what])
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as packed:
        packed.writestr("x.npy", HOSTILE[what])
    for name in ("a.npy", "a.npz"):
        (tmp_path / "r.yaml").write_text(RECIPE.format(file=name))
        for command in ("run", "data"):
            assert main([command, "r.yaml"]) == 2
            said = capsys.readouterr().err
            assert name in said
            assert "Traceback" not in said
            assert len(said.splitlines()) <= 2
    with pytest.raises(GanflowError, match=r"a\.npy"):
        read_numbers(tmp_path / "a.npy", 3)
    assert not (tmp_path / "harm").exists()


def test_pictures_that_would_fill_the_memory(tmp_path, little):
    """A file with holes, which takes no room on the disk."""
    for descr, size in (("'|u1'", 1), ("'<f4'", 4), ("'>f8'", 8)):
        with (tmp_path / "a.npy").open("wb") as file:
            file.write(header((3, 9000, 9000), descr))
            file.truncate(file.tell() + 3 * 9000 * 9000 * size)
        says = r"a\.npy, an image of shape .* would take 2\.92 GB of memory, and 100 MB are free; write it in several files"
        with pytest.raises(GanflowError, match=says):
            read_numbers(tmp_path / "a.npy", 3)
    with pytest.raises(GanflowError, match=r"the other sequence would take 1\.94 GB of memory, and 100 MB are free; write it"):
        read(tmp_path / "a.npy")
