"""Checkpoint files: whole or noticed, one after the other, never run as code."""

import ast
import errno
import json
import os
import pickle
import random
import re
import struct
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import ganflow
from ganflow.errors import GanflowError
from ganflow.runs import checkpoints
from ganflow.runs.checkpoints import BEST, Damaged, Writer, newest, read


def state(round, size=50):
    tensors = {
        "weight": torch.arange(float(size)) + round,
        "count": torch.tensor(round),
        "half": torch.ones(2, 3, dtype=torch.bfloat16) * round,
        "mask": torch.tensor([True, False]),
        "none": torch.empty(0, 4),
        "image": torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(round)).to(memory_format=torch.channels_last),
    }
    return tensors, {"round": round, "best": {}, "rates": [1e-300, 0.1, None]}


def write(folder, *rounds, keep=3, best=(), size=50):
    writer = Writer(folder, keep)
    for round in rounds:
        writer.write(*state(round, size), best=round in best)
    writer.wait()


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_what_is_read_is_what_was_written(tmp_path):
    write(tmp_path, 7)
    tensors, plain = state(7)
    found = read(tmp_path / "round-00000007.safetensors")
    assert found.plain == {"format": 1, **plain}
    assert found.round == 7
    assert found.tensors.keys() == tensors.keys()
    for name, t in tensors.items():
        assert found.tensors[name].dtype == t.dtype
        assert torch.equal(found.tensors[name], t)


def test_the_snapshot_is_taken_at_once(tmp_path, monkeypatch):
    """Training goes on while the file is written, and changes the tensors."""
    go, save = threading.Event(), checkpoints.save_file

    def slowly(*arguments):
        go.wait()
        save(*arguments)

    monkeypatch.setattr(checkpoints, "save_file", slowly)
    tensors, plain = state(1)
    expected = tensors["weight"].clone()
    writer = Writer(tmp_path, 3)
    writer.write(tensors, plain)
    tensors["weight"].add_(1)
    assert not list(tmp_path.glob("round*.safetensors"))
    go.set()
    writer.wait()
    assert torch.equal(newest(tmp_path)[0].tensors["weight"], expected)


def test_buffers_follow_a_tensor_that_changes(tmp_path):
    """In shape or dtype, from one checkpoint to the next; and one that is gone is not kept."""
    writer = Writer(tmp_path, 9)
    states = [{"a": torch.ones(2), "b": torch.ones(1)}, {"a": torch.ones(3), "b": torch.ones(1)},
              {"a": torch.full((3,), 1 / 3, dtype=torch.float64)}, {"a": torch.ones(3, dtype=torch.int64)}]  # fmt: skip
    for round, tensors in enumerate(states):
        writer.write(tensors, {"round": round})
    writer.wait()
    for round, tensors in enumerate(states):
        found = read(tmp_path / f"round-{round:08d}.safetensors").tensors
        assert found.keys() == tensors.keys()
        assert all(found[name].dtype == t.dtype and torch.equal(found[name], t) for name, t in tensors.items())


def test_the_last_ones_and_the_best_are_kept(tmp_path):
    write(tmp_path, 1, 2, 3, 4, 5, keep=2, best=(1, 2))
    assert names(tmp_path) == [BEST, "round-00000004.safetensors", "round-00000005.safetensors"]
    assert read(tmp_path / BEST).round == 2
    assert newest(tmp_path)[0].round == 5


def test_the_best_is_copied_where_there_are_no_links(tmp_path, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    write(tmp_path, 1, 2, best=(1,))
    assert read(tmp_path / BEST).round == 1
    assert newest(tmp_path)[0].round == 2


def flip(path, byte, bit=0):
    raw = bytearray(path.read_bytes())
    raw[byte] ^= 1 << bit
    path.write_bytes(raw)


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    """Every byte of the header, and every third one of the tensors."""
    write(tmp_path, 1)
    path = tmp_path / "round-00000001.safetensors"
    whole, draw = path.read_bytes(), random.Random(0)
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    assert 400 < header < len(whole) - 300
    for byte in (*range(header), *range(header, len(whole), 3)):
        flip(path, byte, draw.randrange(8))
        with pytest.raises(Damaged, match=r"^round-00000001.safetensors (cannot be read \(|does not match its digest)"):
            read(path)
        path.write_bytes(whole)
    assert read(path).round == 1


@pytest.mark.parametrize("left", [0, 1, 7, 8, 9, 100, -1, -100])
def test_a_file_that_is_cut_off_is_noticed(tmp_path, left):
    write(tmp_path, 1, 2)
    path = tmp_path / "round-00000002.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    found, damaged = newest(tmp_path)
    assert found.round == 1
    assert [d.path for d in damaged] == [path]
    assert str(damaged[0]).startswith("round-00000002.safetensors cannot be read (")


def test_a_file_with_something_added_is_noticed(tmp_path):
    write(tmp_path, 1)
    path = tmp_path / "round-00000001.safetensors"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(Damaged):
        read(path)


def test_safetensors_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "round-00000003.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(Damaged, match="does not match its digest"):
        read(path)


def test_a_later_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    write(tmp_path, 1)
    monkeypatch.setattr(checkpoints, "FORMAT", 1)
    with pytest.raises(Damaged, match=r"is of format 2, of a newer ganflow \(this one reads 1\): update ganflow"):
        read(tmp_path / "round-00000001.safetensors")


def test_a_folder_in_place_of_a_file(tmp_path):
    write(tmp_path, 1)
    (tmp_path / "round-00000002.safetensors").mkdir()
    found, damaged = newest(tmp_path)
    assert found.round == 1
    assert len(damaged) == 1


def test_the_best_is_the_last_resort(tmp_path):
    write(tmp_path, 1, 2, 3, 4, keep=2, best=(1,))
    for path in tmp_path.glob("round-*"):
        path.write_bytes(b"")
    found, damaged = newest(tmp_path)
    assert found.path == tmp_path / BEST
    assert found.round == 1
    assert len(damaged) == 2
    (tmp_path / BEST).write_bytes(b"")
    assert newest(tmp_path)[0] is None


def test_nothing_is_there(tmp_path):
    assert newest(tmp_path) == (None, [])
    assert newest(tmp_path / "nowhere") == (None, [])
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "round-00000001.safetensors")


