"""Damages of a run's folder, by seed: what a broken disk or a hostile stranger leaves there."""

import json
import os
import random
import shutil

KINDS = ("truncated", "emptied", "folder", "link", "pipe", "noise", "huge", "deep", "text", "gone", "null", "flip", "typed",
         "loop")  # fmt: skip


def damage(folder, seed):
    """Damage one file of a folder; returns what was done."""
    rng = random.Random(seed)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".db")
    names = sorted({path.name for path in files})
    name = rng.choice(names)
    path = next(path for path in files if path.name == name)
    kind, old = rng.choice(KINDS), path.read_bytes()
    if kind == "truncated":
        path.write_bytes(old[: rng.randrange(max(1, len(old)))])
    elif kind == "emptied":
        path.write_bytes(b"")
    elif kind == "noise":
        path.write_bytes(rng.randbytes(len(old) or 10))
    elif kind == "text":
        path.write_text("\x1b[31mno\n" * 5)
    elif kind == "null":
        path.write_text(rng.choice(("null", "[]", "{}", "7", '"x"', "true")) + "\n")
    elif kind == "deep":
        path.write_text(rng.choice(("[", '{"a":')) * 100_000)
    elif kind == "flip":
        place = rng.randrange(max(1, len(old)))
        path.write_bytes(old[:place] + bytes([old[place] ^ 0xFF] if old else [1]) + old[place + 1 :])
    elif kind == "huge":
        path.write_bytes(_numbers(old, rng))
    elif kind == "typed" and path.suffix == ".json":
        path.write_text(json.dumps(_typed(json.loads(old), rng)))
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to(rng.choice(("/etc/passwd", "/dev/zero", "/nowhere")))
        elif kind == "loop":
            path.symlink_to(path.name)
        elif kind == "pipe":
            os.mkfifo(path)
    return f"{path.relative_to(folder)} {kind}"


def _numbers(old, rng):
    """The text with some of its numbers replaced by ones that are too large, or none."""
    text = old.decode("utf-8", "replace")
    odd = ("1e999", "-1", "99999999999999999999999", "NaN", "1000000000", "0")
    pieces, last = [], ""
    for letter in text:
        if letter.isdigit() and not (last.isalnum() or last in "._-\"'") and rng.random() < 0.3:
            letter = rng.choice(odd)
        pieces.append(letter)
        last = letter[-1]
    return "".join(pieces).encode()


def _typed(tree, rng):
    """A record with one value of another type."""
    where = tree
    for _ in range(3):
        key = rng.choice(list(where)) if isinstance(where, dict) and where else None
        if key is None:
            break
        if isinstance(where[key], dict) and where[key] and rng.random() < 0.6:
            where = where[key]
            continue
        where[key] = rng.choice((None, 10**30, -1, "x", "\u202e", [], {}, [[1]], {"a": None}, True, 1e308, "../../etc"))
        break
    return tree


def copied(source, target):
    """A fresh copy of a runs folder."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    return target
