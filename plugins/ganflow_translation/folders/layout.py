"""Files by domain, for training and held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ganflow_layers.files import find_images
from ganflow_layers.split import split
from ganflow_layers.tables import listed

from ganflow import GanflowError, user_path

Example = TypeVar("Example")


@dataclass(frozen=True)
class Pair:
    """Files of a pair; where they lie side by side in one file, `b` is None. Of several frames in each, which one."""

    a: str
    b: str | None = None
    frame: int = 0

    @property
    def files(self) -> tuple[str, ...]:
        return (self.a,) if self.b is None else (self.a, self.b)


def root(path: str) -> Path:
    folder = user_path("data.path", path)
    if not folder.is_dir():
        raise GanflowError(f"data.path: {folder} is not a folder" if folder.exists() else f"data.path: there is no {folder}")
    return folder


def pairs(
    folder: Path, layout: str, two: tuple[str, str] | None, extensions: list[str]
) -> tuple[list[Pair], list[Pair] | None]:
    """The pairs to train on, and those of a val or test folder, None where there is none.

    Args:
        two: the folders of A and B; None to look for them.

    Raises:
        GanflowError: a folder is missing or without images, or names do not match.
    """
    for key, name in zip("ab", two or (), strict=False):
        user_path(f"data.{key}", name, folder)
    if two is None and layout != "side_by_side":
        two = next((names for names in (("trainA", "trainB"), ("A", "B")) if any((folder / n).is_dir() for n in names)), None)
    if two is None:
        if layout == "two_folders":
            raise GanflowError(
                f"data.path: {folder} has neither folders A and B nor trainA and trainB; name two others with a: and b:"
            )
        return _side_by_side(folder, extensions)
    if two == ("trainA", "trainB"):
        train, others = two, [("valA", "valB"), ("testA", "testB")]
    elif (folder / two[0] / "train").is_dir():
        train, *others = [(f"{two[0]}/{part}", f"{two[1]}/{part}") for part in ("train", "val", "test")]
    else:
        train, others = two, []
    kept = next((names for names in others if any((folder / n).is_dir() for n in names)), None)
    return _matched(folder, *train, extensions), _matched(folder, *kept, extensions) if kept else None


def _side_by_side(folder: Path, extensions: list[str]) -> tuple[list[Pair], list[Pair] | None]:
    if (folder / "train").is_dir():
        train = _below(folder, "train", extensions)
    else:
        try:
            train = find_images(folder, extensions, recursive=False)
        except GanflowError as error:
            raise GanflowError(
                f"{error}; side-by-side images lie there or in train, two folders are named with a: and b:"
            ) from error
    kept = next((part for part in ("val", "test") if (folder / part).is_dir()), None)
    return [Pair(f) for f in train], [Pair(f) for f in _below(folder, kept, extensions)] if kept else None


def _below(folder: Path, name: str, extensions: list[str]) -> list[str]:
    """Images in a folder of `folder`, named relative to that."""
    return [f"{name}/{file}" for file in find_images(folder / name, extensions, recursive=True)]


def _matched(folder: Path, a: str, b: str, extensions: list[str]) -> list[Pair]:
    """The pairs of two folders: the same names up to the extension, as label maps are .png where photographs are .jpg."""
    of_a, of_b = (_by_stem(folder, name, extensions) for name in (a, b))
    alone = [
        f"{mine} has {listed([theirs_missing[s] for s in sorted(theirs_missing)])}, not in {theirs}"
        for mine, theirs, theirs_missing in (
            (a, b, {s: f for s, f in of_a.items() if s not in of_b}),
            (b, a, {s: f for s, f in of_b.items() if s not in of_a}),
        )
        if theirs_missing
    ]
    if alone:
        raise GanflowError(
            f"data.path: images in {folder} have no partner: {'; '.join(alone)}; "
            "both of a pair have the same name, up to the extension"
        )
    return [Pair(f"{a}/{of_a[stem]}", f"{b}/{of_b[stem]}") for stem in sorted(of_a)]


def _by_stem(folder: Path, name: str, extensions: list[str]) -> dict[str, str]:
    files = find_images(folder / name, extensions, recursive=True)
    stems = [PurePosixPath(file).with_suffix("").as_posix() for file in files]
    found = dict(zip(stems, files, strict=True))
    double = sorted(set(files) - set(found.values()))
    if double:
        raise GanflowError(
            f"data.path: {folder / name} has several images of the same name, up to the extension: {listed(double)}; "
            "keep one of each"
        )
    return found


def domain(folder: Path, name: str, extensions: list[str]) -> tuple[list[str], list[str] | None]:
    """Images of trainA (`name` "A") or trainB, and of testA or testB, None where there is no such folder."""
    if not (folder / f"train{name}").is_dir():
        raise GanflowError(f"data.path: there is no folder {folder / f'train{name}'}; unpaired images lie in trainA and trainB")
    kept = _below(folder, f"test{name}", extensions) if (folder / f"test{name}").is_dir() else None
    return _below(folder, f"train{name}", extensions), kept


def divided(
    train: Sequence[Example], kept: Sequence[Example] | None, held_out: float, of: str
) -> tuple[list[Example], list[Example]]:
    """Examples for training and examples held out: a share or number of `train` where nothing is kept already; else all that
    is (held_out below 1), or its first so many."""
    if kept is not None:
        count = 0 if held_out == 0 else len(kept) if held_out < 1 else round(held_out)
        return list(train), list(kept[:count])
    rows, others = split(len(train), held_out, of)
    return [train[i] for i in rows], [train[i] for i in others]
