"""Classes of a folder's images: by the folders that they lie in, or by a table."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ganflow_layers.tables import PICTURE_COLUMNS, csv_rows, listed, read_text

from ganflow import GanflowError, open_regular, print_lines, user_path

LABEL_COLUMNS = ("label", "class", "category")
KEY = "data.labels"
PARTS = {"train", "test", "val", "valid", "validation", "trainA", "trainB", "testA", "testB", "valA", "valB", "A", "B"}
"""Folders that part a data set, for training and testing or in two domains, and are no classes."""


def class_of_each(labels: str, folder: Path, files: Sequence[str]) -> dict[str, str]:
    """The class of each image, by its file; none where there are no classes.

    Args:
        labels: "auto", the sub-folders, where all images lie in such and there are two or more; "none"; or the path of a .csv
            with the columns file and label, seen from the folder.

    Raises:
        GanflowError: the table is none, or it and the images do not match.
    """
    if labels == "none":
        return {}
    if labels == "auto":
        found = {file: file.partition("/")[0] for file in files if "/" in file}
        if len(found) < len(files) or len(names := set(found.values())) < 2:
            _name_classes_below(folder, files)
            _name_tables(folder)
            return {}
        if names <= PARTS:
            there = " and ".join(sorted(names)) if len(names) == 2 else listed(sorted(names))
            one = shlex.quote(f"data.path={folder / min(names, key=lambda name: (not name.startswith('train'), name))}")
            print_lines(f"ganflow: {there} in {folder} are parts of a data set and no classes; {one} takes one alone", err=True)
            return {}
        return found
    table = user_path(KEY, labels, folder)
    if table.suffix.lower() != ".csv":
        raise GanflowError(f"{KEY}: {labels!r} is neither auto nor none nor a .csv file with the columns file and label")
    return from_table(table, folder, files)


def _name_classes_below(folder: Path, files: Sequence[str]) -> None:
    """Print a line where all images lie below one sub-folder whose sub-folders could be classes: CUB's are images/CLASS."""
    common = Path(os.path.commonpath([os.path.dirname(file) for file in files]))
    below = {Path(file).relative_to(common).parts[0] for file in files if Path(file).parent != common}
    if common == Path() or any(Path(file).parent == common for file in files) or len(below) < 2 or below <= PARTS:
        return
    one = shlex.quote(f"data.path={folder / common}")
    print_lines(f"ganflow: all images in {folder} lie in {common}, so that there are no classes; {one} has {len(below)}, by its "
                "sub-folders", err=True)  # fmt: skip


def _name_tables(folder: Path) -> None:
    """Print a line where a table with a column of labels lies among the images, that is not used."""
    for table in sorted(folder.glob("*.csv")):
        try:
            with open_regular(table) as opened:
                header = opened.readline(4096).decode("utf-8-sig", errors="replace")
        except OSError:
            continue
        columns = {cell.strip().strip('"').lower() for cell in header.split(",")}
        if columns & set(LABEL_COLUMNS) and columns & set(PICTURE_COLUMNS):
            labels = shlex.quote(f"data.labels={table.name}")
            print_lines(f"ganflow: {table} has labels, which are not used: {labels} takes them as classes", err=True)
            return


def from_table(table: Path, folder: Path, files: Sequence[str]) -> dict[str, str]:
    """The classes that a table names. A row names an image by its path below the folder, or by its name alone where no other is
    called so.

    Raises:
        GanflowError: an image has no label or several, a label has no image, or all have the same one.
    """
    known, by_name = set(files), defaultdict(list)
    for file in files:
        by_name[file.rpartition("/")[2]].append(file)
    found: dict[str, str] = {}
    wrong: dict[str, list[str]] = defaultdict(list)
    rows = csv_rows(table, read_text(table, KEY), (PICTURE_COLUMNS[1:] + PICTURE_COLUMNS[:1], LABEL_COLUMNS), KEY, _surplus)
    for number, (name, label) in rows:
        name, label, row = name.strip(), label.strip(), f"{name.strip()} (line {number})"
        meant = [name] if name in known else by_name.get(name, [])
        if not meant:
            wrong[f"labels of images that are not in {folder}"].append(row)
        elif len(meant) > 1:
            wrong[f"names that several images in {folder} have, so that their folders are needed"].append(row)
        elif not label:
            wrong["rows without a label"].append(row)
        elif meant[0] in found:
            wrong["images with a label already"].append(row)
        else:
            found[meant[0]] = label
    for what, rows_named in wrong.items():
        raise GanflowError(f"{KEY}: {table} has {what}: {listed(rows_named)}; mend the table")
    if missing := [file for file in files if file not in found]:
        raise GanflowError(f"{KEY}: {table} has no label for {len(missing)} of the {len(files)} images in {folder}: "
                           f"{listed(missing)}; add them, or take these away")  # fmt: skip
    if len(set(found.values())) < 2:
        raise GanflowError(f"{KEY}: {table} has only the label {next(iter(found.values()))}; two classes are needed: "
                           "data.labels=none leaves them out")  # fmt: skip
    return found


def _surplus(cells: list[str], last: bool) -> str:
    return "put a name that holds a comma in quotes"
