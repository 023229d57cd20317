"""Shards of samples in tar and parquet files, streamed."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ganflow_layers.files import digest_of_files
from ganflow_layers.framing import Transform
from ganflow_layers.omissions import SKIP, Omissions, irregular
from ganflow_layers.originals import original
from ganflow_layers.streams import Sample, Source, Streamed
from torch import Tensor

from ganflow import IMAGE_ENDINGS, IMAGE_ERRORS, IMAGE_RANGE, Field, GanflowError, Original, print_lines, user_path
from ganflow_data.tables import Tables
from ganflow_data.tars import Extent, Tars

IMAGES = (*(ending.lstrip(".") for ending in IMAGE_ENDINGS), "image", "img", "images", "picture", "photo")
"""Parts of a sample, or columns, that are taken for the image where a recipe does not say which is."""
LABELS = ("cls", "label", "labels", "class", "fine_label")
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
LONGEST = 1000  # bytes of a label in a file of its own


def shards(
    path: str, image: str | None, label: str | None, classes: Sequence[str], transform: Transform, shuffle: int, seed: int,
    held_out: int, skip: bool,
) -> Streamed:  # fmt: skip
    """Field "real", (channels, size, size) in [-1, 1], and "label", where the classes are known.

    Args:
        image, label: the part of a sample (its ending in a tar file), or the column; None to find it.
        shuffle: samples in the buffer.
        held_out: the first so many samples are not trained on.
        skip: leave out samples that are broken.

    Raises:
        GanflowError: there are no shards, they cannot be read, or have no such part.
    """
    files = find_shards(path)
    omissions = Omissions(path, skip, "", f"mend it, or {SKIP.format('what is broken')}")
    if bad := irregular(files[0].parent, [file.name for file in files]):
        omissions.settle(bad)
        closed = {each.name for each in bad}
        files = [file for file in files if file.name not in closed]
        if not files:
            raise GanflowError(f"data.path: none of the {len(bad)} shards in {path} can be read")
    source: Source = Tars(files, omissions) if files[0].suffix == ".tar" else Tables(files, omissions)
    if isinstance(source, Tables):
        there, named = source.schema()
    else:
        first = next((sample for shard in range(source.shards) for sample in source.samples(shard, 0)), None)
        if first is None:
            why = "".join(f"; {what}" for what in omissions.skipped[:1])
            raise GanflowError(f"data.path: there are no samples in {path}{why}")
        there, named = list(first.parts), {}
    image = part_of(there, image, "data.image", IMAGES)
    if image is None:
        raise GanflowError(f"data.image: which part of a sample is the image? There are {', '.join(there)}")
    usual = part_of(there, None, "data.label", LABELS)
    label = part_of(there, label, "data.label", LABELS if classes or named else ())
    names = list(classes) or (named.get(label, []) if label else [])
    if label and len(names) < 2:
        raise GanflowError(f"data.classes: '{label}' holds labels, whose names are not known: say them, in their sequence: "
                           "'data.classes=[cat, dog]'")  # fmt: skip
    if isinstance(source, Tables):
        source.columns = [image, label] if label else [image]
    fields = {"real": Field((transform.channels, *transform.sides), *IMAGE_RANGE)}
    if label:
        fields["label"] = Field((), classes=tuple(names))
    folder = files[0].parent
    digest = digest_of_files(folder, [file.name for file in files], repr((transform, image, label, names, held_out)))

    def make(sample: Sample, rng: torch.Generator | None) -> dict[str, Tensor]:
        made = {"real": transform(content(sample.parts, image), rng, name=sample.name)}
        return {**made, "label": torch.tensor(class_of(sample.parts, label, names))} if label else made

    def originals(sample: Sample) -> dict[str, Original]:
        try:
            found = original(content(sample.parts, image), transform.pixels, transform.channels)
        except IMAGE_ERRORS:
            return {}
        return {"real": replace(found, name=sample.name)} if found else {}

    name = f"shards ({folder.resolve().name})"
    data = Streamed(name, path, source, make, fields, shuffle, seed, held_out, digest, originals)
    if usual and not label:
        print_lines(f"ganflow: the samples in {path} have labels ('{usual}'), which are not used: data.classes says what they "
                    "are called, in their sequence: 'data.classes=[cat, dog]'", err=True)  # fmt: skip
    return data


def find_shards(path: str) -> list[Path]:
    """The .tar or .parquet files of a folder, of a pattern such as data/train-*.tar, or the one file, by name.

    Raises:
        GanflowError: there are none, both kinds, or compressed ones.
    """
    where = user_path("data.path", path)
    if where.is_dir():
        found = [file for file in sorted(where.iterdir()) if not file.name.startswith(".")]
    elif where.exists():
        found = [where]
    else:
        try:
            found = sorted(file for file in where.parent.glob(where.name) if not file.name.startswith("."))
        except (OSError, ValueError, NotImplementedError):
            found = []
    if packed := [file.name for file in found if file.name.endswith(PACKED)]:
        raise GanflowError(f"data.path: {packed[0]} is compressed, and cannot be read from its middle: unpack it to a .tar "
                           "(gunzip, xz -d)")  # fmt: skip
    endings = {file.suffix for file in found} & {".tar", ".parquet"}
    if not endings:
        raise GanflowError(f"data.path: there are no .tar or .parquet files in {path}" if where.is_dir() or not where.exists()
                           else f"data.path: {path} is neither a .tar nor a .parquet file")  # fmt: skip
    if len(endings) > 1:
        raise GanflowError(f"data.path: {path} has both .tar and .parquet files; name one kind: "
                           + shlex.quote(f"data.path={path}/*.tar"))
    return [file for file in found if file.suffix in endings]


def part_of(there: Sequence[str], wanted: str | None, key: str, usual: Sequence[str]) -> str | None:
    """The part of a sample that is wanted, or the first usual one that there is; None where there is none.

    Raises:
        GanflowError: the one that is wanted is not there.
    """
    if wanted is None:
        return next((part for part in usual if part in there), None)
    if wanted not in there:
        close = difflib.get_close_matches(wanted, there, 1)
        meant = f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(there)}"
        raise GanflowError(f"{key}: samples have no '{wanted}'{meant}")
    return wanted


def content(parts: Mapping[str, Any], name: str) -> bytes:
    """The bytes of an image: a member's, a column's, or those in a column of `datasets`, whose paths are never followed.

    Raises:
        ValueError: there are none.
    """
    part = parts.get(name)
    part = part.get("bytes") if isinstance(part, Mapping) else part
    if isinstance(part, Extent):
        return part.read()
    if not isinstance(part, bytes):
        raise ValueError(f"'{name}' is missing" if part is None else f"'{name}' is a {type(part).__name__}, not an image's bytes")
    return part


def class_of(parts: Mapping[str, Any], name: str, classes: Sequence[str]) -> int:
    """The number of a sample's class, which is there as a number or by name.

    Raises:
        ValueError: it is none of the classes.
    """
    part = parts.get(name)
    if isinstance(part, Extent):
        if part.size > LONGEST:
            raise ValueError(f"'{name}' has {part.size} bytes, which is no label")
        part = part.read().decode(errors="replace").strip()
    if isinstance(part, str):
        if part in classes:
            return classes.index(part)
        part = int(part) if part.isascii() and part.isdigit() and len(part) < 10 else part
    if not isinstance(part, int) or not 0 <= part < len(classes):
        raise ValueError(f"'{name}' is {part!r:.40}, none of the {len(classes)} classes")
    return part