def test_what_was_killed_leaves_nothing_behind(tmp_path):
    write(tmp_path, 1)
    for name in (".round-00000002.safetensors.77", f".{BEST}.77", "round-00000002.77.partial", ".tmpZslBJd"):
        (tmp_path / name).write_bytes(b"torn")
    assert newest(tmp_path)[0].round == 1
    Writer(tmp_path, 3)
    assert names(tmp_path) == ["round-00000001.safetensors"]


@pytest.mark.parametrize("step", ["save_file", "fsync", "replace"])
def test_a_failure_at_any_step_leaves_the_earlier_ones(tmp_path, monkeypatch, step):
    write(tmp_path, 1, best=(1,))

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = Writer(tmp_path, 3)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints if step == "save_file" else os, step, fail)
        writer.write(*state(2), best=True)
        told = f"cannot write a checkpoint to {tmp_path}: No space left on device; earlier ones are intact"
        with pytest.raises(GanflowError, match=re.escape(told)):
            writer.wait()
    assert newest(tmp_path)[0].round == 1
    assert read(tmp_path / BEST).round == 1
    writer.write(*state(3))  # told once; the next one has its chance
    writer.wait()
    assert newest(tmp_path)[0].round == 3
    assert "round-00000002.safetensors" not in names(tmp_path)


def test_a_bug_in_the_thread_is_not_lost(tmp_path, monkeypatch):
    def fail(*_):
        raise TypeError("no such tensor")

    monkeypatch.setattr(checkpoints, "save_file", fail)
    writer = Writer(tmp_path, 3)
    writer.write(*state(1))
    with pytest.raises(TypeError, match="no such tensor"):
        writer.wait()
    assert names(tmp_path) == []


def test_a_reader_sees_only_whole_files(tmp_path):
    """While checkpoints are written, one after the other and old ones removed, there is always one to read."""
    write(tmp_path, 1, size=200_000)
    done = threading.Event()

    def keep_writing():
        try:
            write(tmp_path, *range(2, 30), keep=1, size=200_000)
        finally:  # the reader ends, too
            done.set()

    thread = threading.Thread(target=keep_writing, daemon=True)
    thread.start()
    seen = []
    while not done.is_set():
        found, damaged = newest(tmp_path)
        assert damaged == []
        if found:  # between listing and reading, the only one may go
            seen.append(found.round)
            assert found.tensors["weight"][0] == found.round
    thread.join()
    assert seen == sorted(seen)
    assert len(set(seen)) > 1


class Bomb:
    def __reduce__(self):
        return (os.abort, ())


def test_a_pickle_in_place_of_a_checkpoint_is_not_run(tmp_path):
    path = tmp_path / "round-00000001.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(Damaged):
        read(path)
    torch.save({"a": Bomb()}, path)
    with pytest.raises(Damaged):
        read(path)
    header = json.dumps({"__metadata__": {"plain": "{}", "digest": "f00"}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(Damaged):
        read(path)


CODE_IN_DATA = ("pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")


def unsafe(tree):
    """Lines that read data which could run code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and {a.name for a in node.names} <= {"UnpicklingError"}:
                continue
            if any(m.partition(".")[0] in CODE_IN_DATA for m in modules):
                yield node.lineno
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            allowed = [k for k in node.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"]
            tensors = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
            if (name == "torch.load" and not tensors) or name in ("yaml.unsafe_load", "yaml.full_load") or allowed:
                yield node.lineno


def test_no_code_of_ours_reads_pickles():
    root = Path(ganflow.__file__).parents[1]
    assert list(unsafe(ast.parse("import pickle\ntorch.load(x)\nnp.load(x, allow_pickle=y)\nnp.load(x)"))) == [1, 2, 3]
    assert not list(unsafe(ast.parse("torch.load(x, weights_only=True)\nfrom pickle import UnpicklingError")))
    assert set(unsafe(ast.parse("torch.load(x, weights_only=y)\nfrom pickle import UnpicklingError, loads"))) == {1, 2}
    sources = [*root.glob("ganflow/**/*.py"), *root.glob("plugins/**/*.py")]
    assert len(sources) > 60
    found = {str(p.relative_to(root)): list(unsafe(ast.parse(p.read_text()))) for p in sources}
    assert {path: lines for path, lines in found.items() if lines} == {}
