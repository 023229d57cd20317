"""Captions by picture, however the folder is laid out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ganflow_layers.files import find_images
from ganflow_layers.tables import listed, read_text

from ganflow import GanflowError, user_path
from ganflow_text.folder.tables import one_line, rows_of

TABLES = (".csv", ".tsv", ".jsonl", ".token")
NAMED_TABLES = (".txt", ".json")
"""Endings of tables that are looked for where their names say that they are of captions."""
SPLITS = ("dataset_coco.json", "dataset_flickr8k.json", "dataset_flickr30k.json")


@dataclass(frozen=True)
class Captioned:
    """Attributes:
    captions: by the path of the picture below the folder; sorted.
    split: True for pictures to train on, False for others, by a table that says so; empty where none does.
    """

    captions: dict[str, list[str]] = field(default_factory=dict)
    split: dict[str, bool] = field(default_factory=dict)


def captioned(folder: Path, captions: str | None, extensions: Sequence[str]) -> Captioned:
    """All pictures with their sentences.

    Args:
        folder: laid out in one of three ways: a .txt of the same name beside every picture; the same folders below images/ and
            below text/ (CUB's); or pictures anywhere and one table of captions (see ganflow_text.folder.tables).
        captions: the table, or the folder of .txt files, below the folder; None to look for it.

    Raises:
        GanflowError: pictures lack a caption or the other way round, a caption file is empty or cannot be read, or there is none.
    """
    inside = folder / "images"
    cub = inside.is_dir() and (captions is not None or (folder / "text").is_dir())
    pictures = find_images(inside if cub else folder, list(extensions), True)
    if cub:
        pictures = [f"images/{picture}" for picture in pictures]
    where = user_path("data.captions", captions, folder) if captions else None
    if where is not None and not where.exists():
        raise GanflowError(f"data.captions: there is no {where}")
    table = where if where and not where.is_dir() else None if where or cub else lone_table(folder, pictures)
    if table:
        found = from_table(table, pictures, folder)
    else:
        found = from_files(pictures, folder, where or (folder / "text" if cub else folder), cub)
    if silent := [picture for picture in pictures if not found.captions.get(picture)]:
        raise GanflowError(f"data.path: {_count(silent, 'picture')} in {folder} without a caption: {listed(silent)}; "
                           "give each one a caption, or take it away")  # fmt: skip
    return Captioned({picture: found.captions[picture] for picture in pictures}, found.split)


def lone_table(folder: Path, pictures: Sequence[str] = ()) -> Path | None:
    """The one .csv, .tsv, .jsonl or .token of the folder, else the one .txt or .json with "caption" in its name, such as
    captions.txt, or with the name of one of Karpathy's, that is not about a picture of that name; None where there is none.

    Raises:
        GanflowError: there are several.
    """
    files = sorted(file for file in folder.glob("[!.]*") if not file.is_dir()) if folder.is_dir() else []
    alone = {Path(picture).stem for picture in pictures if "/" not in picture}
    possible = [(f, f.name.lower()) for f in files if f.suffix.lower() in NAMED_TABLES and f.stem not in alone]
    named = [file for file, name in possible if "caption" in name or name in SPLITS]
    tables = [file for file in files if file.suffix.lower() in TABLES] or named
    if len(tables) > 1:
        raise GanflowError(f"data.captions: which of {listed([t.name for t in tables])} holds the captions?")
    return tables[0] if tables else None


def from_files(pictures: Sequence[str], folder: Path, texts: Path, cub: bool) -> Captioned:
    """One .txt per picture, a caption per line."""
    found: dict[str, list[str]] = {}
    wanted = {}
    for picture in pictures:
        name = Path(picture).relative_to("images") if cub else Path(picture)
        wanted[(texts / name).with_suffix(".txt")] = picture
    there = {file for file in texts.rglob("*.txt") if not any(part.startswith(".") for part in file.relative_to(texts).parts)}
    if not there:
        tables = f"{', '.join(TABLES[:-1])} or {TABLES[-1]}"
        raise GanflowError(f"data.path: no captions in {folder}: .txt files named like the pictures, or one {tables} file, or "
                           "captions.txt as Flickr8k has it, COCO's captions_*.json, or a dataset_coco.json as of Karpathy's "
                           "splits")  # fmt: skip
    if alone := sorted(there - wanted.keys()):
        names = [str(file.relative_to(folder)) for file in alone]
        raise GanflowError(f"data.path: {_count(names, 'caption file')} in {folder} whose picture is missing: {listed(names)}")
    empty = []
    for file in sorted(there):
        text = read_text(file, "data.path").replace("\r\n", "\n").replace("\r", "\n")
        lines = [one_line(line) for line in text.split("\n") if line.strip()]
        found[wanted[file]] = lines
        if not lines:
            empty.append(str(file.relative_to(folder)))
    if empty:
        raise GanflowError(f"data.path: {_count(empty, 'caption file')} in {folder} without a word: {listed(empty)}")
    return Captioned(found)


def from_table(table: Path, pictures: Sequence[str], folder: Path) -> Captioned:
    """The captions of a table's rows; a picture can have several rows. A row names it by its path below the folder, or by the end
    of that (Flickr8k's and COCO's tables name the file alone), where no other ends so."""
    found: dict[str, list[str]] = {}
    split: dict[str, bool] = {}
    rows = rows_of(table)
    if not rows:
        raise GanflowError(f"data.captions: there is no caption in {table}")
    by_name = defaultdict(list)
    for picture in pictures:
        by_name[Path(picture).name].append(picture)
    known = set(pictures)
    missing: list[str] = []
    several: list[str] = []
    empty: list[str] = []
    for position, name, texts, training in rows:
        meant = [name] if name in known else [p for p in by_name[name.rpartition("/")[2]] if _ends_alike(p, name)]
        if f"images/{name}" in meant:
            meant = [f"images/{name}"]
        if len(meant) != 1:
            (several if meant else missing).append(f"{name} ({position})")
            continue
        if not texts or not all(texts):
            empty.append(position)
        found.setdefault(meant[0], []).extend(texts)
        if training is not None:
            split[meant[0]] = training and split.get(meant[0], True)
    if missing:
        raise GanflowError(f"data.captions: {table} has captions for pictures that are not in {folder}: {listed(missing)}")
    if several:
        raise GanflowError(f"data.captions: {table} has captions for names that several pictures in {folder} have: "
                           f"{listed(several)}; write their folders, too")  # fmt: skip
    if empty:
        raise GanflowError(f"data.captions: empty captions in {table}: {listed(empty)}")
    return Captioned(found, split)


def _ends_alike(one: str, other: str) -> bool:
    """Return whether one path is the end of the other."""
    return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")


def _count(names: Sequence[str], what: str) -> str:
    return f"1 {what} is" if len(names) == 1 else f"{len(names)} {what}s are"
